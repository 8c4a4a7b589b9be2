"""The dashboards. Success leaves cancelled and denied requests out, as everywhere; numbers are the servers' own."""

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import board, graph, list_of, number, variable

RATE = "$__rate_interval"
LIMITS = (0.9, 0.95)
SPACE = "/namespaces/${namespace}"
WORKLOAD = f"{SPACE}/${{kind}}/${{workload}}"
FAILED = 'result="failure"'
TRAFFIC = 'route!="[probe]"'
"""All but the kubelet's probes."""


def selected(*matchers: str) -> str:
    """Matchers in braces."""
    return "{" + ",".join(filter(None, matchers)) + "}"


def requests(where: str, by: str = "") -> str:
    """Requests a second."""
    return _counted(where, by)


def success(where: str, by: str = "") -> str:
    """Share of success among what succeeded or failed; what never failed has no series of failures."""
    counted = _counted(where, by, 'result=~"success|failure"')
    return f"1 - ({_counted(where, by, FAILED)} or {counted} * 0) / {counted}"


def latency(quantile: float, where: str, by: str = "") -> str:
    """A quantile of the time to the response's head."""
    buckets = f"rate(weft_response_duration_seconds_bucket{selected(where, TRAFFIC)}[{RATE}])"
    return f"histogram_quantile({quantile}, sum{_by(', '.join(filter(None, (by, 'le'))))} ({buckets}))"


def _counted(where: str, by: str, *more: str) -> str:
    return f"sum{_by(by)} (rate(weft_requests_total{selected(where, TRAFFIC, *more)}[{RATE}]))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def quantiles(where: str) -> list[tuple[str, str]]:
    """P50, P95 and P99."""
    return [(f"P{round(q * 100)}", latency(q, where)) for q in (0.5, 0.95, 0.99)]


def certificates() -> timeseries.Panel:
    """What identity issues and refuses."""
    issued = f"sum(rate(weft_identity_certificates_issued_total[{RATE}]))"
    refused = f"sum(rate(weft_identity_refused_total[{RATE}])) or vector(0)"
    return graph("Certificates", "cps", ("issued", issued), ("refused", refused))


def ends_in(authority: str) -> str:
    """Seconds until the issuer or the anchor ends."""
    return f"min(weft_identity_{authority}_expiry_timestamp_seconds) - time()"


def overview() -> Dashboard:
    """The whole mesh, by namespace and workload."""
    where = 'direction="inbound"'
    by = "namespace, workload_kind, workload"
    return (
        board("weft-overview", "weft: overview", "Every namespace and workload of the mesh.")
        .with_row(Row("Now"))
        .with_panel(number("Success", "percentunit", success(where), limits=LIMITS))
        .with_panel(number("Requests", "reqps", requests(where)))
        .with_panel(number("P95 latency", "s", latency(0.95, where)))
        .with_panel(number("Proxies scraped", "none", 'sum(up{job="weft-proxy"})'))
        .with_panel(number("Namespaces", "none", 'count(count by (namespace) (up{job="weft-proxy"}))'))
        .with_panel(number("First certificate ends in", "s", "min(weft_identity_expiry_timestamp_seconds) - time()"))
        .with_row(Row("By namespace"))
        .with_panel(graph("Success", "percentunit", ("{{namespace}}", success(where, "namespace"))))
        .with_panel(graph("Requests", "reqps", ("{{namespace}}", requests(where, "namespace"))))
        .with_panel(graph("P95 latency", "s", ("{{namespace}}", latency(0.95, where, "namespace"))))
        .with_row(Row("By workload"))
        .with_panel(
            list_of(
                "Workloads",
                ("Success", success(where, by)),
                ("Requests/s", requests(where, by)),
                ("P95, s", latency(0.95, where, by)),
            )
        )
        .with_row(Row("Encryption and errors"))
        .with_panel(graph("Requests by mutual TLS, or why not", "reqps", ("{{tls}}", requests(where, "tls"))))
        .with_panel(
            graph(
                "Open connections",
                "none",
                ("{{namespace}}", f"sum by (namespace) (weft_tcp_open_connections{selected(where)})"),
            )
        )
        .with_panel(
            graph(
                "Errors of proxies",
                "none",
                ("{{code}}", f"sum by (code) (increase(weft_proxy_errors_total[{RATE}])) or vector(0)"),
            )
        )
    )


def workload() -> Dashboard:
    """One workload: what it answers, what it asks of others, its pods."""
    own = 'namespace="$namespace",workload_kind="$kind",workload="$workload"'
    kinds, names = (f'weft_proxy_info{{namespace="$namespace"{more}}}' for more in ("", ',workload_kind="$kind"'))
    inbound, outbound = f'{own},direction="inbound"', f'{own},direction="outbound"'
    to = "dst_namespace, dst_service, dst_workload"
    name = "{{dst_service}}{{dst_workload}}.{{dst_namespace}}"
    pods = "pod"
    return (
        board("weft-workload", "weft: workload", "One workload's inbound and outbound traffic.", WORKLOAD)
        .with_variable(variable("namespace", "Namespace", "weft_proxy_info", "namespace"))
        .with_variable(variable("kind", "Kind", kinds, "workload_kind"))
        .with_variable(variable("workload", "Workload", names, "workload"))
        .with_row(Row("Now"))
        .with_panel(number("Success", "percentunit", success(inbound), limits=LIMITS))
        .with_panel(number("Requests", "reqps", requests(inbound)))
        .with_panel(number("P50 latency", "s", latency(0.5, inbound)))
        .with_panel(number("P99 latency", "s", latency(0.99, inbound)))
        .with_panel(number("Open connections", "none", f"sum(weft_tcp_open_connections{selected(inbound)})"))
        .with_panel(
            number("Certificate ends in", "s", f"min(weft_identity_expiry_timestamp_seconds{selected(own)}) - time()")
        )
        .with_row(Row("What it answers"))
        .with_panel(graph("Success", "percentunit", ("success", success(inbound))))
        .with_panel(graph("Requests by status", "reqps", ("{{status}}", requests(inbound, "status"))))
        .with_panel(graph("Latency", "s", *quantiles(inbound)))
        .with_panel(graph("Requests by client", "reqps", ("{{peer_identity}}", requests(inbound, "peer_identity"))))
        .with_panel(
            graph(
                "Connections by client",
                "none",
                ("{{peer_identity}}", f"sum by (peer_identity) (weft_tcp_open_connections{selected(inbound)})"),
            )
        )
        .with_panel(
            graph(
                "Bytes",
                "Bps",
                ("read", f"sum(rate(weft_tcp_read_bytes_total{selected(inbound)}[{RATE}]))"),
                ("written", f"sum(rate(weft_tcp_written_bytes_total{selected(inbound)}[{RATE}]))"),
            )
        )
        .with_row(Row("What it asks of others"))
        .with_panel(graph("Success", "percentunit", (name, success(outbound, to))))
        .with_panel(graph("Requests", "reqps", (name, requests(outbound, to))))
        .with_panel(graph("P95 latency", "s", (name, latency(0.95, outbound, to))))
        .with_row(Row("Its pods"))
        .with_panel(graph("Success", "percentunit", ("{{pod}}", success(inbound, pods))))
        .with_panel(graph("Requests", "reqps", ("{{pod}}", requests(inbound, pods))))
        .with_panel(graph("P95 latency", "s", ("{{pod}}", latency(0.95, inbound, pods))))
    )


def control_plane() -> Dashboard:
    """weft's own services and the proxies' ties to them."""
    return (
        board("weft-control-plane", "weft: control plane", "The control plane, and how proxies hang on it.")
        .with_row(Row("Proxies"))
        .with_panel(number("Connected", "none", "sum(weft_discovery_connected)"))
        .with_panel(number("Not scraped", "none", 'count(up{job="weft-proxy"} == 0) or vector(0)'))
        .with_panel(number("Oldest word of discovery", "s", "max(weft_discovery_age_seconds)"))
        .with_panel(number("Versions", "none", "count(count by (version) (weft_proxy_info))"))
        .with_row(Row("destination"))
        .with_panel(graph("Streams", "none", ("{{pod}}", "sum by (pod) (weft_destination_streams)")))
        .with_panel(
            graph("Updates", "cps", ("{{pod}}", f"sum by (pod) (rate(weft_destination_updates_total[{RATE}]))"))
        )
        .with_panel(
            graph("Age of watches", "s", ("{{kind}}", "max by (kind) (weft_destination_watch_last_event_age_seconds)"))
        )
        .with_row(Row("identity"))
        .with_panel(certificates())
        .with_panel(
            graph(
                "Authorities end in",
                "s",
                ("issuer", ends_in("issuer")),
                ("anchor", ends_in("anchor")),
            )
        )
        .with_panel(
            graph("Namespaces without bundle", "none", ("lacking", "max(weft_identity_namespaces_without_bundle)"))
        )
        .with_row(Row("Webhooks, tap and web"))
        .with_panel(
            graph(
                "Pods reviewed",
                "none",
                ("{{outcome}}", f"sum by (outcome) (increase(weft_injector_reviews_total[{RATE}])) or vector(0)"),
            )
        )
        .with_panel(graph("Taps", "none", ("taps", "sum(weft_tap_active)")))
        .with_panel(graph("Open streams of web", "none", ("streams", "sum(weft_web_streams)")))
        .with_row(Row("Processes"))
        .with_panel(
            graph(
                "Memory",
                "bytes",
                ("{{component}}", 'sum by (component) (process_resident_memory_bytes{job="weft-control-plane"})'),
            )
        )
        .with_panel(
            graph(
                "CPU",
                "short",
                (
                    "{{component}}",
                    f'sum by (component) (rate(process_cpu_seconds_total{{job="weft-control-plane"}}[{RATE}]))',
                ),
            )
        )
        .with_panel(graph("Scraped", "none", ("{{component}}", 'sum by (component) (up{job="weft-control-plane"})')))
    )
