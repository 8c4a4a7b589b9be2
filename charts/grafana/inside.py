"""Dashboards of the mesh's own matters: identity, and the proxies' internals."""

from boards import RATE, certificates, ends_in
from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from panels import board, graph, list_of, number

EXPIRY = "weft_identity_expiry_timestamp_seconds"


def identity() -> Dashboard:
    """Certificates from the anchors down, and who lacks them."""
    plain = 'sum by (namespace, workload, tls) (rate(weft_tcp_opened_total{direction="inbound",tls!="true"}[5m]))'
    return (
        board(
            "weft-identity",
            "weft: identity",
            "Certificates, their renewal, and traffic without mutual TLS.",
            "/identity",
        )
        .with_row(Row("Now"))
        .with_panel(number("Anchor ends in", "s", ends_in("anchor")))
        .with_panel(number("Issuer ends in", "s", ends_in("issuer")))
        .with_panel(number("First certificate ends in", "s", f"min({EXPIRY} > 0) - time()"))
        .with_panel(number("Proxies with one", "none", f"count({EXPIRY} > 0)"))
        .with_panel(number("Proxies without", "none", f"count({EXPIRY} == 0) or vector(0)"))
        .with_panel(number("Namespaces without bundle", "none", "max(weft_identity_namespaces_without_bundle)"))
        .with_row(Row("Renewal"))
        .with_panel(certificates())
        .with_panel(
            graph("First certificate ends in", "s", ("{{namespace}}", f"min by (namespace) ({EXPIRY} > 0) - time()"))
        )
        .with_panel(
            graph(
                "Bundle that requesting proxies rest on",
                "none",
                ("{{bundle}}", "sum by (bundle) (weft_identity_client_bundles_total) or vector(0)"),
            )
        )
        .with_row(Row("Without mutual TLS"))
        .with_panel(list_of("Connections a second", ("Connections/s", f"({plain} > 0) or vector(0)")))
    )


def proxy() -> Dashboard:
    """What the proxies are busy with, and what they cost the scrape."""
    job, untied = '{job="weft-proxy"}', 'weft_discovery_connected{namespace!="weft"} == 0'
    return (
        board("weft-proxy", "weft: proxy internals", "Versions, errors, connections, and what scraping costs.")
        .with_row(Row("Now"))
        .with_panel(number("Scraped", "none", f"sum(up{job})"))
        .with_panel(number("Not scraped", "none", f"count(up{job} == 0) or vector(0)"))
        .with_panel(number("Without control plane", "none", f"count({untied}) or vector(0)"))
        .with_panel(number("Series", "none", 'count({__name__=~"weft_.+",job="weft-proxy"})'))
        .with_row(Row("Errors and ties"))
        .with_panel(
            graph(
                "Errors by code",
                "none",
                ("{{code}}", f"sum by (code) (increase(weft_proxy_errors_total[{RATE}])) or vector(0)"),
            )
        )
        .with_panel(
            graph(
                "Word of the control plane, age",
                "s",
                ("{{pod}}", "topk(10, max by (pod) (weft_discovery_age_seconds))"),
            )
        )
        .with_panel(graph("Versions", "none", ("{{version}}", "count by (version) (weft_proxy_info)")))
        .with_row(Row("Connections"))
        .with_panel(graph("Open", "none", ("{{direction}}", "sum by (direction) (weft_tcp_open_connections)")))
        .with_panel(
            graph("Opened", "cps", ("{{direction}}", f"sum by (direction) (rate(weft_tcp_opened_total[{RATE}]))"))
        )
        .with_panel(
            graph("Began", "none", ("proxies", f"count(process_start_time_seconds{job} > time() - 600) or vector(0)"))
        )
    )
