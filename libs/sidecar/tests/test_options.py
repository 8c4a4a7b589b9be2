"""Options: layers, types, and messages that name the place and the fault."""

import json
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
        ("proxy-workers", "0", "'0' is not a number between 1 and 64"),
        ("inbound-port", "80-90", "'80-90' is not one port"),
        ("additional-env", "A=b", '\'A=b\' is not JSON such as {"NAME": "value"}'),
        ("additional-env", '{"A": 1}', "'A' is not a name of a variable with a text as its value"),
        ("skip-inbound-port", "80", "there is no such option; did you mean skip-inbound-ports?"),
    ],
)
def test_a_fault_is_named_with_its_place(name: str, value: str, reason: str) -> None:
    """Nothing invalid is ignored: the message says which annotation of what, and why."""
    with pytest.raises(OptionError) as error:
        settings([Layer("namespace shop", {f"config.weft.dev/{name}": value})])

    assert str(error.value) == f"annotation config.weft.dev/{name} of the namespace shop: {reason}"


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


def test_a_variable_of_wefts_own_is_not_overridden(template: Template) -> None:
    """Where another option or the chart sets it, a second place would be ignored or win by chance."""
    value = json.dumps({"WEFT_LOG": "trace"})

    with pytest.raises(OptionError, match="additional-env of the pod: WEFT_LOG is set"):
        apply(Sidecar.of(template), {"additional-env": Setting(value, "pod")})


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
