"""inject and uninject: what they mark, and that they leave every other byte alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from weft.errors import Failure
from weft.forward import Connect
from weft.inject import TEMPLATES, Task, transform

Answers = dict[str, tuple[int, Any]]
MARK = {"weft.dev/inject": "enabled"}
DEPLOYMENT = """\
# the shop's page: é
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # stays
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - args: [22:22, 'on', 0o644]
"""
SERVICE = "---\napiVersion: v1\nkind: Service\nmetadata:\n    name:  web\n...\n# the end\n"


def at(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    """The pod template of an object of this kind."""
    for key in TEMPLATES[kind]:
        obj = obj[key]
    return obj


def workload(kind: str, metadata: object) -> dict[str, Any]:
    """A workload whose pod template has this metadata."""
    template: dict[str, Any] = {"spec": {"containers": [{"name": "app"}]}}
    if metadata != "absent":
        template["metadata"] = metadata
    for key in reversed(TEMPLATES[kind]):
        template = {key: template}
    name = {"metadata": {"name": "x"} | (template.get("metadata") or {})}
    return {"apiVersion": "v1", "kind": kind, **template, **({} if TEMPLATES[kind] and metadata == "absent" else name)}


names = st.text("abcdefghijkl-é", min_size=1, max_size=8)
values = st.text(max_size=12)
annotations = st.one_of(st.none(), st.dictionaries(names, values, max_size=3))
metadata = st.one_of(
    st.just("absent"),
    st.none(),
    st.builds(lambda a, labels: {"annotations": a, "labels": labels}, annotations, st.dictionaries(names, values)),
    st.builds(lambda labels: {"labels": labels}, st.dictionaries(names, values, min_size=1)),
)
objects = st.builds(workload, st.sampled_from(sorted(TEMPLATES)), metadata)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Objects, alone or in a List, as YAML of any style or as JSON."""
    found = draw(st.lists(objects, min_size=1, max_size=3))
    documents: list[Any] = [{"apiVersion": "v1", "kind": "List", "items": found}] if draw(st.booleans()) else found
    if draw(st.booleans()):
        return "\n---\n".join(json.dumps(document, indent=draw(st.sampled_from([None, 2]))) for document in documents)
    flow = draw(st.sampled_from([True, False, None]))
    return yaml.safe_dump_all(documents, default_flow_style=flow, sort_keys=draw(st.booleans()), allow_unicode=True)


def load(text: str) -> list[dict[str, Any]]:
    """All objects of a text, those of Lists too."""
    parts = text.split("\n---\n") if text.startswith("{") else []
    try:
        documents = [json.loads(part) for part in parts] or list(yaml.safe_load_all(text))
    except json.JSONDecodeError:
        documents = list(yaml.safe_load_all(text))
    return [item for document in documents if document for item in document.get("items", [document])]


def normal(value: object) -> object:
    """Without what is empty: to Kubernetes `annotations: {}` is as good as none."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items() if normal(item) not in ({}, None)}
    return [normal(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(texts())
def test_inject_marks_every_workload(text: str) -> None:
    """Each pod template gets the annotation, whatever style and shape the text has."""
    marked = load(transform(text, "text").text)
    assert [MARK] * len(marked) == [
        {k: v for k, v in at(obj, obj["kind"])["metadata"]["annotations"].items() if k in MARK} for obj in marked
    ]


@settings(deadline=None)
@given(texts())
def test_inject_is_idempotent(text: str) -> None:
    """inject∘inject = inject, byte for byte."""
    once = transform(text, "text").text
    assert once == transform(once, "text").text


@settings(deadline=None)
@given(texts())
def test_uninject_takes_back_what_inject_did(text: str) -> None:
    """uninject∘inject leaves equivalent objects."""
    back = transform(transform(text, "text").text, "text", Task(remove=True)).text
    assert normal(load(text)) == normal(load(back))


def test_only_the_mark_is_added() -> None:
    """Comments, quotes, odd scalars and documents that are no workloads stay as they are."""
    added = "      annotations:\n        weft.dev/inject: enabled\n"
    expected = DEPLOYMENT.replace("      labels: {app", added + "      labels: {app") + SERVICE
    assert expected == transform(DEPLOYMENT + SERVICE, "text").text
    assert transform(expected, "text", Task(remove=True)).text == DEPLOYMENT + SERVICE


def test_a_read_version_does_not_come_back() -> None:
    """What was read from a cluster can be applied after its status has moved on; untouched objects keep every byte."""
    read = DEPLOYMENT.replace("  name: web   # stays\n", '  name: web   # stays\n  resourceVersion: "42"\n')

    assert transform(DEPLOYMENT, "-").text == transform(read, "-").text
    assert transform(SERVICE, "-").text == SERVICE


def test_windows_line_ends_stay() -> None:
    """A text with CRLF gets CRLF."""
    text = f"%YAML 1.1\n---\n{DEPLOYMENT}".replace("\n", "\r\n")
    assert text == transform(transform(text, "text").text, "text", Task(remove=True)).text
    assert "\n" not in transform(text, "text").text.replace("\r\n", "")


@pytest.mark.parametrize("before", ["\ufeff", "%YAML 1.1\n# of old\n---\n", "\ufeff%YAML 1.1\n---\n"])
def test_what_stands_before_a_document_stays(before: str) -> None:
    """A byte order mark, and directives: also those of a later document, which follow the end of the one before."""
    marked = transform(DEPLOYMENT, "text").text
    assert transform(before + DEPLOYMENT, "text").text == before + marked
    assert transform(before + marked, "text", Task(remove=True)).text == before + DEPLOYMENT
    if before.startswith("%"):
        assert transform(f"{SERVICE}...\n{before}{DEPLOYMENT}", "text").text == f"{SERVICE}...\n{before}{marked}"


def test_namespace_gets_a_label() -> None:
    """Webhook selectors see labels only."""
    outcome = transform("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: tea\n", "text")
    assert [obj["metadata"] for obj in load(outcome.text)] == [{"labels": MARK, "name": "tea"}]


def test_disabled_becomes_enabled_with_a_warning() -> None:
    """The user asked for it, and is told that it was off."""
    text = DEPLOYMENT.replace("labels: {app: web}", "annotations: {weft.dev/inject: disabled}")
    outcome = transform(text, "text")
    assert at(load(outcome.text)[0], "Deployment")["metadata"]["annotations"] == MARK
    assert outcome.warnings == ["deployment/web: weft.dev/inject: disabled was set and is now overruled"]


def test_annotations_that_pods_do_not_get_are_told() -> None:
    """Those above the pod template, wherever; not on the way out."""
    above = {"annotations": {"config.weft.dev/opaque-ports": "25", "weft.dev/inject": "enabled", "other": "x"}}
    template = {"metadata": {"annotations": {"config.weft.dev/proxy-workers": "2"}}, "spec": {"containers": []}}
    job = {"metadata": above, "spec": {"template": template}}
    obj = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "x"}, "spec": {"jobTemplate": job}}

    text = yaml.safe_dump(obj)
    warned = [
        f"cronjob/x: {name} stands on the CronJob, not on its pod template: no effect"
        for name in ("config.weft.dev/opaque-ports", "weft.dev/inject")
    ]
    assert transform(text, "x").warnings == warned
    assert transform(text, "x", Task(remove=True)).warnings == []


@pytest.mark.parametrize("text", ["just words", "- a\n- b\n", "a: [", "name: web\n", "\x01"])
def test_refuses_what_is_not_kubernetes(text: str) -> None:
    """One line that names the source."""
    with pytest.raises(Failure, match="standard input is not"):
        transform(text, "standard input")


def outcome_of(result: Result) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    return result.exit_code, result.stdout, result.stderr


def test_command_reports_on_stderr(weft: Any, same: Any) -> None:
    """YAML on stdout; on stderr what became of each object, apart from kubectl's lines."""
    result = weft("inject", "-", input=DEPLOYMENT + SERVICE)
    assert (0, transform(DEPLOYMENT + SERVICE, "").text) == (result.exit_code, result.stdout)
    same("inject.txt", result.stdout)
    same("inject.stderr", result.stderr)
    same("uninject.txt", weft("uninject", "-", input=result.stdout).stdout)


def test_command_reads_folders(weft: Any, tmp_path: Path) -> None:
    """All YAML and JSON files below a folder, in order, as one stream."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "web.yaml").write_text(DEPLOYMENT.rstrip())
    (tmp_path / "c.yml").write_text(SERVICE)
    (tmp_path / "notes.txt").write_text("not YAML: [")
    (tmp_path / "d.yaml").write_text(f"\ufeff%YAML 1.1\n{SERVICE}", "utf-8")
    result = weft("inject", str(tmp_path))
    assert [obj["kind"] for obj in load(result.stdout)] == ["Deployment", "Service", "Service"]
    assert weft("inject", str(tmp_path / "d.yaml")).stdout_bytes == (tmp_path / "d.yaml").read_bytes()


def test_command_reads_urls(weft: Any, web: Connect, answers: Answers) -> None:
    """As kubectl does; what cannot be fetched is one line."""
    answers["/web.yaml"] = (200, DEPLOYMENT.encode())
    with web() as connection:
        base = "http://{}:{}".format(*connection.getpeername())
    assert weft("inject", f"{base}/web.yaml").stdout == transform(DEPLOYMENT, "").text
    expected = f"weft: cannot fetch {base}/none: HTTP Error 404: Not Found. Download it, and give the file.\n"
    assert outcome_of(weft("inject", f"{base}/none")) == (1, "", expected)


def test_host_network_is_refused(weft: Any) -> None:
    """No YAML at all, so that nothing half done is applied; in a List, what could be injected is not either."""
    text = DEPLOYMENT.replace("    spec:\n", "    spec:\n      hostNetwork: true\n")
    items = [*load(DEPLOYMENT.replace("web ", "shop ")), *load(text)]
    expected = (
        "weft: nothing was injected: deployment/web: hostNetwork is enabled, so the proxy cannot take its traffic. "
        "Take these out and try again.\n"
    )
    for source in (text, f"{SERVICE}---\n{text}", json.dumps({"apiVersion": "v1", "kind": "List", "items": items})):
        assert (1, "", expected) == outcome_of(weft("inject", "-", input=source))


def test_already_marked_is_told(weft: Any, same: Any) -> None:
    """The text comes out as it went in."""
    marked = transform(DEPLOYMENT, "text").text
    result = weft("inject", "-", input=marked)
    assert (result.exit_code, result.stdout) == (0, marked)
    same("inject-again.stderr", result.stderr)


def test_pods_with_the_proxy_are_refused(weft: Any) -> None:
    """A pod that runs cannot be changed; among others it is left as it is."""
    meshed = "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1}\nspec: {initContainers: [{name: weft-proxy}]}\n"
    expected = (
        "weft: already meshed: pod/web-1. "
        "Pods cannot be changed: inject the workload that makes them, if it is not marked yet.\n"
    )
    assert outcome_of(weft("inject", "-", input=meshed)) == (1, "", expected)
    among_others = weft("inject", "-", input=f"{DEPLOYMENT}---\n{meshed}")
    assert (among_others.exit_code, among_others.stdout.endswith(meshed)) == (0, True)
    assert 'pod "web-1" already meshed (it holds the proxy itself), left as it is\n' in among_others.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        (["-"], "a: b\n", "weft: standard input is not Kubernetes YAML: a document has no apiVersion and kind. "
         "Give objects as kubectl would take them.\n"),
        (["-"], "", "weft: no Kubernetes objects in standard input. Give workloads, as YAML or JSON.\n"),
        (["none.yaml"], "", "weft: cannot read none.yaml: No such file or directory. Give a file, folder, URL or -.\n"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line(weft: Any, arguments: list[str], text: str, expected: str) -> None:
    """Cause and next step on stderr, exit code 1, nothing on stdout."""
    assert (1, "", expected) == outcome_of(weft("inject", *arguments, input=text))


def test_what_cannot_be_changed_safely_is_refused() -> None:
    """A pod whose first key of metadata must go where the mark must stand: never a broken text."""
    text = 'apiVersion: v1\nkind: Pod\nmetadata:\n  resourceVersion: "7"\n  name: x\nspec: {}\n'

    outcome = transform(text, "pod.yaml")

    assert outcome.errors == ["pod.yaml: line 4 would be changed in two ways: put another key in its place first"]
