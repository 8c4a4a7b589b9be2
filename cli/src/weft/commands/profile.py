"""`weft profile` and `weft viz profile`: ServiceProfiles to apply."""

from functools import partial
from typing import TYPE_CHECKING

import click

from weft import durations
from weft.errors import Failure
from weft.options import Command, Target, pass_target

if TYPE_CHECKING:
    from weft.profiles.learn import Learner
    from weft.profiles.model import Route


@click.command(cls=Command)
@click.argument("service", metavar="SERVICE")
@click.option("--open-api", metavar="FILE|URL|-", help="Routes of an OpenAPI document, 2.0 or 3.x.")
@click.option("--proto", metavar="FILE|URL|-", help="Routes of the services in a .proto file.")
@click.option("--template", is_flag=True, help="A profile to fill in.")
@pass_target
def profile(target: Target, service: str, open_api: str | None, proto: str | None, template: bool) -> None:
    """Print a ServiceProfile.

    `weft profile counter --open-api counter.yaml | kubectl apply -f -`: from then on, metrics know the routes
    of Service counter. In OpenAPI, `x-weft-retryable: true` and `x-weft-timeout: 300ms` of an operation or a
    path are taken over; in protobuf, `idempotency_level` makes a method retryable.
    """
    from weft.profiles import model, openapi, protobuf

    if sum((bool(open_api), bool(proto), template)) != 1:
        raise Failure("what is the profile made from?", "Give one of --open-api, --proto and --template.")
    namespace = _namespace(target)
    if template:
        click.echo(model.template(service, namespace), nl=False)
    elif open_api:
        _print(service, namespace, openapi.routes(*_text(open_api)))
    else:
        _print(service, namespace, protobuf.routes(*_text(str(proto))))


@click.command(cls=Command, name="profile")
@click.argument("service", metavar="SERVICE")
@click.option("--tap", required=True, metavar="TYPE/NAME", help="Whose requests to learn from.")
@click.option("--duration", callback=durations.option, default="30s", metavar="TIME", help="So long (default: 30s).")
@click.option(
    "--routes", "limit", type=click.IntRange(1, 500), default=20, metavar="N", help="At most N (default: 20)."
)
@pass_target
def learned_profile(target: Target, service: str, tap: str, duration: float, limit: int) -> None:
    """Print a ServiceProfile learned from live traffic.

    `weft viz profile counter --tap deploy/counter --duration 1m`: paths that differ only in ids, or in one
    place that has many values, become one route with a parameter. Look at it before you apply it.
    """
    from weft import resources, taps
    from weft.profiles.learn import Learner

    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    learner = Learner()
    query = {"direction": "inbound", "max_rps": "10000"}
    where = taps.path(namespace, resources.named([tap]))
    try:
        for event in taps.events(kube, where, query, duration, partial(click.echo, err=True)):
            if event and event.get("method"):
                learner.add(event["method"], event["path"])
    except KeyboardInterrupt:
        pass
    _report(service, namespace, learner, limit)


def _report(service: str, namespace: str, learner: "Learner", limit: int) -> None:
    routes = learner.routes(limit)
    if not routes and learner.requests:
        raise Failure(
            f"{learner.requests} requests came, and none has a method and a path that a route can have",
            "Look longer with --duration, or write the profile by hand: weft profile SERVICE --template.",
        )
    if not routes:
        raise Failure("no request came while weft was looking", "Send some, or look longer with --duration.")
    _print(service, namespace, routes)
    why = "other methods, no path, too many or too long ones"
    left = f", {learner.left_out} of them left out ({why})" if learner.left_out else ""
    click.echo(f"\n{len(routes)} routes from {learner.requests} requests{left}", err=True)


def _namespace(target: Target) -> str:
    """Without a cluster, too: a profile can be made anywhere."""
    if target.namespace:
        return target.namespace
    try:
        return target.connect().namespace
    except Failure:
        return "default"


def _text(source: str) -> tuple[str, str]:
    from weft import sources

    (name, text), *more = sources.read(source)
    if more:
        raise Failure(f"{source} holds several files", "Give one.")
    return text, name


def _print(service: str, namespace: str, routes: "list[Route]") -> None:
    from weft.profiles import model

    if len(routes) > model.MAX_ROUTES:
        raise Failure(f"{len(routes)} routes, and a profile holds {model.MAX_ROUTES}", "Describe fewer of them.")
    click.echo(model.profile(service, namespace, routes), nl=False)
