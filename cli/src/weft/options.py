"""Options that every command takes, in front of the subcommand or behind it: `weft -n x check` is `weft check -n x`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from weft.cluster import Kube


@dataclass
class Target:
    """Which cluster and namespace the user means."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None
    as_user: str | None = None
    as_group: tuple[str, ...] = ()
    verbose: bool = False
    ahead: list[str] = field(default_factory=list)
    """Options of a command that stood in front of it."""

    def connect(self) -> "Kube":
        """A client of the cluster."""
        from weft.cluster import Kube

        acting = {"as": self.as_user, "as-groups": list(self.as_group)}
        return Kube.connect(self.kubeconfig, self.context, {name: value for name, value in acting.items() if value})

    def namespace_or_default(self, kube: "Kube") -> str:
        """The namespace named by -n, else the context's."""
        return self.namespace or kube.namespace


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.ensure_object(Target), str(parameter.name), value)


def _hand_on(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        context.ensure_object(Target).ahead += [parameter.opts[0], *([] if value is True else [value])]


def _shared(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, **settings)


def shared_options() -> list[click.Option]:
    """Fresh options for one command."""
    return [
        _shared("-n", "--namespace", metavar="NAME", help="Namespace (default: the context's)."),
        _shared("--context", metavar="NAME", help="Context of the kubeconfig."),
        _shared("--kubeconfig", metavar="FILE", help="Kubeconfig (default: $KUBECONFIG or ~/.kube/config)."),
        _shared("--as", "as_user", metavar="NAME", help="Act as another user, as far as you may impersonate."),
        _shared("--as-group", multiple=True, metavar="NAME", help="A group of that user (may repeat)."),
        _shared("--verbose", is_flag=True, help="Show tracebacks and details."),
    ]


def _ahead(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_hand_on, hidden=True, **settings)


def ahead_options() -> list[click.Option]:
    """Those that several commands have: a group takes them for the command that follows."""
    return [
        _ahead("-A", "--all-namespaces", is_flag=True),
        _ahead("-l", "--selector"),
        _ahead("-o", "--output"),
        _ahead("-t", "--window"),
    ]


class Command(click.Command):
    """A command with the shared options."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += shared_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What stood in front of it counts as if it were the first behind it: one that it lacks is refused."""
        return super().parse_args(ctx, [*ctx.ensure_object(Target).ahead, *args])


class Group(click.Group):
    """A group with the shared options, whose commands have them too."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += [*shared_options(), *ahead_options()]


def output_option(*choices: str) -> Callable[[Any], Any]:
    """`-o`; the first choice is the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(choices),
        default=choices[0],
        help=f"Format (default: {choices[0]}).",
    )


pass_target = click.make_pass_decorator(Target, ensure=True)
