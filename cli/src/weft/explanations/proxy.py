"""Errors of the proxy, and reasons for plain text. Pure."""

from weft.explanations.model import Explanation

ERRORS = {
    "E101": Explanation(
        "no route",
        "The request matches no route of its Service, and the Service's routes leave nothing over.",
        "Compare the request's method and path with the routes: `weft viz routes svc/NAME`.",
    ),
    "E102": Explanation(
        "destination unknown",
        "The control plane did not say within 3 seconds where this address leads, so the proxy does not guess.",
        "See `weft check` (is destination ready?), and whether a NetworkPolicy keeps the pod from it.",
    ),
    "E103": Explanation(
        "connection failed",
        "Nothing accepted a connection at the chosen endpoint: refused, unreachable or closed at once.",
        "See that the application listens on the port that its Service names as targetPort: `weft why`.",
    ),
    "E104": Explanation(
        "no ready endpoints",
        "The Service has no endpoint that is ready: its selector matches no pod, or no pod is ready.",
        "`weft diagnostics endpoints SVC:PORT` shows what there is; `kubectl describe pod` why it is not ready.",
    ),
    "E105": Explanation(
        "request timeout",
        "The response took longer than the route allows (ServiceProfile, HTTPRoute or annotation).",
        "`weft viz stat-outbound` shows latencies by route: allow more time, or make the server faster.",
    ),
    "E106": Explanation(
        "TLS or identity failed",
        "The other side's certificate is not what the control plane promised, or this proxy has none yet.",
        "`weft check --proxy` looks at every certificate; a pod that was replaced gets its identity within seconds.",
    ),
    "E107": Explanation(
        "loop",
        "The request leads back to the proxy that sends it.",
        "Call the Service instead of the pod's own address or the proxy's ports (4140, 4143).",
    ),
    "E108": Explanation(
        "protocol error",
        "What came is not the HTTP it claims to be, or breaks its rules.",
        "Declare ports that do not speak HTTP as opaque: annotation config.weft.dev/opaque-ports.",
    ),
    "E110": Explanation(
        "overloaded",
        "Too many requests wait in this proxy already.",
        "The server behind it is too slow or too few: scale it, or lower the clients' concurrency.",
    ),
    "E111": Explanation(
        "connection lost",
        "The connection went away after the request was sent and before a response: the application may have seen it.",
        "Look for restarts of the server (`kubectl get pods`) and keep-alive times that are shorter than the client's.",
    ),
    "E112": Explanation(
        "malformed request",
        "The request breaks the rules of HTTP: its body's framing, more than one Host header, a host that cannot be.",
        "Look at the client that sent it: `weft viz tap` shows who it is.",
    ),
    "E113": Explanation(
        "route cannot be followed",
        "The request's route leads nowhere: a backend that does not exist or may not be referred to, a filter that "
        "makes no sense. What follows the code says which.",
        "Look at the conditions in the route's status (`kubectl describe httproute NAME`) and correct it.",
    ),
    "E114": Explanation(
        "denied",
        "An AccessPolicy, or the default of the namespace or cluster, does not let this client make this call.",
        "See who decides: `weft authz can --from sa/CLIENT --to deploy/SERVER GET /path`.",
    ),
    "E115": Explanation(
        "rate limited",
        "The client, or all clients together, made more requests than an AccessPolicy's rateLimit allows.",
        "Wait as long as Retry-After says; `weft authz list deploy/SERVER` names the limit.",
    ),
    "E116": Explanation(
        "policy unknown",
        "Nobody has told the server's proxy yet who may call this port, so nobody may.",
        "Look if destination is ready: `weft check`.",
    ),
    "E117": Explanation(
        "egress denied",
        "What the application called lies outside the mesh, and no AccessPolicy of its namespace allows it there.",
        "Add host or network to spec.egress.allow, or set its mode to audit while you find out what is needed.",
    ),
}
"""By code; the header `weft-error` and `weft_proxy_errors_total` carry it."""

TLS = {
    "no_identity": Explanation(
        "the peer has no identity",
        "The other side has no proxy, or its proxy does not intercept this port; traffic is in plain text.",
        "Mesh it: `kubectl get deploy/NAME -o yaml | weft inject - | kubectl apply -f -`.",
    ),
    "loopback": Explanation(
        "loopback", "The pod talks with itself; the bytes never leave it.", "There is nothing to do."
    ),
    "passthrough": Explanation(
        "the application's own TLS",
        "The application encrypts already, so the proxy only carries the bytes: no routes and no requests are counted.",
        "Let the application speak plain HTTP if you want metrics; the mesh encrypts it.",
    ),
}
"""By the label `tls` of metrics and tap."""
