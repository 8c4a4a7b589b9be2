"""Events, alerts, and the checks of the dashboard. Pure."""

from weft.explanations.model import Explanation

EVENTS = {
    "Injected": Explanation(
        "a pod got the proxy", "The event says the version of the proxy.", "There is nothing to do."
    ),
    "FaultyAnnotation": Explanation(
        "an annotation of a Service holds nothing",
        "An annotation config.weft.dev/… has a wrong name or value; the others hold. The event says what is wrong.",
        "Correct it or take it away. While it is there, `weft diagnostics policy svc/NAME` shows it.",
    ),
    "InjectionSkipped": Explanation(
        "a pod was not injected",
        "The pod's namespace or template is marked, and yet it cannot or shall not have the proxy; the event says why.",
        "Change what the event names (hostNetwork, annotation), then restart the workload.",
    ),
    "SecretRefused": Explanation(
        "identity does not take what a Secret holds",
        "What Secret weft-trust-anchor or weft-issuer holds now is not sound; what was there before stays in use until "
        "it ends. The event says what is wrong.",
        "Repair what was changed last in these Secrets; `weft check` looks at both.",
    ),
}
"""By the reason of an Event."""

_SLOW_OR_FAILING = "`weft why` names the likeliest cause, `weft viz top` which requests they are."
_CONTROL_PLANE = "See `kubectl -n weft logs` of the Deployment that the alert names."

ALERTS = {
    "WeftSuccessLow": Explanation(
        "a workload fails", "For five minutes less than 95 % of its answers were good.", _SLOW_OR_FAILING
    ),
    "WeftSuccessCritical": Explanation(
        "a workload fails often", "For five minutes less than 90 % of its answers were good.", _SLOW_OR_FAILING
    ),
    "WeftLatencyHigh": Explanation(
        "a workload is slow",
        "For ten minutes one answer of a hundred took more than a second.",
        "`weft viz tap --min-latency 1s` shows such requests; `weft why` names a server behind it that is slow.",
    ),
    "WeftCertificateNotRenewed": Explanation(
        "a proxy's certificate ends soon",
        "A proxy renews after 65 to 70 % of a life; this one has less than a sixteenth left. Without a certificate it "
        "can neither call nor be called by mutual TLS.",
        "Run `weft check --proxy`, and see whether the pod of identity is ready.",
    ),
    "WeftProxyStale": Explanation(
        "a proxy has no tie to the control plane",
        "For five minutes it heard nothing of destination; it goes on with what it knew.",
        "See `weft check` (is destination ready?), and whether a NetworkPolicy keeps the pod from it.",
    ),
    "WeftProxyNotScraped": Explanation(
        "a proxy's numbers are unknown",
        "For five minutes Prometheus could not scrape it; its traffic goes on.",
        "See whether a NetworkPolicy keeps Prometheus from port 4191 of the pod.",
    ),
    "WeftAuthorityEnds": Explanation(
        "trust anchor or issuer was not renewed",
        "Identity renews both after two thirds of their life; less than a quarter is left.",
        "Run `weft check`, and see `kubectl -n weft logs deploy/identity -c identity`.",
    ),
    "WeftSecretsRefused": Explanation(
        "identity does not take what its Secrets hold",
        "What is in Secret weft-trust-anchor or weft-issuer is not sound. When what identity had before ends, nothing "
        "is certified.",
        "See `kubectl -n weft get events --field-selector reason=SecretRefused`, and repair what was changed last.",
    ),
    "WeftWatchStale": Explanation(
        "a component hears nothing of Kubernetes",
        "For more than ten minutes it got no event of a kind that it watches: what it knows may be old.",
        _CONTROL_PLANE,
    ),
    "WeftWebhookFailed": Explanation(
        "the injector failed to review pods",
        "Pods may have begun without a proxy.",
        "See `kubectl -n weft logs deploy/injector`, then restart workloads whose pods have none.",
    ),
    "WeftWebhookCertificateEnds": Explanation(
        "a serving certificate was not renewed",
        "That of the injector, sp-validator or tap ends within a day; then the API server calls it in vain.",
        _CONTROL_PLANE,
    ),
    "WeftControlPlaneDown": Explanation(
        "a component of the control plane is away",
        "For two minutes no replica of it answered. Proxies go on with what they know.",
        "See `kubectl -n weft describe pods` and `weft check`.",
    ),
}
"""By the name of the alert."""


def _ready(component: str) -> Explanation:
    return Explanation(
        f"Pods of {component}",
        "At least one of its pods is ready.",
        f"See `kubectl -n weft describe pods -l weft.dev/component={component}`.",
    )


DASHBOARD = {
    **{
        f"{component}-ready": _ready(component)
        for component in ("identity", "destination", "injector", "sp-validator", "tap", "prometheus")
    },
    "prometheus-answers": Explanation(
        "Queries to Prometheus",
        "Prometheus answers what web asks it.",
        "See whether the pod of Prometheus runs, and whether WEFT_PROMETHEUS_URL names the one you mean.",
    ),
    "proxies-scraped": Explanation(
        "Scrapes of the proxies",
        "Prometheus knows every proxy and can scrape it; of others there are no numbers.",
        "Compare its jobs with ConfigMap prometheus-config; a NetworkPolicy may keep it from port 4191 of pods.",
    ),
    "proxy-versions": Explanation(
        "Versions of the proxies",
        "All proxies have the control plane's version.",
        "Restart the workloads of the others (`kubectl rollout restart`).",
    ),
}
"""Checks of the dashboard and its API; what holds when the check succeeds."""
