"""Options: layers, types, and messages that name the place and the fault."""

from pathlib import Path

import pytest
from weft_injector.options import OPTIONS, Layer, OptionError, effective
from weft_injector.sidecar import Sidecar, Template


def pod(**options: str) -> Layer:
    """A pod's annotations; `_` stands for `-`."""
    return Layer("pod", {f"config.weft.dev/{name.replace('_', '-')}": value for name, value in options.items()})


def test_the_pod_wins_over_its_namespace() -> None:
    """Chart, namespace, pod: the last that says something wins, option by option."""
    namespace = Layer(
        "namespace shop", {"config.weft.dev/opaque-ports": "25", "config.weft.dev/proxy-log-level": "debug", "x": "y"}
    )

    assert effective([namespace, pod(opaque_ports="3306, 8000-8010")]) == {
        "opaque-ports": "3306,8000-8010",
        "proxy-log-level": "debug",
    }


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("skip-inbound-ports", "80,http", "'http' is neither a port nor a range of ports"),
        ("opaque-ports", "0", "'0' is not within 1-65535"),
        ("skip-subnets", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("proxy-cpu-limit", "lots", "'lots' is not a quantity such as 100m or 64Mi"),
        ("proxy-log-format", "xml", "'xml' is not json or plain"),
        ("shutdown-grace", "30", "'30' is not a duration such as 500ms or 30s"),
        ("proxy-log-level", "info; rm", "'info; rm' is not a log level such as info or info,h2=warn"),
        ("proxy-image", "a b", "'a b' is not an image"),
        ("skip-inbound-port", "80", "there is no such option; did you mean skip-inbound-ports?"),
    ],
)
def test_a_fault_is_named_with_its_place(name: str, value: str, reason: str) -> None:
    """Nothing invalid is ignored: the message says which annotation of what, and why."""
    with pytest.raises(OptionError) as error:
        effective([Layer("namespace shop", {f"config.weft.dev/{name}": value})])

    assert str(error.value) == f"annotation config.weft.dev/{name} of the namespace shop: {reason}"


def test_all_faults_are_told_at_once() -> None:
    """Who repairs one fault is not told of the next only then."""
    with pytest.raises(OptionError, match=r"opaque-ports.*; .*shutdown-grace"):
        effective([pod(opaque_ports="x", shutdown_grace="y")])


@pytest.mark.parametrize(
    ("name", "value", "place", "result"),
    [
        ("skip-inbound-ports", "9000", ("init", "args"), "4190,4191,9000"),
        ("skip-outbound-ports", "53-54", ("init", "args"), "53-54"),
        ("skip-subnets", "10.1.0.0/16", ("init", "args"), "10.1.0.0/16"),
        ("opaque-ports", "25", ("proxy", "env"), {"name": "WEFT_OPAQUE_PORTS", "value": "25"}),
        ("proxy-log-level", "debug", ("proxy", "env"), {"name": "WEFT_LOG", "value": "debug"}),
        ("proxy-log-format", "plain", ("proxy", "env"), {"name": "WEFT_LOG_FORMAT", "value": "plain"}),
        ("shutdown-grace", "5s", ("proxy", "env"), {"name": "WEFT_SHUTDOWN_GRACE", "value": "5s"}),
    ],
)
def test_an_option_reaches_its_argument_or_variable(
    template: Template, name: str, value: str, place: tuple[str, str], result: object
) -> None:
    """Each option of containers' arguments and environment ends up there."""
    sidecar = Sidecar.of(template)

    OPTIONS[name].apply(sidecar, value)

    assert result in getattr(sidecar, place[0])[place[1]]


def test_resources_and_image_are_set(template: Template) -> None:
    """Requests, limits and the image are the proxy's own fields."""
    sidecar = Sidecar.of(template)
    for name in ("proxy-cpu-request", "proxy-cpu-limit", "proxy-memory-request", "proxy-memory-limit"):
        OPTIONS[name].apply(sidecar, "1")
    OPTIONS["proxy-image"].apply(sidecar, "registry:5000/proxy:2@sha256:" + "0" * 64)

    assert sidecar.proxy["resources"] == {
        "requests": {"cpu": "1", "memory": "1"},
        "limits": {"cpu": "1", "memory": "1"},
    }
    assert sidecar.proxy["image"].startswith("registry:5000/proxy:2@")


def test_the_readme_lists_every_option() -> None:
    """Whoever looks for an option finds it."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()

    rows = [f"| `{option.name}` | {option.type} | {option.doc} |" for option in OPTIONS.values()]
    assert [row for row in rows if row not in readme] == []
