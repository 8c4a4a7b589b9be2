"""Options: layers, types, and messages that name the place and the fault."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_sidecar.options import OPTIONS, Layer, Option, OptionError, Setting, apply, settings
from weft_sidecar.page import with_table
from weft_sidecar.template import Sidecar, Template

PAGE = Path(__file__).parents[3] / "docs/injection.md"


def pod(**options: str) -> Layer:
    """A pod's annotations; `_` stands for `-`."""
    return Layer("pod", {f"config.weft.dev/{name.replace('_', '-')}": value for name, value in options.items()})


def test_the_pod_wins_over_its_namespace() -> None:
    """Chart, namespace, pod: the last that says something wins, option by option."""
    namespace = Layer(
        "namespace shop", {"config.weft.dev/opaque-ports": "25", "config.weft.dev/proxy-log-level": "debug", "x": "y"}
    )

    assert settings([namespace, pod(opaque_ports="3306, 8000-8010")]) == {
        "opaque-ports": Setting("3306,8000-8010", "pod"),
        "proxy-log-level": Setting("debug", "namespace shop"),
    }


NO_LEVEL = "is neither a level (off, error, warn, info, debug) nor one for a target (h2=warn)"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("skip-inbound-ports", "80,http", "'http' is neither a port nor a range of ports"),
        ("opaque-ports", "0", "'0' is not within 1-65535"),
        ("skip-subnets", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("proxy-cpu-limit", "lots", "'lots' is not a quantity such as 100m or 64Mi"),
        ("proxy-log-format", "xml", "'xml' is not json or plain"),
        ("shutdown-grace", "30", "'30' is not a duration such as 500ms or 30s"),
        ("proxy-log-level", "info; rm", f"'info; rm' {NO_LEVEL}"),
        ("proxy-log-level", "verbose", f"'verbose' {NO_LEVEL}"),
        ("proxy-log-level", "trace", f"'trace' {NO_LEVEL}"),
        ("proxy-log-level", "info,h2=loud", f"'h2=loud' {NO_LEVEL}"),
        ("proxy-log-level", "info,=warn", f"'=warn' {NO_LEVEL}"),
        ("connect-timeout", "0s", "'0s' is not a duration above 0 such as 500ms or 30s"),
        ("app-connect-timeout", "00ms", "'00ms' is not a duration above 0 such as 500ms or 30s"),
        ("header-timeout", "0h", "'0h' is not a duration above 0 such as 500ms or 30s"),
        ("max-buffered", "0Mi", "'0Mi' is not a size such as 512Ki or 64Mi"),
        ("proxy-image", "a b", "'a b' is not an image such as registry:5000/proxy:1.0"),
        ("proxy-image", "///", "'///' is not an image such as registry:5000/proxy:1.0"),
        ("proxy-image", "proxy:", "'proxy:' is not an image such as registry:5000/proxy:1.0"),
        ("debug-image", "../tools", "'../tools' is not an image such as registry:5000/proxy:1.0"),
        ("proxy-workers", "0", "'0' is not a number between 1 and 64"),
        ("inbound-port", "80-90", "'80-90' is not one port"),
        ("additional-env", "A=b", '\'A=b\' is not JSON such as {"NAME": "value"}'),
        ("additional-env", '{"A": 1}', "'A' is not a name of a variable with a text as its value"),
        ("additional-env", '{"A-B": "1"}', "'A-B' is not a name of a variable with a text as its value"),
        ("additional-env", '{"WEFT_LOG": ""}', "'WEFT_LOG' is the proxy's own: set the option for it, if there is one"),
        ("skip-subnets", "1" * 5000, "a value of 5000 characters: 4096 are the most"),
        ("skip-inbound-port", "80", "there is no such option; did you mean skip-inbound-ports?"),
    ],
)
def test_a_fault_is_named_with_its_place(name: str, value: str, reason: str) -> None:
    """Nothing invalid is ignored: the message says which annotation of what, and why."""
    with pytest.raises(OptionError) as error:
        settings([Layer("namespace shop", {f"config.weft.dev/{name}": value})])

    assert str(error.value) == f"annotation config.weft.dev/{name} of the namespace shop: {reason}"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("proxy-memory-limit", ["0", "1Ti", "1.5P", "2E", "500u", "100n", "1e6", "128E-3"]),
        ("proxy-log-level", ["off", "DEBUG", "weft_proxy::http=debug,h2=warn"]),
        ("proxy-image", ["proxy", "Reg.example/a__b/c-d.e:1.0", "[fd00::1]:5000/proxy", "localhost:5000/proxy"]),
        ("queue-timeout", ["0s"]),
    ],
)
def test_what_kubernetes_and_the_proxy_take_is_taken(name: str, values: list[str]) -> None:
    """Every form of theirs, as it is."""
    assert [OPTIONS[name].type.parse(value) for value in values] == values


def test_all_faults_are_told_at_once() -> None:
    """Who repairs one fault is not told of the next only then."""
    with pytest.raises(OptionError, match=r"opaque-ports.*; .*shutdown-grace"):
        settings([pod(opaque_ports="x", shutdown_grace="y")])


EXAMPLES = {
    "skip-inbound-ports": "9000",
    "skip-subnets": "10.1.0.0/16",
    "proxy-workers": "4",
    "proxy-image": "registry:5000/proxy:2@sha256:" + "0" * 64,
    "inbound-port": "14143",
    "outbound-port": "14140",
    "additional-env": '{"RUST_BACKTRACE": "1"}',
}
UNSEEN = {"skip-inbound-ports", "skip-outbound-ports", "skip-subnets", "additional-env", "default-access"}
"""Options that only add to what stands there, or change nothing there."""


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - UNSEEN))
def test_an_option_can_be_read_where_it_took_effect(template: Template, name: str) -> None:
    """`weft explain` reads what the pod has, and that is what was set."""
    sidecar, option = Sidecar.of(template), OPTIONS[name]
    value = option.type.parse(EXAMPLES.get(name, option.type.example.split(", ")[0]))

    apply(sidecar, {name: Setting(value, "pod")})

    assert option.effect.get(sidecar) == value


def test_options_reach_arguments_and_variables(template: Template) -> None:
    """As weft-init and the proxy read them."""
    sidecar = Sidecar.of(template)
    values = {**EXAMPLES, "skip-outbound-ports": "53-54", "iptables-backend": "legacy", "debug-image": "tools:1"}

    apply(sidecar, {name: Setting(value, "pod") for name, value in values.items()})

    arguments = sidecar.init["args"]
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == {
        "--inbound-port": "14143",
        "--outbound-port": "14140",
        "--skip-inbound-ports": "4190,4191,9000",
        "--skip-outbound-ports": "53-54",
        "--skip-subnets": "10.1.0.0/16",
        "--backend": "legacy",
    }
    assert {variable["name"]: variable["value"] for variable in sidecar.proxy["env"]} == {
        "WEFT_LOG": "info",
        "WEFT_WORKERS": "4",
        "WEFT_INBOUND_LISTEN": "[::]:14143",
        "WEFT_OUTBOUND_LISTEN": "127.0.0.1:14140,[::1]:14140",
        "RUST_BACKTRACE": "1",
    }
    assert [container["name"] for container in sidecar.containers] == ["weft-init", "weft-proxy", "weft-debug"]


@given(st.sampled_from(list(OPTIONS.values())), st.text(max_size=40))
def test_a_value_is_taken_in_normal_form_or_refused(option: Option, text: str) -> None:
    """Whatever the text: ValueError, or a form that stays as it is."""
    parse = option.type.parse
    try:
        value = parse(text)
    except ValueError:
        return
    assert parse(value) == value


def test_the_page_lists_the_options_as_they_are() -> None:
    """docs/injection.md is generated: `make gen` after a change of the table."""
    page = PAGE.read_text()

    assert with_table(page) == page
