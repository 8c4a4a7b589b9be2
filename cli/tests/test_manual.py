"""inject --manual: the pod template that the injector would make, in the text; uninject gives the text back."""

import json
import operator
from functools import reduce
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from weft.inject import TEMPLATES, Task, transform
from weft.manual import Manual
from weft_sidecar.options import Layer, settings
from weft_sidecar.patch import Workload, patch
from weft_sidecar.template import Template
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace
from weft_testkit.store import json_patch

TEMPLATE = Template(
    init={"name": "weft-init", "image": "proxy-init:0.1.0", "args": ["--skip-inbound-ports", "4190,4191"]},
    proxy={"name": "weft-proxy", "image": "proxy:0.1.0", "env": [{"name": "WEFT_LOG", "value": "info"}]},
    volumes=[{"name": "weft-token"}, {"name": "weft-bundle"}],
    options={"opaque-ports": "25"},
)
ANNOTATIONS = {"config.weft.dev/proxy-log-level": "debug"}
MANUAL = Task(manual=Manual(TEMPLATE, {"shop": ANNOTATIONS}), namespace="shop")
OUT = Task(remove=True)
DEPLOYMENT = """\
# the shop's cache
apiVersion: apps/v1
kind: Deployment
metadata: {name: cache}
spec:
  template:
    metadata:
      annotations:
        config.weft.dev/skip-outbound-ports: "53, 54"   # DNS
    spec:
      # first the schema
      initContainers:
      - name: schema   # stays
        image: schema:1
      containers:
        - name: redis
          ports: [{name: redis, containerPort: 6379}]
          readinessProbe:
            tcpSocket: {port: redis}
            periodSeconds: 3
          livenessProbe:
            httpGet: {scheme: HTTPS, port: 6380, path: /live}
"""
PROBES = {
    "tcpSocket: {port: redis}": '"tcpSocket": {"port": 6379}',
    "httpGet: {scheme: HTTPS, port: 6380, path: /live}": (
        '"httpGet": {"path": "/live", "port": 6380, "scheme": "HTTPS"}'
    ),
}
"""Actions as they are written, and as `uninject` writes them."""


def expected(pod: dict[str, Any], name: str, kind: str = "deployment") -> dict[str, Any]:
    """What the injector would make of the pod template; options of the pod itself stay as they are written."""
    own = (pod.get("metadata") or {}).get("annotations") or {}
    layers = [Layer("chart", {"config.weft.dev/opaque-ports": "25"}), Layer("namespace shop", ANNOTATIONS)]
    pod = {"metadata": {}} | pod
    made = json_patch(pod, patch(pod, TEMPLATE, settings([*layers, Layer("pod", own)]), Workload(kind, name)))
    made["metadata"]["annotations"] |= own
    return made


def sets(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with its volumes in no order."""
    return pod | {"spec": pod["spec"] | {"volumes": {one["name"] for one in pod["spec"]["volumes"]}}}


def test_the_sidecar_is_the_injectors() -> None:
    """Containers, volumes, labels, annotations and probes, as the webhook would add them."""
    before, after = (yaml.safe_load(text) for text in (DEPLOYMENT, transform(DEPLOYMENT, "x", MANUAL).text))

    made = after["spec"]["template"]
    assert sets(made) == sets(expected(before["spec"]["template"], "cache"))
    assert made["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/probe/tcp/6379"
    assert [one["name"] for one in made["spec"]["initContainers"]] == ["weft-init", "weft-proxy", "schema"]


def test_every_other_line_stays() -> None:
    """Comments, quotes and order: nothing but the probe's action is changed."""
    after = transform(DEPLOYMENT, "x", MANUAL).text.splitlines()

    gone = [line for line in DEPLOYMENT.splitlines() if line not in after]
    assert [line.strip() for line in gone] == list(PROBES)


def test_uninject_gives_the_text_back() -> None:
    """But for probes' actions: a named port has become its number."""
    back = transform(transform(DEPLOYMENT, "x", MANUAL).text, "x", OUT).text

    restored = DEPLOYMENT
    for before, after in PROBES.items():
        restored = restored.replace(before, after)
    assert back == restored


NAMES = st.sampled_from(["a", "b", "c", "d"])
PAIRS = st.dictionaries(NAMES, NAMES, min_size=1, max_size=3)
LISTS = st.lists(st.builds(lambda name: {"name": name, "image": "x"}, NAMES), min_size=1, max_size=2)
PODS = st.fixed_dictionaries(
    {"spec": st.fixed_dictionaries({"containers": LISTS}, optional={"initContainers": LISTS, "volumes": LISTS})},
    optional={"metadata": st.dictionaries(st.sampled_from(["labels", "annotations"]), PAIRS, min_size=1)},
)


@given(PODS, st.sampled_from(sorted(TEMPLATES.keys() - {"Pod"})), st.sampled_from([None, 0, 2]), st.booleans())
def test_any_template_can_be_injected_and_back(
    pod: dict[str, Any], kind: str, indent: int | None, as_json: bool
) -> None:
    """Of any kind, in block style and as JSON: what the injector would make, again the same, and back byte for byte."""
    *above, key = TEMPLATES[kind]
    document: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}
    inner = reduce(lambda inner, key: inner.setdefault(key, {}), above, document)
    inner[key] = pod
    text = json.dumps(document, indent=indent) if as_json else yaml.safe_dump(document, sort_keys=False)

    injected = transform(text, "x", MANUAL)

    assert injected.errors == []
    made = reduce(operator.getitem, TEMPLATES[kind], yaml.safe_load(injected.text))
    assert sets(made) == sets(expected(pod, "x", kind.lower()))
    assert transform(injected.text, "x", MANUAL).text == injected.text
    assert transform(injected.text, "x", OUT).text == text


@pytest.mark.parametrize("metadata", ["null", "{}", "{annotations: null, labels: {}}", "{annotations: {}, labels: }"])
def test_a_sidecar_is_taken_out_whatever_the_metadata(metadata: str) -> None:
    """Of a text that others wrote, too: what holds nothing stays."""
    text = f"""\
apiVersion: batch/v1
kind: Job
spec:
  template:
    metadata: {metadata}
    spec: {{initContainers: [{{name: weft-proxy}}], containers: [{{name: a}}]}}
"""
    assert transform(text, "x", OUT).text == text.replace("initContainers: [{name: weft-proxy}], ", "")


def test_what_the_injector_would_refuse_is_refused() -> None:
    """With its reason."""
    port = DEPLOYMENT.replace("6379", "4143")
    wish = DEPLOYMENT.replace("config.weft.dev/skip-outbound-ports", "weft.dev/inject")

    assert transform(port, "x", MANUAL).errors == [
        "deployment/cache: container redis uses port 4143, which is the proxy's own"
    ]
    assert transform(wish, "x", MANUAL).errors == [
        "deployment/cache: annotation weft.dev/inject of the pod is '53, 54', not enabled or disabled"
    ]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("      os: {name: windows}", "the proxy runs on Linux only"),
        ("      hostNetwork: true", "hostNetwork is enabled, so the proxy cannot take its traffic"),
    ],
)
def test_what_the_injector_would_leave_alone_is_refused(spec: str, reason: str) -> None:
    """Its proxy would not run, or would take what is others'."""
    text = DEPLOYMENT.replace("    spec:\n", f"    spec:\n{spec}\n")

    assert transform(text, "x", MANUAL).errors == [f"deployment/cache: {reason}"]


def test_warnings_are_the_injectors() -> None:
    """What it would tell by an Event."""
    text = DEPLOYMENT.replace("skip-outbound-ports: ", "shutdown-grace: 90s #")

    assert transform(text, "x", MANUAL).warnings == [
        "deployment/cache: shutdown-grace 90s is cut short: the pod's terminationGracePeriodSeconds is 30"
    ]


def test_a_workload_that_gets_its_name_later_has_what_there_is() -> None:
    """As the injector takes it: a label does not end in a dash."""
    text = DEPLOYMENT.replace("kind: Deployment", "kind: Job").replace("name: cache}", "generateName: import-}")
    made = yaml.safe_load(transform(text, "x", MANUAL).text)["spec"]["template"]

    assert made["metadata"]["labels"]["weft.dev/workload"] == "import"


@pytest.fixture
def shop(kube: FakeKube) -> FakeKube:
    """weft is installed, and its template is the one above."""
    names = ("init", "proxy", "volumes", "options")
    data = {"template.json": json.dumps({name: getattr(TEMPLATE, name) for name in names})}
    meta = {"name": "weft-proxy-template", "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    labelled = namespace("shop")
    labelled["metadata"]["annotations"] = ANNOTATIONS
    kube.put(labelled)
    return kube


def test_the_command_takes_template_and_namespace_from_the_cluster(weft: Any, shop: FakeKube) -> None:
    """So that the output is what the injector would do there."""
    result = weft("-n", "shop", "inject", "--manual", "-", input=DEPLOYMENT)

    assert result.stdout == transform(DEPLOYMENT, "x", MANUAL).text


def test_diff_shows_the_lines_that_change(weft: Any) -> None:
    """And nothing else: the YAML is not printed."""
    lines = weft("inject", "--diff", "-", input=DEPLOYMENT).stdout.splitlines()

    assert lines[:2] == ["--- standard input", "+++ standard input (new)"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["+        weft.dev/inject: enabled"]
