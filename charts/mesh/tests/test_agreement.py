"""What the chart says elsewhere is said too: ARCHITECTURE.md, libs/kube, the services' and the proxy's settings."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from weft import installed, render
from weft.checks import control_plane
from weft_destination.config import Config
from weft_kube import names
from weft_kube.paths import PATH_MAX
from weft_runtime.config import load
from weft_sidecar.effects import Variable
from weft_sidecar.options import OPTIONS, Layer, settings
from weft_sidecar.template import Sidecar, Template

ROOT = Path(__file__).parents[3]
CHART = Path(__file__).parents[1]
SETTINGS = ("--set", "viz.enabled=true,installNamespace=true")
CONFIGS = {
    "destination": "weft_destination", "identity": "weft_identity", "injector": "weft_injector",
    "sp-validator": "weft_sp_validator", "tap": "weft_tap", "web": "weft_web",
}  # fmt: skip
COMMON = {"WEFT_LOG_LEVEL", "WEFT_ADMIN_LISTEN", "WEFT_TRUST_DOMAIN", "WEFT_NAMESPACE"}

Json = dict[str, Any]
Row = tuple[str, int, str]


def documented() -> set[Row]:
    """Process, port, address of ARCHITECTURE.md's table."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\w+) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    return {(process, int(port), address) for names, port, address in rows for process in names.split(", ")}


def listeners(workload: str, container: Json) -> Iterator[Row]:
    """Where a container listens: its addresses in the environment, and the ports it declares beside."""
    process = "proxy" if container["name"] == "weft-proxy" else workload
    env = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    for name, value in env.items():
        if name.endswith("_LISTEN"):
            for address in value.split(","):
                host, _, port = address.rpartition(":")
                owner = "every service" if name == "WEFT_ADMIN_LISTEN" and process != "proxy" else process
                yield owner, int(port), "loopback" if host in ("127.0.0.1", "[::1]") else "all"
    if forward := env.get("WEFT_FORWARD"):
        yield workload, int(forward.split("=")[0]), "all"
    if process not in CONFIGS and process != "proxy":
        yield from ((process, port["containerPort"], "all") for port in container["ports"])


def test_the_ports_table_is_the_charts(helm: Any) -> None:
    """ARCHITECTURE.md has one line for each listener, and no other."""
    mesh = helm.render("viz.enabled=true", "viz.web.expose=true")
    template = msgspec.json.decode(mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"], type=Template)
    containers = [*mesh.containers(), ("injected", template.proxy)]

    assert {row for workload, container in containers for row in listeners(workload, container)} == documented()


def test_ports_are_declared(mesh: Any) -> None:
    """What others can reach is declared, and nothing is that does not listen."""
    for workload, container in mesh.containers():
        declared = {port["containerPort"] for port in container.get("ports", [])}
        listening = {(port, address) for _, port, address in listeners(workload, container)}
        assert {port for port, address in listening if address == "all"} <= declared, workload
        assert declared <= {port for port, _ in listening}, workload


def test_services_lead_to_declared_ports(mesh: Any) -> None:
    """Every Service's target is a port of the pods it selects."""
    for service in mesh.of("Service"):
        name = service["metadata"]["name"]
        ports = [port for workload, c in mesh.containers() if workload == name for port in c.get("ports", [])]
        known = {port["containerPort"] for port in ports} | {port["name"] for port in ports}
        assert (name, [p["targetPort"] for p in service["spec"]["ports"] if p["targetPort"] not in known]) in (
            (name, []),
            ("web", [8084]),  # on loopback: only port-forward gets there
        )


def test_labels_and_names_are_those_of_libs_kube(mesh: Any) -> None:
    """The services look for what the chart makes."""
    template = msgspec.json.decode(mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"], type=Template)
    token, bundle = template.volumes
    deployment = mesh.one("Deployment", "destination")
    webhooks = mesh.one("MutatingWebhookConfiguration", "weft-injector")["webhooks"]

    assert (template.init["name"], template.proxy["name"]) == (names.INIT_CONTAINER, names.PROXY_CONTAINER)
    assert template.proxy["securityContext"]["runAsUser"] == names.PROXY_UID
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == names.TOKEN_AUDIENCE
    assert bundle["configMap"]["name"] == names.TRUST_BUNDLE
    assert bundle["configMap"]["items"][0]["key"] == names.TRUST_BUNDLE_KEY
    assert deployment["spec"]["template"]["metadata"]["labels"][names.COMPONENT] == "destination"
    assert {w["namespaceSelector"]["matchExpressions"][0]["key"] for w in webhooks} == {names.INJECT}
    assert dict(zip(template.init["args"][::2], template.init["args"][1::2], strict=True)) == {
        "--inbound-port": str(names.PORT_INBOUND),
        "--outbound-port": str(names.PORT_OUTBOUND),
        "--proxy-uid": str(names.PROXY_UID),
        "--skip-inbound-ports": f"{names.PORT_TAP},{names.PORT_ADMIN}",
    }


def test_a_path_is_as_long_everywhere(mesh: Any) -> None:
    """What the API server takes, sp-validator does not refuse and destination does not skip."""
    (version,) = mesh.one("CustomResourceDefinition", "serviceprofiles.weft.dev")["spec"]["versions"]
    route = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["routes"]["items"]

    condition = route["properties"]["condition"]["properties"]
    lengths = (condition["pathRegex"]["maxLength"], condition["path"]["maxLength"])
    assert lengths == (names.PATH_REGEX_MAX, PATH_MAX)


def test_the_cli_asks_for_the_right_to_create_each_kind(mesh: Any) -> None:
    """`weft check --pre` looks at what an installation consists of, and at nothing else."""
    assert {installed.plural(obj["kind"]) for obj in mesh} == {resource for _, resource in installed.NEEDED}


def test_weft_viz_uninstall_knows_what_settings_bring(everything: Any) -> None:
    """Nothing of viz stays because it is there on request only."""
    default = render.parse(render.packaged().viz)
    known = {installed.path(obj) for obj in [*default, *installed.on_request(default)]}
    parts = {component(obj) for obj in default} - {"config"}

    assert {installed.path(obj) for obj in everything if component(obj) in parts} <= known


def component(obj: Json) -> str:
    """Whose part an object is."""
    label: str = obj["metadata"]["labels"][names.COMPONENT]
    return label


def test_weft_check_looks_for_each_kind_that_the_chart_brings(mesh: Any) -> None:
    """A kind that is absent, and that no check misses, is a service's riddle."""
    assert {obj["metadata"]["name"] for obj in mesh.of("CustomResourceDefinition")} == set(control_plane.KINDS)


def test_helm_and_cli_and_gitops_give_the_same_objects(helm: Any, mesh: Any) -> None:
    """`weft install` and `weft viz install` print halves of what helm renders, and that is the same each time."""
    cli = [*render.parse(render.packaged().core), *render.parse(render.packaged().viz)]
    again = yaml.load_all(helm.run("template", "weft", str(CHART), "-n", "weft", *SETTINGS), yaml.CSafeLoader)

    assert {installed.path(obj): obj for obj in cli} == {installed.path(obj): obj for obj in mesh}
    assert [obj for obj in again if obj] == mesh


def test_options_of_the_chart_are_the_injectors(mesh: Any) -> None:
    """Defaults of injection are options that exist, and valid."""
    template = msgspec.json.decode(mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"], type=Template)

    found = settings([Layer("chart", {f"config.weft.dev/{k}": v for k, v in template.options.items()})])
    assert {name: setting.value for name, setting in found.items()} == template.options


def test_defaults_of_options_are_those_of_chart_and_proxy(mesh: Any) -> None:
    """What documentation says holds when nobody sets an option is what a pod gets."""
    template = msgspec.json.decode(mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"], type=Template)
    config = (ROOT / "proxy/weft-proxy/src/config.rs").read_text()
    built_in = dict(re.findall(r'"(WEFT_\w+)",\s+"([^"]*)"', config))
    sidecar = Sidecar.of(template)

    for name, option in OPTIONS.items():
        held = template.options.get(name) or option.effect.get(sidecar)
        if isinstance(option.effect, Variable):
            held = held or built_in[option.effect.name]
        # The image is the release's; nft is the default of weft-init.
        assert held == option.default or name in ("proxy-image", "iptables-backend"), name


@pytest.mark.parametrize("component", CONFIGS)
def test_services_read_what_the_chart_sets(mesh: Any, component: str) -> None:
    """No variable is set in vain."""
    config = importlib.import_module(f"{CONFIGS[component]}.config").Config
    read = {field.metadata["env"] for field in dataclasses.fields(config)}
    (container,) = [c for workload, c in mesh.containers() if (workload, c["name"]) == (component, component)]
    values = {v["name"]: v.get("value", "weft") for v in container["env"]}

    assert {name for name in values if name.startswith("WEFT_")} - read <= COMMON
    for field in dataclasses.fields(config):
        if field.metadata["env"] in values:
            field.metadata["parse"](values[field.metadata["env"]])


@pytest.mark.parametrize("value", ["anyone", "authenticated", "deny", "audit-authenticated", "audit-deny"])
def test_the_default_of_who_may_call_is_destination_s(helm: Any, value: str) -> None:
    """Each that the chart takes arrives; what becomes of calls by it is in destination's tests."""
    (container,) = helm.render(f"defaultAccess={value}").pods()["destination"]["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in container["env"]}

    assert load(Config, env | {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}).default_access == value


def test_the_proxy_reads_what_the_chart_sets(mesh: Any) -> None:
    """No variable is set in vain, in any mode."""
    read = set(re.findall(r'"(WEFT_\w+)"', (ROOT / "proxy/weft-proxy/src/config.rs").read_text()))
    template = msgspec.json.decode(mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"], type=Template)
    containers = [template.proxy, *(c for _, c in mesh.containers() if c["name"] == "weft-proxy")]

    assert {variable["name"] for container in containers for variable in container["env"]} - read == set()
