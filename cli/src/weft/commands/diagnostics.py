"""`weft diagnostics`: what control plane and proxies say of themselves, for whom looks for a fault."""

import re
from typing import TYPE_CHECKING, Any

import click

from weft.errors import Failure
from weft.options import Group, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.cluster import Kube, Object
    from weft.forward import Connect

AUTHORITY = re.compile(r"(?P<name>[a-z0-9-]+)(\.(?P<namespace>[a-z0-9-]+)(\.svc(\.[a-z0-9.-]+)?)?)?:(?P<port>\d{1,5})")

AT_ONCE = 8
"""Proxies asked at once."""


@click.group(cls=Group)
def diagnostics() -> None:
    """Look into control plane and proxies."""


@diagnostics.command("endpoints")
@click.argument("service", metavar="SVC:PORT")
@output_option("table", "wide", "json")
@pass_target
def endpoints(target: Target, service: str, output: str) -> None:
    """Show where the control plane sends requests of a Service.

    `weft diagnostics endpoints web:80`, or web.shop:80. IDENTITY: what the endpoint must prove; "-": plain text.
    -o wide adds the proxies that use it. TOLD: the version that a replica of destination has sent. HOLDS: the one that
    the proxy says it goes by; "?": it cannot be asked.
    """
    from weft.views import endpoints as views
    from weft.views import table

    kube = target.connect()
    namespace, name, port = _authority(service, target.namespace_or_default(kube))
    answer = views.merged(_each_destination(kube, f"/debug/endpoints/{namespace}/{name}/{port}"))
    if output != "table":
        _ask_proxies(kube, answer["watchers"], (namespace, name, port))
    if output == "json":
        click.echo(table.document(answer))
        return
    if not answer["state"]["exists"]:
        raise Failure(f"there is no port {port} of service {name} in namespace {namespace}", "See `kubectl get svc`.")
    click.echo(views.endpoints_table(answer))
    if output == "wide":
        click.echo(f"\n{views.watchers_table(answer)}")
    if not answer["state"]["endpoints"]:
        click.echo(f"no endpoint of {name}.{namespace}:{port} is ready: `weft why svc/{name} -n {namespace}`", err=True)
    _compare(views.disagreement(answer))
    behind = [one for one in answer["watchers"] if views.state(one) != "current"]
    if behind:
        click.echo(f"{len(behind)} of {len(answer['watchers'])} proxies do not have the newest state", err=True)


@diagnostics.command("policy")
@click.argument("resource", nargs=-1, metavar="[TYPE/NAME]")
@click.option("--client", metavar="NAMESPACE", help="Whose requests (default: the Service's own namespace's).")
@output_option("table", "json")
@pass_target
def policy(target: Target, resource: tuple[str, ...], client: str | None, output: str) -> None:
    """Show what becomes of requests to a Service, and which object says so.

    `weft diagnostics policy svc/web`; of a workload: the Services that its pods serve; without: all of the namespace.
    FROM: a route of the Gateway API, a ServiceProfile, or the Service's annotations; "*": what the Service's
    annotations add, "**": what the route's do. What does not hold is named at the end.
    """
    from weft import resources
    from weft.pods import services_of
    from weft.views import policy as views
    from weft.views import table

    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    names = services_of(kube, namespace, resources.named(resource) if resource else None)
    answer = views.merged(_policies(kube, namespace, names, client or namespace))
    if output == "json":
        click.echo(table.document(answer))
        return
    _compare(views.disagreement(answer))
    if not answer["ports"]:
        what = "/".join(resource) or "any Service"
        raise Failure(f"the control plane knows no port of {what} in namespace {namespace}", "See `kubectl get svc`.")
    click.echo(views.policy(answer["ports"], answer["faults"], client or namespace))


@diagnostics.command("proxies")
@output_option("table", "json")
@pass_target
def proxies(target: Target, output: str) -> None:
    """Show the proxies that are connected to the control plane.

    REPLICA: the pod of destination that serves it. TARGETS: what a proxy watches. WAITING: of how many of these it has
    not taken the newest state yet.
    """
    from weft.views import table

    answers = _each_destination(target.connect(), "/debug/streams")
    streams = [stream | {"replica": replica} for replica, answer in answers.items() for stream in answer["streams"]]
    rows = [one for one in streams if target.namespace in (None, one["namespace"])]
    if output == "json":
        click.echo(table.document({"streams": rows}))
        return
    header = ["NAMESPACE", "POD", "REPLICA", "VERSION", "TARGETS", "WAITING", "CONNECTED"]
    cells = [
        [
            *(str(one[name]) for name in ("namespace", "pod", "replica", "proxy_version", "targets", "waiting")),
            _age(one["seconds"]),
        ]
        for one in sorted(rows, key=lambda one: (one["namespace"], one["pod"]))
    ]
    click.echo(table.table(header, cells, left=4))


@diagnostics.command("proxy-metrics")
@click.argument("resource", nargs=-1, required=True, metavar="TYPE/NAME")
@pass_target
def proxy_metrics(target: Target, resource: tuple[str, ...]) -> None:
    """Print the metrics of a pod's proxy, or of all proxies of a workload.

    `weft diagnostics proxy-metrics po/web-1`, `weft diagnostics proxy-metrics deploy/web`.
    """
    from weft import names, resources
    from weft.pods import pods_of

    one = resources.named(resource)
    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    found = [pod for pod in pods_of(kube, namespace, one) if names.PROXY_VERSION in _labels(pod)]
    if not found:
        raise Failure(f"no pod of {one} in namespace {namespace} has a proxy", "See `weft inject --help`.")
    for number, pod in enumerate(found, 1):
        where = f"{namespace}/{pod['metadata']['name']}"
        click.echo(f"#\n# POD {where} ({number} of {len(found)})\n#")
        click.echo(_metrics(kube, pod, names.PORT_ADMIN), nl=False)


@diagnostics.command("controller-metrics")
@pass_target
def controller_metrics(target: Target) -> None:
    """Print the metrics of weft's own services."""
    from weft import names

    kube = target.connect()
    pods = kube.list(f"/api/v1/namespaces/{names.NAMESPACE}/pods", labelSelector=names.COMPONENT)
    served = [pod for pod in pods if names.PORT_SERVICE_ADMIN in _ports(pod)]
    if not served:
        raise Failure("no pod of the control plane is there", "See `weft check`.")
    for pod in sorted(served, key=lambda pod: str(pod["metadata"]["name"])):
        click.echo(f"#\n# POD {pod['metadata']['name']} CONTAINER {_labels(pod)[names.COMPONENT]}\n#")
        click.echo(_metrics(kube, pod, names.PORT_SERVICE_ADMIN), nl=False)


def _authority(text: str, namespace: str) -> tuple[str, str, int]:
    """Namespace, name and port of `web:80`, `web.shop:80` or `web.shop.svc.cluster.local:80`."""
    found = AUTHORITY.fullmatch(text)
    if not found:
        raise Failure(f"{text!r} is not SVC:PORT", "Write for example web:80 or web.shop:80.")
    return found["namespace"] or namespace, found["name"], int(found["port"])


def _compare(differ: str) -> None:
    if differ:
        click.echo(f"{differ}; if it stays so, compare their watches: `weft diagnostics controller-metrics`", err=True)


def _policies(kube: "Kube", namespace: str, names: list[str], client: str) -> dict[str, list[dict[str, Any]]]:
    """What each replica says of each Service, by its pod."""
    paths = [f"/debug/policy/{namespace}/{name}?client={client}" for name in names]
    return {pod: [_answer(each, path, pod) for path in paths] for pod, each in _destinations(kube).items()}


def _each_destination(kube: "Kube", path: str) -> dict[str, dict[str, Any]]:
    """What each replica says, by its pod: a proxy is connected to one of them."""
    return {pod: _answer(open_socket, path, pod) for pod, open_socket in _destinations(kube).items()}


def _destinations(kube: "Kube") -> dict[str, "Connect"]:
    from weft.forward import to_each
    from weft.names import PORT_SERVICE_ADMIN

    return to_each(kube, "destination", PORT_SERVICE_ADMIN)


def _answer(open_socket: "Connect", path: str, name: str) -> dict[str, Any]:
    from weft.forward import get_json

    status, answer = get_json(open_socket, path, name)
    if status >= 400:
        raise Failure(f"{name} answered {status} to {path}", "See `weft check`: is it of this CLI's version?")
    return dict(answer)


def _ask_proxies(kube: "Kube", watchers: list[dict[str, Any]], service: tuple[str, str, int]) -> None:
    """Adds the version that each proxy says it holds; None where it cannot be asked."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(AT_ONCE) as pool:
        held = pool.map(lambda one: _held(kube, one["namespace"], one["pod"], service), watchers)
        for watcher, version in zip(watchers, held, strict=True):
            watcher["proxy_holds"] = version


def _held(kube: "Kube", namespace: str, pod: str, service: tuple[str, str, int]) -> str | None:
    from weft.forward import get
    from weft.names import PORT_ADMIN
    from weft.views import endpoints as views

    try:
        status, body = get(lambda: kube.forward(namespace, pod, PORT_ADMIN), "/held", f"{namespace}/{pod}")
    except Failure:
        return None
    return views.version_in(body.decode(errors="replace"), *service) if status == 200 else None


def _metrics(kube: "Kube", pod: "Object", port: int) -> str:
    from weft.forward import get

    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    _, body = get(lambda: kube.forward(namespace, name, port), "/metrics", f"{namespace}/{name}:{port}")
    return body.decode(errors="replace")


def _labels(pod: "Object") -> dict[str, str]:
    return pod["metadata"].get("labels") or {}


def _ports(pod: "Object") -> list[int]:
    return [port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports") or []]


def _age(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}h{minutes % 60}m" if minutes >= 60 else f"{minutes}m{rest}s" if minutes else f"{rest}s"
