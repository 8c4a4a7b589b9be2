"""From questions to PromQL that Prometheus 2.42 and 3 both take. Pure.

Counters are read by what they *grew* in the window. `increase()` needs two samples, so it would never see the first
failure of a kind: a series born in the window counts with its whole value, if its proxy was already being scraped or
began in the window too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from weft_kube.workloads import label_value

from weft_web.question import SERVICE_ACCOUNT, Peer, Question

REQUESTS = "weft_requests_total"
LATENCY = "weft_response_duration_seconds_bucket"
RETRIES = "weft_retries_total"
TCP_OPEN = "weft_tcp_open_connections"
TCP_OPENED = "weft_tcp_opened_total"
EXPIRY = "weft_identity_expiry_timestamp_seconds"
PROXY_ERRORS = "weft_proxy_errors_total"
DENIED = "weft_policy_denied_total"
LIMITED = "weft_rate_limited_total"
EGRESS = "weft_egress_total"
ENDPOINTS = "weft_balancer_endpoints"
LEFT_OUT = "weft_balancer_left_out"
TRIPS = "weft_breaker_trips_total"
TCP_READ = "weft_tcp_read_bytes_total"
TCP_WRITTEN = "weft_tcp_written_bytes_total"
JOB = 'job="weft-proxy"'
NO_PROBES = 'route!="[probe]"'
"""The kubelet's probes are counted apart, and are no traffic."""

Matchers = tuple[str, ...]
"""Label matchers as PromQL spells them."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A kind that is not always a label of the metrics: its name is then the beginning of its pods' names."""

    named: str
    """PromQL around a series (%s): sets the label `owner`."""
    suffix: str
    """A regular expression of what its pods' names have more."""
    matchers: tuple[str, ...] = ()


# The pods of Job NAME are NAME-xxxxx, or NAME-INDEX-xxxxx. Its name is the workload's, unless a CronJob made it:
# then it is NAME-MINUTES, or what somebody called it who made it from the CronJob by hand.
_JOB = "job/([^/]+)/.+|cronjob/[^/]+/(.+-[0-9]{8,})(?:-[0-9]+)?-[^-]+|cronjob/[^/]+/(.+)-[^-]+"
_OWNED = {
    "job": Owned(
        'label_replace(label_join(%s, "made", "/", "workload_kind", "workload", "pod"), '
        f'"owner", "$1$2$3", "made", "{_JOB}")',
        "(-[0-9]+)?-[^-]+",
        ('workload_kind=~"job|cronjob"',),
    ),
}


def equals(label: str, value: str) -> str:
    """A matcher. Values are Kubernetes names, which need no escape."""
    return f'{label}="{value}"'


WORKLOADS = ("deployment", "statefulset", "daemonset", "cronjob")
"""Kinds that a label names. They are asked for together, so that one answer serves all of them."""

_ANY_WORKLOAD = "|".join(WORKLOADS)


@dataclass(frozen=True, slots=True)
class Key:
    """How the rows of a kind are told apart: the labels that hold an object's namespace, its kind if any, its name."""

    namespace: str
    name: str
    kind: str = ""
    matchers: Matchers = ()
    owned: Owned | None = None
    """How the label `owner` gets the object's name."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of a row."""
        return (self.namespace, self.kind, self.name) if self.kind else (self.namespace, self.name)

    def value(self, name: str) -> str:
        """What the label holds of an object with this name: names of workloads are cut."""
        return label_value(name) if self.name in ("workload", "dst_workload") else name

    def named(self, name: str) -> str:
        """The matcher of one object."""
        return equals(self.name, self.value(name))

    def of_kind(self, kind: str) -> Matchers:
        """Matchers of one kind's rows."""
        return (equals(self.kind, kind), *self.matchers) if self.kind else self.matchers


def row(kind: str, namespace: str, name: str) -> tuple[str, ...]:
    """An object's values of the labels that name its row."""
    if kind in WORKLOADS:
        return namespace, kind, label_value(name)
    return namespace, name


@dataclass(frozen=True, slots=True)
class Series:
    """The series a question is about: matchers, and the labels that group them into rows."""

    matchers: Matchers
    by: tuple[str, ...]
    owned: Owned | None = None

    def grown(self, metric: str, window: int, *more: str) -> str:
        """How much a counter grew, by row and the labels `more`."""
        series, past = _selected(metric, self.matchers), f"offset {window}s"
        young = f"process_start_time_seconds{{{JOB}}} > time() - {window}"
        born = f"{series} unless {series} {past} and on (namespace, pod) (up{{{JOB}}} {past} == 1 or {young})"
        return self._folded("sum", f"({born}) or increase({series}[{window}s])", *more)

    def rate(self, metric: str, window: int, *more: str) -> str:
        """How fast a counter grows, for lines over time: what began in the window counts from its second sample on."""
        return self._folded("sum", f"rate({_selected(metric, self.matchers)}[{window}s])", *more)

    def only(self, matcher: str) -> "Series":
        """Those of the series that match this, too."""
        return Series((*self.matchers, matcher), self.by, self.owned)

    def now(self, metric: str, *more: str) -> str:
        """The newest values added up, by row and the labels `more`."""
        return self._folded("sum", _selected(metric, self.matchers), *more)

    def most(self, metric: str, *more: str) -> str:
        """The highest newest value of one proxy, by row and the labels `more`."""
        return self._folded("max", _selected(metric, self.matchers), *more)

    def up(self) -> str:
        """For every row, the share of its proxies that could be scraped within 30 s; those that just began are left out
        until they were scraped once."""
        scraped = _selected("up", (JOB, *self.matchers))
        succeeded = f"({lately(scraped)})"
        return self._folded("avg", f"{succeeded} == 1 or {succeeded} and {scraped} offset 30s")

    def _folded(self, fold: str, inner: str, *more: str) -> str:
        if self.owned:
            inner = self.owned.named % inner
        return f"{fold} by ({', '.join((*self.by, *more))}) ({inner})"


def lately(scraped: str) -> str:
    """1 for what could be scraped once in 30 s; where another Prometheus scrapes more seldom, at its newest try."""
    return f"max_over_time({scraped}[30s]) and {scraped} or {scraped}"


def server_key(kind: str) -> Key:
    """Rows by the labels of the proxy that was scraped."""
    if kind == "namespace":
        return Key("namespace", "namespace")
    if kind == "pod":
        return Key("namespace", "pod")
    if kind == SERVICE_ACCOUNT.name:
        return Key("namespace", "service_account")
    if kind == "replicaset":
        # Pods' names do not tell: of a long name Kubernetes keeps 58 characters, which ReplicaSets may share.
        return Key("namespace", "owner", matchers=(equals("owner_kind", kind),))
    if owned := _OWNED.get(kind):
        return Key("namespace", "owner", matchers=owned.matchers, owned=owned)
    return Key("namespace", "workload", "workload_kind")


def client_key(kind: str) -> Key:
    """Rows by the destination that a client's proxy recorded."""
    if kind == "namespace":
        return Key("dst_namespace", "dst_namespace")
    if kind == "service":
        return Key("dst_namespace", "dst_service")
    return Key("dst_namespace", "dst_workload", "dst_workload_kind")


def stat_key(question: Question) -> Key:
    """Which labels name the rows of a question."""
    if question.from_ or question.kind.name == "service":
        return client_key(question.kind.name)
    return server_key(question.kind.name)


def stat_series(question: Question) -> Series:
    """Server side as a rule; the client's proxies when a peer is asked for, or a Service."""
    outbound = bool(question.to or question.from_ or question.kind.name == "service")
    direction = (equals("direction", "outbound" if outbound else "inbound"),)
    peers = _peer_matchers(question.to, client_key) + _peer_matchers(question.from_, server_key)
    return _series(question, stat_key(question), direction + peers)


def up_series(question: Question) -> Series:
    """The scrapes of the proxies of a question's objects."""
    return _series(question, server_key(question.kind.name), ())


def peer_series(peer: Peer) -> Series:
    """The scrapes of a peer's proxies, all in one."""
    return Series(_peer_matchers(peer, server_key), ("job",))


ROUTE_LABELS = ("route", "dst_namespace", "dst_service")


def route_series(question: Question) -> Series:
    """Requests an object sends, all or to a peer (or, for a Service, gets), as the clients' proxies saw them, by route
    and Service."""
    peers = _peer_matchers(question.to, client_key)
    return Series(_clients(question, equals("direction", "outbound"), *peers), ROUTE_LABELS)


def balancing_series(question: Question) -> Series:
    """What an object's proxies know of the endpoints they use; for a Service, what its clients' do."""
    return Series(_clients(question), BALANCED)


def leavers_series(question: Question) -> Series:
    """What all clients know of the endpoints in an object's namespace: Services have endpoints in their own only."""
    return Series((equals("dst_namespace", question.namespace),), BALANCED)


def _clients(question: Question, *more: str) -> Matchers:
    """The proxies of an object, or those of a Service's clients where they call it."""
    key = client_key("service") if question.kind.name == "service" else server_key(question.kind.name)
    return _series(question, key, more).matchers


def received_series(question: Question) -> Series:
    """Requests that objects receive, by route and client."""
    own = _series(question, server_key(question.kind.name), (equals("direction", "inbound"),))
    return Series(own.matchers, (*own.by, "route", "peer_identity", "tls"), own.owned)


def sent_series(question: Question) -> Series:
    """Requests that objects send, by Service, route and the workload that answered."""
    own = _series(question, server_key(question.kind.name), (equals("direction", "outbound"),))
    return Series(own.matchers, (*own.by, *_BACKEND_LABELS), own.owned)


def retry_series(question: Question) -> Series:
    """Failed requests that were sent again, by Service and route."""
    own = _series(question, server_key(question.kind.name), ('result=~"success|failure"',))
    return Series(own.matchers, (*own.by, *_BACKEND_LABELS[:3]), own.owned)


_BACKEND_LABELS = ("dst_namespace", "dst_service", "route", "dst_workload_kind", "dst_workload")
EDGE_LABELS = ("dst_namespace", "dst_workload_kind", "dst_workload", "dst_service", "peer_identity", "tls")


def edge_series(question: Question) -> list[Series]:
    """What clients send, by both ends and what protects it: what leaves the objects asked for, then what reaches them.

    They share what one of the objects sends to another. Of a whole mesh they are one.
    """
    kind, labels = question.kind.name, (*_scraped_labels(question), *EDGE_LABELS)
    keys = (client_key(kind),) if kind == "service" else (_scraped_key(kind), client_key(kind))
    ends = dict.fromkeys(_one_of(question, key) for key in keys)
    return [Series((equals("direction", "outbound"), *end), labels) for end in ends]


def plain_series(question: Question) -> list[Series]:
    """What comes in without a client's identity, by the server and what protects it; Services have no proxy to tell."""
    if question.kind.name == "service":
        return []
    own = _one_of(question, _scraped_key(question.kind.name))
    matchers = (equals("direction", "inbound"), 'tls!~"true|loopback"', *own)
    return [Series(matchers, (*_scraped_labels(question), "tls"))]


def _scraped_labels(question: Question) -> tuple[str, ...]:
    return ("namespace", "pod") if question.kind.name == "pod" else _OWN


def _scraped_key(kind: str) -> Key:
    """An edge's end whose proxy was scraped: metrics know the workload, whichever ReplicaSet or Job it has now."""
    return server_key(kind if kind in ("namespace", "pod") else WORKLOADS[0])


def _one_of(question: Question, key: Key) -> Matchers:
    """Of the namespace and the name asked for, whatever else is in them."""
    space = (equals(key.namespace, question.namespace),) if question.namespace else ()
    return (*space, *key.of_kind(question.kind.name), key.named(question.name)) if question.name else space


_OWN = ("namespace", "workload_kind", "workload")
BALANCED = (*_OWN, "dst_namespace", "dst_service")
FAILURE_LABELS = (*_OWN, "status", "grpc_status", "peer_identity", "route")
ERROR_LABELS = (*_OWN, "code")
DENIED_LABELS = (*_OWN, "policy", "mode", "peer_identity")


def failure_series(question: Question) -> Series:
    """Failed answers, by who gave them, what they were, and to whom."""
    return Series((equals("direction", "inbound"), equals("result", "failure"), *_space(question)), FAILURE_LABELS)


def error_series(question: Question) -> Series:
    """The proxies' own errors, by workload and code."""
    return Series(_space(question), ERROR_LABELS)


def denied_series(question: Question) -> Series:
    """Calls that policies denied, or would deny, by workload, policy and client."""
    return Series(_space(question), DENIED_LABELS)


def policy_series(question: Question) -> dict[str, Series]:
    """By metric: calls that a policy denied, or would, calls above a limit, and calls to outside the mesh."""
    labels = {DENIED: ("policy", "mode"), LIMITED: ("policy",), EGRESS: ("destination", "verdict")}
    return {metric: Series(_space(question), ("namespace", *by)) for metric, by in labels.items()}


def newest(metric: str, question: Question, fold: str, by: tuple[str, ...], condition: str) -> str:
    """A gauge of the proxies where a condition holds (" > 0"), folded by labels."""
    return f"{fold} by ({', '.join(by)}) ({_selected(metric, (JOB, *_space(question)))}{condition})"


def _space(question: Question) -> Matchers:
    return (equals("namespace", question.namespace),) if question.namespace else ()


def _peer_matchers(peer: Peer | None, key_of: Callable[[str], Key]) -> Matchers:
    if peer is None:
        return ()
    key = key_of(peer.kind or "namespace")
    space = (equals(key.namespace, peer.namespace),) if peer.namespace else ()
    return (*space, *key.of_kind(peer.kind), key.named(peer.name)) if peer.name else space


def _owner_matchers(question: Question) -> Matchers:
    """Of the pods of one object."""
    owner = question.of
    if owner is None or owner.kind == "namespace":
        return ()
    key = server_key(owner.kind)
    if key.owned:
        return (*key.matchers, _pods_of(owner.name, key.owned))
    return (*key.of_kind(owner.kind), key.named(owner.name))


def _pods_of(name: str, owned: Owned) -> str:
    return f'pod=~"{name.replace(".", "[.]")}{owned.suffix}"'


def _series(question: Question, key: Key, matchers: Matchers) -> Series:
    space = (equals(key.namespace, question.namespace),) if question.namespace else ()
    by = tuple(dict.fromkeys(key.labels))
    matchers = (*matchers, *space, *_owner_matchers(question))
    if key.owned:
        named = (_pods_of(question.name, key.owned),) if question.name else ()
        return Series((*matchers, *key.matchers, *named), by, key.owned)
    if question.name:
        return Series((*matchers, *key.of_kind(question.kind.name), key.named(question.name)), by)
    known = f'{key.kind}=~"{_ANY_WORKLOAD}"' if key.kind else f'{key.name}!=""'
    return Series((*matchers, *key.matchers, known), by)


def _selected(metric: str, matchers: Matchers) -> str:
    if metric in {REQUESTS, LATENCY}:
        matchers = (*matchers, NO_PROBES)
    return f"{metric}{{{','.join(matchers)}}}"


_NARROWED = {
    "namespace": r'[{,](dst_)?namespace="',
    "name": r"[{,]((dst_)?workload|pod|dst_service|owner|service_account)=",
}


def narrower(expression: str) -> str:
    """What to ask instead of an expression that too many series answer: what it does not ask for yet."""
    open_ends = [f"one {what}" for what, matcher in _NARROWED.items() if not re.search(matcher, expression)]
    return f"ask for {', or '.join(open_ends)}" if open_ends else "ask Prometheus itself for a part of it"


STEPS = 60


def age(window: int) -> str:
    """For how many seconds Prometheus has looked at the mesh, where that is less than the window; to a STEPS'th of it.

    It is told by the control plane's scrapes, which are few and begin as those of the proxies do.
    """
    step = max(1, window // STEPS)
    first = f'min(min_over_time(timestamp(up{{job="weft-control-plane"}})[{window + step}s:{step}s]))'
    return f"time() - {first} < {window}"
