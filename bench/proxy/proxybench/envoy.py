"""Envoy as a sidecar: a static configuration with mTLS 1.3, identities verified on both sides, authorization, retries.

No access log, no statistics or metadata filters of a mesh: a floor for what a mesh on Envoy costs. HTTP/1.1 goes
between proxies as HTTP/1.1 over pooled connections (Istio's default) or, with `mesh_h2`, as HTTP/2.
"""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from proxybench.identities import PKI, SIDES, TRUST_DOMAIN, spiffe
from proxybench.netns import ENDPOINTS, HTTP1, HTTP2, OPAQUE, RUN, program

Json = dict[str, Any]
_TYPES = "type.googleapis.com/envoy."
_UNLIMITED = 4294967295
_ADMIN = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 4191}}}


def command(side: str, *, mesh_h2: bool) -> tuple[list[str], dict[str, str]]:
    """argv and environment; one worker thread, as all the others."""
    path = RUN / f"envoy-{side}.json"
    path.write_text(json.dumps(_client(mesh_h2=mesh_h2) if side == "client" else _server()))
    path.chmod(0o644)
    binary = program(Path(str(resources.files("envoy"))) / "_bin/envoy")
    return [binary, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"], {}


def _client(*, mesh_h2: bool) -> Json:
    clusters = [
        _cluster("web_http1", ENDPOINTS, HTTP1, h2=mesh_h2, alpn=["h2" if mesh_h2 else "http/1.1"]),
        _cluster("web_http2", ENDPOINTS, HTTP2, h2=True, alpn=["h2"]),
        _cluster("web_opaque", ENDPOINTS, OPAQUE, alpn=[]),
    ]
    chains: list[Json] = []
    for port, name in ((HTTP1, "web_http1"), (HTTP2, "web_http2")):
        http = {"destination_port": port, "application_protocols": ["http/1.0", "http/1.1", "h2c"]}
        chains.append({"filter_chain_match": http, "filters": [_http(name, inbound=False)]})
        chains.append({"filter_chain_match": {"destination_port": port}, "filters": [_tcp(name)]})
    chains.append({"filter_chain_match": {"destination_port": OPAQUE}, "filters": [_tcp("web_opaque")]})
    inspector = _typed("filters.listener.http_inspector", "filters.listener.http_inspector.v3.HttpInspector") | {
        "filter_disabled": {"destination_port_range": {"start": OPAQUE, "end": OPAQUE + 1}}
    }
    return _bootstrap(_listener("127.0.0.1", 4140, inspector, chains), clusters)


def _server() -> Json:
    clusters = [
        _cluster("app_http1", ["127.0.0.1"], HTTP1, h2=False),
        _cluster("app_http2", ["127.0.0.1"], HTTP2, h2=True),
        _cluster("app_opaque", ["127.0.0.1"], OPAQUE),
    ]
    served: tuple[tuple[int, Json, list[str]], ...] = (
        (HTTP1, _http("app_http1", inbound=True), ["h2", "http/1.1"]),
        (HTTP2, _http("app_http2", inbound=True), ["h2", "http/1.1"]),
        (OPAQUE, _tcp("app_opaque"), []),
    )
    chains = [
        {
            "filter_chain_match": {"destination_port": port, "transport_protocol": "tls"},
            "transport_socket": _tls("server", alpn),
            "filters": [network_filter],
        }
        for port, network_filter, alpn in served
    ]
    inspector = _typed("filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
    return _bootstrap(_listener("0.0.0.0", 4143, inspector, chains), clusters)


def _bootstrap(listener: Json, clusters: list[Json]) -> Json:
    return {"admin": _ADMIN, "static_resources": {"listeners": [listener], "clusters": clusters}}


def _typed(name: str, message: str, **fields: Any) -> Json:
    return {"name": f"envoy.{name}", "typed_config": {"@type": f"{_TYPES}extensions.{message}", **fields}}


def _listener(address: str, port: int, inspector: Json, chains: list[Json]) -> Json:
    original_dst = _typed("filters.listener.original_dst", "filters.listener.original_dst.v3.OriginalDst")
    return {
        "name": "redirected",
        "address": {"socket_address": {"address": address, "port_value": port}},
        "listener_filters": [original_dst, inspector],
        "listener_filters_timeout": "10s",
        "continue_on_listener_filters_timeout": True,
        "filter_chains": chains,
    }


def _tls(side: str, alpn: list[str]) -> Json:
    other = spiffe(SIDES["client" if side == "server" else "server"])
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(PKI / f"{side}.crt")},
                "private_key": {"filename": str(PKI / f"{side}.key")},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(PKI / "ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": other}}],
        },
    } | ({"alpn_protocols": alpn} if alpn else {})
    if side == "client":
        own: Json = {"@type": "UpstreamTlsContext", "sni": "weft.internal"}
    else:
        own = {"@type": "DownstreamTlsContext", "require_client_certificate": True}
    message = f"transport_sockets.tls.v3.{own.pop('@type')}"
    return _typed("transport_sockets.tls", message, common_tls_context=common, **own)


def _cluster(
    name: str, addresses: Sequence[str], port: int, *, h2: bool | None = None, alpn: list[str] | None = None
) -> Json:
    """`h2`: HTTP by that version, None: bytes. `alpn`: mesh TLS with these, None: plain text."""
    targets = [{"endpoint": {"address": {"socket_address": {"address": a, "port_value": port}}}} for a in addresses]
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    cluster: Json = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST" if len(addresses) > 1 else "ROUND_ROBIN",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _UNLIMITED)]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": targets}]},
    }
    if h2 is not None:
        version: Json = {"http2_protocol_options": {}} if h2 else {"http_protocol_options": {}}
        options = {"@type": f"{_TYPES}extensions.upstreams.http.v3.HttpProtocolOptions"}
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options | {"explicit_http_config": version}
        }
    if alpn is not None:
        cluster["transport_socket"] = _tls("client", alpn)
    return cluster


def _http(cluster: str, *, inbound: bool) -> Json:
    route: Json = {"cluster": cluster, "timeout": "0s"}
    if not inbound:
        retry_on = "connect-failure,refused-stream,unavailable,cancelled"
        route["retry_policy"] = {"retry_on": retry_on, "num_retries": 2}
    routes = [{"match": {"prefix": "/"}, "route": route}]
    router = _typed("filters.http.router", "filters.http.router.v3.Router")
    return _typed(
        "filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=cluster,
        codec_type="AUTO",
        generate_request_id=True,
        forward_client_cert_details="APPEND_FORWARD" if inbound else "SANITIZE",
        set_current_client_cert_details={"subject": True, "uri": True, "dns": True} if inbound else {},
        route_config={"name": cluster, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[_authorization(), router] if inbound else [router],
    )


def _authorization() -> Json:
    principal = {"authenticated": {"principal_name": {"prefix": f"spiffe://{TRUST_DOMAIN}/"}}}
    policy = {"permissions": [{"any": True}], "principals": [principal]}
    rules = {"action": "ALLOW", "policies": {"mesh": policy}}
    return _typed("filters.http.rbac", "filters.http.rbac.v3.RBAC", rules=rules)


def _tcp(cluster: str) -> Json:
    return _typed(
        "filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=cluster, cluster=cluster
    )
