"""`weft authz`: who may call whom, why, and what a policy would change before it does."""

from typing import TYPE_CHECKING, Any

import click

from weft import durations
from weft.errors import Failure
from weft.options import Group, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.access.judged import Known
    from weft.access.model import Outcome, Workload
    from weft.cluster import Kube

Json = dict[str, Any]

window_option = click.option(
    "--window", callback=durations.option, default="1h", metavar="TIME", help="Calls of the last (default: 1h; to 6h)."
)
duration_option = click.option(
    "--duration", callback=durations.option, default="10s", metavar="TIME", help="Tap so long (default: 10s; 0s: not)."
)


@click.group(cls=Group)
def authz() -> None:
    """See who may call whom, and what a policy would change."""


@authz.command("list")
@click.argument("resource", nargs=-1, required=True, metavar="TYPE/NAME")
@output_option("table", "json")
@pass_target
def list_(target: Target, resource: tuple[str, ...], output: str) -> None:
    """List who may call a workload, as its proxies have been told.

    `weft authz list deploy/menu`: the rules of each port in the order in which they are asked; the first that
    matches a call decides. MODE audit: it only tells what it would deny.
    """
    from weft import resources
    from weft.access.judged import get
    from weft.views import access, table

    kube = target.connect()
    workload = _workload(kube, target.namespace_or_default(kube), resources.named(resource))
    where = f"/debug/inbound/{workload.namespace}/{workload.pod}"
    asked = [port for port in workload.ports if port not in workload.skipped]
    states = {port: get(kube, f"{where}/{port}")["state"] for port in asked}
    if output == "json":
        ports = {str(port): state for port, state in states.items()}
        click.echo(table.document({"pod": workload.pod, "ports": ports, "skipped": workload.skipped}))
        return
    click.echo(access.rules_table({port: state["access"] for port, state in states.items()}, workload.skipped))


@authz.command("can")
@click.option("--from", "caller", required=True, metavar="WHO", help="sa/NAME, TYPE/NAME, spiffe://…, address, nobody.")
@click.option("--from-namespace", metavar="NAME", help="Namespace of --from (default: -n).")
@click.option("--to", "callee", required=True, metavar="TYPE/NAME", help="Whom: deploy/menu, svc/menu, po/menu-1.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="The container's port, if it has several.")
@click.argument("method", required=False)
@click.argument("path", required=False)
@output_option("table", "json")
@pass_target
def can(target: Target, /, output: str, method: str | None, path: str | None, **ends: Any) -> None:
    """Say if a call is allowed, and by which rule.

    `weft authz can --from sa/counter --to deploy/menu GET /menu`; without METHOD and PATH a connection that is not
    HTTP. METHOD and PATH as they would be sent: methods have capitals. An account alone may call from any address:
    where a rule asks for that, the answer is "depends". The exit code is 0 for yes, else 1.
    """
    from weft_kube.names import PORT_ADMIN, PORT_TAP

    from weft import resources
    from weft.access.judged import ask
    from weft.views import access, table

    if method and not (path or "").startswith("/"):
        raise Failure(f"{method} of which path?", "Write METHOD PATH, for example GET /menu.")
    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    workload = _workload(kube, namespace, resources.named([ends["callee"]]))
    caller = _caller(kube, ends["from_namespace"] or namespace, ends["caller"])
    port = ends["port"] or _only_port(workload)
    if port in (PORT_TAP, PORT_ADMIN):
        raise Failure(f"{port} is the proxy's own port: no policy is about it", "Name one of the application's.")
    request = {"method": method or "", "path": path or ""}
    call = {"namespace": workload.namespace, "pod": workload.pod, "port": port, **request, **caller}
    (verdict,) = ask(kube, [call], [])["verdicts"]
    if verdict is None:
        raise Failure(f"destination knows no proxy of pod {workload.pod}", "See `weft diagnostics proxies`.")
    click.echo(table.document(verdict) if output == "json" else access.verdict(port, verdict))
    raise SystemExit(0 if verdict["enforced"]["allowed"] else 1)


@authz.command("suggest")
@click.argument("resource", nargs=-1, metavar="TYPE/NAME")
@window_option
@duration_option
@pass_target
def suggest(target: Target, resource: tuple[str, ...], window: float, duration: float) -> None:
    """Print policies that allow who called, and what is known of the calls.

    `weft authz suggest -n shop > shop.yaml`, for each workload that was called: its clients from metrics, with
    methods and paths by the routes of ServiceProfiles, else as far as tap sees them now, and the count of calls behind
    each line. A comment says where metrics counted more than that: what else a client asks for would be denied. All
    are in audit: apply them, and see with `weft viz stat` and tap what they would deny. Who calls rarely may be
    missing.
    """
    from weft import resources
    from weft.access.judged import by_key, observed
    from weft.access.routes import conditions
    from weft.access.suggest import documents, policy

    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    chosen = resources.named(resource) if resource else None
    known = by_key(kube, namespace)
    counted, tapped = observed(kube, namespace, known, window, duration)
    routes = conditions(kube.list(f"/apis/weft.dev/v1alpha1/namespaces/{namespace}/serviceprofiles"))
    policies = []
    for kind, name in sorted({call.workload for call in (*counted, *tapped)}):
        if chosen and (chosen.kind, chosen.name) != (kind, name):
            continue
        theirs, seen = (
            {call: n for call, n in of.items() if call.workload == (kind, name)} for of in (counted, tapped)
        )
        if labels := _labels(kube, namespace, kind, name, known):
            policies.append(policy((namespace, name, labels), theirs, seen, routes))
        else:
            click.echo(f"left out {kind}/{name}: it is gone, or no label tells its pods from others", err=True)
    if not policies:
        raise Failure(f"nobody called {chosen or f'namespace {namespace}'}", "Look back longer with --window.")
    click.echo(documents(policies, f"Observed: {window:.0f} s of metrics, {duration:.0f} s of tap."), nl=False)


@authz.command("simulate")
@click.option("-f", "--filename", required=True, metavar="FILE|-", help="AccessPolicies, as YAML.")
@window_option
@duration_option
@output_option("table", "json")
@pass_target
def simulate(target: Target, filename: str, window: float, duration: float, output: str) -> None:
    """Say which observed calls a draft would have denied.

    `weft authz simulate -f draft.yaml`: metrics tell who called whom and how often, tap the requests of a moment; the
    control plane judges each as if the drafts were enforced beside all that is. "depends": on the request, the port or
    the address, which metrics do not tell; of those that tap saw, so many are allowed. Rate limits and egress are not
    simulated.
    """
    from weft.access import drafts
    from weft.access.judged import judged
    from weft.access.model import settled
    from weft.views import access, table

    kube = target.connect()
    given = drafts.read(filename, target.namespace_or_default(kube))
    left_out = [why for why in map(drafts.not_simulated, given) if why]
    tried = [draft for draft in given if not drafts.not_simulated(draft)]
    if not tried:
        raise Failure(f"nothing to simulate: {'; '.join(left_out)}", "Give policies that allow or deny.")
    outcomes: list[Outcome] = []
    unjudged = 0
    for namespace in sorted({draft["metadata"]["namespace"] for draft in tried}):
        found, missed = judged(kube, namespace, given, window, duration)
        outcomes, unjudged = outcomes + found, unjudged + missed
    outcomes = settled(outcomes)
    denied = [one for one in outcomes if one.allowed is not True]
    denied.sort(key=lambda one: (one.allowed is None, -one.count, one.call.client))
    if output == "json":
        rows = [access.outcome_json(one) for one in denied]
        answer = {"calls": sum(one.count for one in outcomes), "denied": rows, "unjudged": unjudged}
        click.echo(table.document(answer | {"not_simulated": left_out}))
        return
    if denied:
        click.echo(access.outcomes_table(denied))
    for why in left_out:
        click.echo(f"not simulated: {why}", err=True)
    _summary(outcomes, unjudged)


@authz.command("policies")
@window_option
@output_option("table", "json")
@pass_target
def policies(target: Target, window: float, output: str) -> None:
    """List the policies of a namespace, how many pods and calls each is about, and what is wrong with it.

    CALLS: of those that metrics counted, how many it decides, or would, were it not in audit. OPEN: how many more it
    or another policy decides, by what metrics do not tell: the request, the port, or where the call came from.
    REFUSED: how many it refused, or would have. Of policies with egress: what pods called outside the mesh.
    """
    from weft.access.judged import judged
    from weft.access.observe import refused
    from weft.client import through
    from weft.views import access, table

    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    found = kube.list(f"/apis/weft.dev/v1alpha1/namespaces/{namespace}/accesspolicies")
    outcomes, _ = judged(kube, namespace, [], window, 0)
    rows = access.policy_rows(found, outcomes, refused(through(kube), namespace, window))
    click.echo(table.document({"policies": rows}) if output == "json" else access.policies_table(rows))


@authz.command("egress")
@window_option
@output_option("table", "json")
@pass_target
def egress(target: Target, window: float, output: str) -> None:
    """List what pods of a namespace called outside the mesh, by host or address, for a policy with egress.

    AUDIT: calls that a policy in audit would refuse; they are allowed.
    """
    from weft.access.observe import refused
    from weft.client import through
    from weft.views import access, table

    kube = target.connect()
    answer = refused(through(kube), target.namespace_or_default(kube), window)
    rows = access.leaving_rows(answer["leaving"])
    click.echo(table.document({"destinations": rows}) if output == "json" else access.leaving_table(rows))


def _summary(outcomes: "list[Outcome]", unjudged: int) -> None:
    counts = {allowed: sum(one.count for one in outcomes if one.allowed is allowed) for allowed in (True, False, None)}
    text = f"of {sum(counts.values()):,} calls {counts[False]:,} would be denied, of {counts[None]:,} it depends"
    more = f"; {unjudged:,} could not be judged: their pods are gone, or declare no ports" if unjudged else ""
    click.echo(text + more, err=True)


def _workload(kube: "Kube", namespace: str, resource: Any) -> "Workload":
    from weft.access.observe import workload_of
    from weft.names import PROXY_VERSION
    from weft.pods import pods_of

    pods = [pod for pod in pods_of(kube, namespace, resource) if PROXY_VERSION in (pod["metadata"].get("labels") or {})]
    if not pods:
        raise Failure(f"no pod of {resource} in namespace {namespace} has a proxy", "See `weft inject --help`.")
    found = workload_of(pods[0])
    if not found.ports:
        raise Failure(f"pod {found.pod} declares no ports", "Declare them in its containers' `ports`.")
    return found


def _only_port(workload: "Workload") -> int:
    if len(workload.ports) > 1:
        ports = ", ".join(map(str, workload.ports))
        raise Failure(f"{workload.kind}/{workload.name} has several ports: {ports}", "Name one by --port.")
    return workload.ports[0]


def _caller(kube: "Kube", namespace: str, text: str) -> Json:
    import ipaddress

    from weft import resources
    from weft.names import PROXY_VERSION
    from weft.pods import pods_of

    if text.startswith("spiffe://"):
        return {"identity": text, "any_address": True}
    if text == "nobody":
        return {"any_address": True}
    if text.startswith(("sa/", "serviceaccount/")):
        return {"account": f"{namespace}/{text.partition('/')[2]}", "any_address": True}
    try:
        return {"ip": str(ipaddress.ip_address(text))}
    except ValueError:
        resource = resources.named([text])
    pods = pods_of(kube, namespace, resource)
    if not pods:
        raise Failure(f"{resource} has no pods, so no account is known", "Name the account: --from sa/NAME.")
    pod = pods[0]
    ip = (pod.get("status") or {}).get("podIP", "")
    found: Json = {"ip": ip, "any_address": not ip}
    if PROXY_VERSION in (pod["metadata"].get("labels") or {}):
        found["account"] = f"{namespace}/{pod['spec'].get('serviceAccountName', 'default')}"
    return found


def _labels(kube: "Kube", namespace: str, kind: str, name: str, known: "Known") -> dict[str, str]:
    """What tells the pods of a workload from others: its selector, or the pods' own labels where none lasts; empty when
    it is gone."""
    from weft.access.observe import KINDS
    from weft.pods import path
    from weft.resources import Resource

    if kind not in KINDS:
        return dict(known[kind, name].labels) if (kind, name) in known else {}
    found = kube.find(path(Resource(kind, name), namespace)) or {}
    labels = ((found.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return dict(labels)
