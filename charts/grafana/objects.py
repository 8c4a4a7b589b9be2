"""Dashboards of one namespace, pod or Service, and of who calls whom."""

from boards import LIMITS, RATE, SPACE, latency, quantiles, requests, selected, success
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import board, graph, list_of, number, variable

WORKLOAD = "workload_kind, workload"
SERVICE = f"{SPACE}/service/${{service}}"
PEER = "{{dst_service}}{{dst_workload}}.{{dst_namespace}}"


def namespace() -> Dashboard:
    """One namespace, by workload; its wide panels rest on recording rules."""
    where = 'namespace="$namespace",direction="inbound"'
    own = '{namespace="$namespace"}'
    name = "{{workload}}"
    recorded = f"sum by ({WORKLOAD}) (weft:requests:rate1m{own})"
    p95 = f"histogram_quantile(0.95, sum by ({WORKLOAD}, le) (weft:response_duration_seconds_bucket:rate1m{own}))"
    return (
        board("weft-namespace", "weft: namespace", "One namespace, by workload.", SPACE)
        .with_variable(variable("namespace", "Namespace", "weft_proxy_info", "namespace"))
        .with_row(Row("Now"))
        .with_panel(number("Success", "percentunit", success(where), limits=LIMITS))
        .with_panel(number("Requests", "reqps", requests(where)))
        .with_panel(number("P95 latency", "s", latency(0.95, where)))
        .with_panel(number("Proxies scraped", "none", 'sum(up{namespace="$namespace",job="weft-proxy"})'))
        .with_row(Row("Workloads"))
        .with_panel(graph("Success", "percentunit", (name, f"weft:success:ratio_rate1m{own}")))
        .with_panel(graph("Requests", "reqps", (name, recorded)))
        .with_panel(graph("P95 latency", "s", (name, p95)))
        .with_panel(
            list_of(
                "Workloads",
                ("Success", f"sum by ({WORKLOAD}) (weft:success:ratio_rate1m{own})"),
                ("Requests/s", recorded),
                ("P95, s", p95),
            )
        )
    )


def pod() -> Dashboard:
    """One pod: what it answers, what it asks, its proxy."""
    own = 'namespace="$namespace",pod=~"$pod"'
    inbound, outbound = f'{own},direction="inbound"', f'{own},direction="outbound"'
    pods = 'weft_proxy_info{namespace="$namespace"}'
    return (
        board("weft-pod", "weft: pod", "One pod's traffic, and its proxy.", f"{SPACE}/pod/${{pod}}")
        .with_variable(variable("namespace", "Namespace", "weft_proxy_info", "namespace"))
        .with_variable(variable("pod", "Pod", pods, "pod"))
        .with_row(Row("Now"))
        .with_panel(number("Success", "percentunit", success(inbound), limits=LIMITS))
        .with_panel(number("Requests", "reqps", requests(inbound)))
        .with_panel(number("P99 latency", "s", latency(0.99, inbound)))
        .with_panel(number("Tie to the control plane", "none", f"min(weft_discovery_connected{selected(own)})"))
        .with_panel(
            number("Certificate ends in", "s", f"min(weft_identity_expiry_timestamp_seconds{selected(own)}) - time()")
        )
        .with_row(Row("What it answers"))
        .with_panel(graph("Requests by status", "reqps", ("{{status}}", requests(inbound, "status"))))
        .with_panel(graph("Latency", "s", *quantiles(inbound)))
        .with_panel(graph("Requests by client", "reqps", ("{{peer_identity}}", requests(inbound, "peer_identity"))))
        .with_row(Row("What it asks of others"))
        .with_panel(graph("Requests", "reqps", (PEER, requests(outbound, "dst_namespace, dst_service, dst_workload"))))
        .with_panel(_bytes("Bytes from and to clients", inbound))
        .with_panel(_bytes("Bytes from and to servers", outbound))
    )


def service() -> Dashboard:
    """One Service, as its clients' proxies see it: by route, by client, by workload behind it."""
    where = 'direction="outbound",dst_namespace="$namespace",dst_service="$service"'
    services = 'weft_requests_total{direction="outbound",dst_namespace="$namespace"}'
    return (
        board("weft-service", "weft: service and route", "One Service and its routes, as clients see them.", SERVICE)
        .with_variable(variable("namespace", "Namespace", "weft_requests_total", "dst_namespace"))
        .with_variable(variable("service", "Service", services, "dst_service"))
        .with_row(Row("Now"))
        .with_panel(number("Success", "percentunit", success(where), limits=LIMITS))
        .with_panel(number("Requests", "reqps", requests(where)))
        .with_panel(number("P95 latency", "s", latency(0.95, where)))
        .with_row(Row("Routes; one without a name is what no route matched"))
        .with_panel(graph("Success", "percentunit", ("{{route}}", success(where, "route"))))
        .with_panel(graph("Requests", "reqps", ("{{route}}", requests(where, "route"))))
        .with_panel(graph("P95 latency", "s", ("{{route}}", latency(0.95, where, "route"))))
        .with_row(Row("Clients and backends"))
        .with_panel(graph("Requests by client", "reqps", ("{{workload}}.{{namespace}}", requests(where, CLIENT))))
        .with_panel(graph("Success by client", "percentunit", ("{{workload}}.{{namespace}}", success(where, CLIENT))))
        .with_panel(graph("Requests by backend", "reqps", ("{{dst_workload}}", requests(where, "dst_workload"))))
    )


CLIENT = "namespace, workload_kind, workload"


def edges() -> Dashboard:
    """Who calls whom, and what protects it; on recording rules."""
    both = "namespace, workload, dst_namespace, dst_service, dst_workload"
    name = "{{workload}} → {{dst_service}}{{dst_workload}}"
    counted = f"sum by ({both}) (weft:edge_requests:rate1m)"
    where = 'direction="outbound"'
    return (
        board("weft-edges", "weft: edges", "Who calls whom, and what protects it.", "/map")
        .with_row(Row("Edges"))
        .with_panel(
            list_of("Requests a second", ("Requests/s", f"sum by ({both}, tls) (weft:edge_requests:rate1m) > 0"))
        )
        .with_panel(graph("Busiest", "reqps", (name, f"topk(10, {counted})"), span=12))
        .with_panel(graph("Slowest, P95", "s", (name, f"topk(10, {latency(0.95, where, both)} > 0)"), span=12))
        .with_row(Row("Protection"))
        .with_panel(
            graph(
                "Requests by mutual TLS, or why not", "reqps", ("{{tls}}", "sum by (tls) (weft:edge_requests:rate1m)")
            )
        )
        .with_panel(
            graph("Connections", "none", ("{{tls}}", f"sum by (tls) (weft_tcp_open_connections{selected(where)})"))
        )
    )


def _bytes(title: str, where: str) -> timeseries.Panel:
    read, written = (f"sum(rate(weft_tcp_{way}_bytes_total{selected(where)}[{RATE}]))" for way in ("read", "written"))
    return graph(title, "Bps", ("read", read), ("written", written))
