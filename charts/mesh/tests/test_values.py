"""Values: typed, documented, and nothing unknown slips through."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[1]
VIZ = CHART / "charts/viz"
PAGE = runpy.run_path(str(CHART.parent / "values_page.py"))


def test_lint_is_strictly_clean(helm: Any) -> None:
    """The defaults fit the schema, and helm has no complaint."""
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), "--set", "viz.enabled=true")


def maps(values: dict[str, Any], place: str = "") -> Iterator[str]:
    """Where a file of values has maps, but for labels, whose keys are the user's own."""
    yield place
    for key, value in values.items():
        if isinstance(value, dict) and key != "nodeSelector":
            yield from maps(value, f"{place}{key}.")


@pytest.mark.parametrize("enabled", ["true", "false"], ids=["with viz", "viz off"])
@pytest.mark.parametrize(("chart", "prefix"), [(CHART, ""), (VIZ, "viz.")], ids=["mesh", "viz"])
def test_unknown_keys_are_refused(helm: Any, chart: Path, prefix: str, enabled: str) -> None:
    """A typo in a value's name is an error, not a default: at every level, and each is named."""
    places = [f"{prefix}{place}" for place in maps(yaml.safe_load((chart / "values.yaml").read_text()))]
    with pytest.raises(Exception, match="typo") as refused:
        helm.render(f"viz.enabled={enabled}", *(f"{place}typo=1" for place in places))

    named = re.findall("at '(.*)': additional properties 'typo' not allowed", str(refused.value))
    assert {f"/{place}".replace(".", "/").removesuffix("/") for place in places} - set(named) == set()


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("viz.enable=true", "at '/viz': additional properties 'enable' not allowed"),
        ("viz.global.image.prefix=x/", "at '/viz/global': false schema"),
        ("viz.enabled=true,viz.global.typo=1", "at '/viz/global': additional properties 'typo' not allowed"),
        (
            "global.pods.tolerations[0].typo=1",
            "at '/global/pods/tolerations/0': additional properties 'typo' not allowed",
        ),
    ],
)
def test_unknown_keys_are_refused_everywhere(helm: Any, setting: str, error: str) -> None:
    """In what is off, in lists, in `global` below viz. Who mistypes the switch of viz would else be without it."""
    with pytest.raises(Exception, match=error):
        helm.render(setting)


@pytest.mark.parametrize(
    ("empty", "error"),
    [
        ("viz", "at '/viz': missing property 'enabled'"),
        ("viz.enabled", "at '/viz/enabled': got null"),
        ("global", "at '': missing property 'global'"),
        ("global.clusterNetworks", "at '/global': missing property 'clusterNetworks'"),
        ("global.image.prefix", "at '/global/image': missing property 'prefix'"),
        ("global.pods.nodeSelector", "at '/global/pods': missing property 'nodeSelector'"),
        ("global.proxy.tag", "at '/global/proxy': missing property 'tag'"),
        ("inject.opaquePorts", "at '/inject': missing property 'opaquePorts'"),
        ("proxyInit.tag", "at '/proxyInit': missing property 'tag'"),
        ("destination", "at '': missing property 'destination'"),
        ("destination.replicas", "at '/destination': missing property 'replicas'"),
        ("identity.issuanceLifetime", "at '/identity': missing property 'issuanceLifetime'"),
        ("injector.failurePolicy", "at '/injector': missing property 'failurePolicy'"),
    ],
)
@pytest.mark.parametrize("enabled", ["true", "false"], ids=["with viz", "viz off"])
def test_keys_that_are_left_empty_are_refused(helm: Any, enabled: str, empty: str, error: str) -> None:
    """Helm drops them with their defaults: an empty failure policy is Kubernetes' own, and all of viz would come."""
    with pytest.raises(Exception, match=error):
        helm.render(f"viz.enabled={enabled}", f"{empty}=null")


@pytest.mark.parametrize(
    "empty", ["viz.tap", "viz.tap.replicas", "viz.web.url", "viz.prometheus.enabled", "viz.grafana.image"]
)
def test_empty_keys_of_viz_are_refused_where_it_is_on(helm: Any, empty: str) -> None:
    """A subchart's defaults are dropped just so."""
    place, _, key = empty.replace(".", "/").rpartition("/")
    with pytest.raises(Exception, match=f"at '/{place}': missing property '{key}'|at '/{place}/{key}': got null"):
        helm.render("viz.enabled=true", f"{empty}=null")


@pytest.mark.parametrize(
    "setting",
    [
        "global.logLevel=loud",
        "global.proxy.logLevel=verbose",
        "global.trustDomain=Not A Domain",
        "global.image.prefix=registry.example",
        "global.proxy.shutdownGrace=soon",
        "inject.opaquePorts=http",
        "injector.failurePolicy=Maybe",
        "destination.replicas=0",
        "global.proxy.resources.limits.memory=10MB",
        "global.clusterNetworks={10.0.0.0/33}",
        "global.clusterNetworks={10.0.0.256/32}",
        "global.clusterNetworks={10.0.0.0.8}",
        "global.clusterNetworks={fd00::/129}",
        "identity.tag=a/b",
        "identity.digest=sha256:short",
        "viz.web.prometheusUrl=https://ann:password@prometheus.example",
        "viz.web.prometheusSecret=my_secret",
    ],
)
def test_invalid_values_are_refused(helm: Any, setting: str) -> None:
    """Before anything reaches the cluster."""
    with pytest.raises(Exception, match=f"at '/{setting.split('=', maxsplit=1)[0].replace('.', '/')}['/]"):
        helm.render(setting)


@pytest.mark.parametrize("chart", [CHART, VIZ], ids=["mesh", "viz"])
def test_every_value_is_documented(chart: Path) -> None:
    """By the comment above it, or where its kind is the same everywhere, by the schema."""
    assert [value.key for value in PAGE["values"](chart) if not value.meaning] == []


def test_the_schema_knows_just_the_values_there_are() -> None:
    """A key that only the schema has would be set in vain, and one that it does not require could be left empty."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values, of_viz = (yaml.safe_load((one / "values.yaml").read_text()) for one in (CHART, VIZ))
    values["viz"] |= {"global": {}, **of_viz}
    viz = schema["$defs"]["wholeViz"]
    demanded = {f"viz.{name}": node["required"] for name, node in viz["properties"].items() if "required" in node}
    demanded["viz"] = ["enabled", "global", *viz["required"]]

    def compare(given: dict[str, Any], node: dict[str, Any], place: str = "") -> None:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if "properties" in node and "description" not in node:
            assert node["properties"].keys() == given.keys()
            assert {*demanded.get(place, node.get("required", [])), "resources"} == {*given, "resources"}
            for name, value in given.items():
                if name != "global" or not place:
                    compare(value, node["properties"][name], f"{place}.{name}".removeprefix("."))

    compare(values, schema)


def test_the_page_of_values_is_made_of_them() -> None:
    """`make gen` writes it."""
    assert PAGE["page"]() == PAGE["PAGE"].read_text()


@pytest.mark.parametrize("chart", PAGE["CHARTS"], ids=["mesh", "viz"])
def test_the_defaults_that_templates_compare_with_are_the_charts(chart: Path) -> None:
    """`make gen` writes them."""
    assert PAGE["defaults"](chart) == (chart / PAGE["DEFAULTS"]).read_text()


def settings(objects: Any) -> dict[str, Any]:
    """What the installation says that its user has set."""
    core, viz = (
        yaml.safe_load(objects.one("ConfigMap", name)["data"]["settings"])
        for name in ("weft-config", "weft-viz-config")
    )
    return {**core, "viz": viz} if viz else core


def test_an_installation_knows_what_was_set(helm: Any, mesh: Any) -> None:
    """Values that are not the defaults, no other: of any depth, false and empty, lists whole, null for what left."""
    given = (
        "global.pods.nodeSelector.tag=infra",
        "global.pods.nodeSelector.here=",
        "destination.resources.requests.cpu=null",
        "viz.tap.resources.requests.cpu=null",
        "viz.web.tap=false",
        "viz.web.allowedHosts={a}",
        "identity.replicas=2",
    )

    assert settings(mesh) == {}
    assert settings(helm.render("viz.enabled=true", *given)) == {
        "global": {"pods": {"nodeSelector": {"tag": "infra", "here": ""}}},
        "destination": {"resources": {"requests": {"cpu": None}}},
        "identity": {"replicas": 2},
        "viz": {"tap": {"resources": {"requests": {"cpu": None}}}, "web": {"tap": False, "allowedHosts": ["a"]}},
    }


def test_what_belongs_to_a_version_is_not_kept(helm: Any) -> None:
    """A tag that was kept would undo the next upgrade."""
    digest = "sha256:" + "a" * 64

    assert settings(helm.render("viz.enabled=true", "identity.tag=1.4.0", f"viz.web.digest={digest}")) == {}


def test_what_was_set_renders_the_same_again(helm: Any, tmp_path: Path) -> None:
    """An upgrade with the settings that an installation knows changes nothing."""
    gone = ("destination.resources.requests.cpu=null", "viz.tap.resources.requests=null")
    once = helm.render("viz.enabled=true", *gone, values="values-ha.yaml")
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings(once)))

    assert once == helm.render("viz.enabled=true", values=str(tmp_path / "settings.yaml"))


@pytest.mark.parametrize("release", ["weft", "other"])
def test_names_do_not_depend_on_the_release(helm: Any, mesh: Any, release: str) -> None:
    """One mesh a cluster: services, CLI and proxies find its objects by fixed names."""
    rendered = helm.render("viz.enabled=true", "installNamespace=true", release=release)

    owner = "meta.helm.sh/release-name"
    metadata = [obj["metadata"] for obj in rendered]
    assert {meta["annotations"].pop(owner) for meta in metadata if owner in meta.get("annotations", {})} == {release}
    expected = [{**obj["metadata"], **_without(obj["metadata"], owner)} for obj in mesh]
    assert metadata == expected


def _without(metadata: dict[str, Any], annotation: str) -> dict[str, Any]:
    kept = {key: value for key, value in metadata.get("annotations", {}).items() if key != annotation}
    return {"annotations": kept} if "annotations" in metadata else {}


def test_cluster_scoped_objects_are_weft_s(mesh: Any) -> None:
    """Their names begin with weft-, but for those whose name Kubernetes fixes."""
    fixed = ("Namespace", "CustomResourceDefinition", "APIService")
    names = [o["metadata"]["name"] for o in mesh if "namespace" not in o["metadata"] and o["kind"] not in fixed]

    assert [name for name in names if not name.startswith("weft-")] == []


def test_no_other_namespace_is_taken(helm: Any) -> None:
    """CLI and guides look into `weft`: elsewhere the mesh would run and they would not find it. The option is named."""
    with pytest.raises(Exception, match="--namespace weft"):
        helm.render(namespace="default")


@pytest.mark.parametrize(
    ("unit", "restarted"),
    [
        ("destination", {"destination"}),
        ("identity", {"identity"}),
        ("injector", {"injector"}),
        ("spValidator", {"sp-validator"}),
        ("viz.tap", {"tap"}),
        ("viz.web", {"web"}),
        ("proxyInit", {"injector"}),  # which tells it to new pods
        ("global.proxy", {"injector", "destination", "identity", "tap"}),  # and those that carry it
    ],
)
def test_units_are_upgraded_one_by_one(helm: Any, unit: str, restarted: set[str]) -> None:
    """A unit's tag changes its own pods and no others: whoever upgrades one unit restarts one unit."""
    before = helm.render("viz.enabled=true")
    after = helm.render("viz.enabled=true", f"{unit}.tag=9.9.9")
    templates = [{d["metadata"]["name"]: d["spec"]["template"] for d in o.of("Deployment")} for o in (before, after)]
    changed = [obj["kind"] for obj, other in zip(before, after, strict=True) if obj != other]

    assert {name for name in templates[0] if templates[0][name] != templates[1][name]} == restarted
    assert set(changed) <= {"Deployment", "ConfigMap"}


def test_another_registry_is_used_for_every_unit(helm: Any) -> None:
    """`global.image.prefix` reaches the subchart and injected pods too."""
    text = str(helm.render("viz.enabled=true", "global.image.prefix=registry.example/mesh/"))

    assert "ghcr.io" not in text
