"""Options in front of subcommands, names shared with the mesh, durations and resources."""

import os
import subprocess
import sys
from typing import Any

import click
import pytest
import weft_kube.names
from weft import durations, names, resources, version
from weft.errors import Failure
from weft.main import cli
from weft.options import Target
from weft.resources import Resource
from weft_kube.workloads import KINDS


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "tea", "--context", "x", "viz", "list", "-o", "json"],
        ["viz", "-n", "tea", "-o", "json", "list", "--context", "x"],
        ["-o", "json", "viz", "list", "-n", "tea", "--context", "x"],
        ["-n", "other", "viz", "list", "-n", "tea", "--context=x", "-o", "json"],
    ],
)
def test_options_work_in_every_place(arguments: list[str], monkeypatch: pytest.MonkeyPatch, weft: Any) -> None:
    """`weft -n x viz list` is `weft viz list -n x`; the innermost wins."""
    seen = noted(monkeypatch, "list")
    assert weft(*arguments).exit_code == 0
    assert [(target.namespace, target.context, own["output"]) for target, own in seen] == [("tea", "x", "json")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-A", "-t", "5m", "-l", "app=web", "-o", "wide", "viz", "stat", "deploy"],
        ["-A", "viz", "-t", "5m", "-o", "wide", "stat", "deploy", "-l", "app=web"],
        ["-t", "1h", "viz", "-l", "app=tea", "stat", "-A", "deploy", "-t", "5m", "-l", "app=web", "-o", "wide"],
    ],
)
def test_options_of_a_command_may_stand_before_it(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, weft: Any
) -> None:
    """As in `weft viz -A stat deploy`; the innermost wins."""
    seen = noted(monkeypatch, "stat")
    assert weft(*arguments).exit_code == 0
    ((_, own),) = seen
    found = {name: own[name] for name in ("all_namespaces", "window", "selector", "output")}
    assert found == {"all_namespaces": True, "window": "5m", "selector": "app=web", "output": "wide"}


def test_acting_as_somebody_else(monkeypatch: pytest.MonkeyPatch, weft: Any) -> None:
    """Wherever the options stand."""

    def connect(*given: Any) -> None:
        raise Failure(repr(given), "")

    monkeypatch.setattr("weft.cluster.Kube.connect", connect)
    told = weft("--as", "bob", "viz", "list", "--as-group", "dev", "--as-group", "ops").stderr
    assert "(None, None, {'as': 'bob', 'as-groups': ['dev', 'ops']})" in told


@pytest.mark.parametrize("arguments", [["-A", "version", "--client"], ["-o", "json", "explain", "E104"]])
def test_an_option_that_the_command_lacks_is_refused(arguments: list[str], weft: Any) -> None:
    """Where it stands makes no difference: nothing is accepted and then ignored."""
    result = weft(*arguments)
    assert (result.exit_code, "No such option" in result.stderr) == (2, True)


def noted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Target, dict[str, Any]]]:
    """What a command of `viz` is given from now on, instead of running."""
    seen: list[tuple[Target, dict[str, Any]]] = []

    @click.pass_context
    def note(context: click.Context, **own: Any) -> None:
        seen.append((context.obj, own))

    monkeypatch.setattr(cli.commands["viz"].commands[name], "callback", note)  # type: ignore[attr-defined]
    return seen


def test_names_are_those_of_the_mesh() -> None:
    """The CLI is installed without the mesh's libraries, so its names are copies."""
    shared = {name for name in vars(names) if name.isupper() and hasattr(weft_kube.names, name)}
    assert {"INJECT", "PROXY_VERSION", "PROXY_CONTAINER", "TRUST_BUNDLE"} <= shared
    assert {n: getattr(weft_kube.names, n) for n in shared} == {n: getattr(names, n) for n in shared}


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300.0), ("1m30s", 90.0), ("200ms", 0.2), ("0s", 0.0)])
def test_durations(text: str, seconds: float) -> None:
    """As Kubernetes writes them."""
    assert seconds == durations.parse(text)


@pytest.mark.parametrize("text", ["", "5", "m", "5m ", "-5s"])
def test_durations_refuse(text: str) -> None:
    """Nothing else is one."""
    with pytest.raises(ValueError, match="is not a duration"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["deploy"], [Resource("deployment")]),
        (["po/a", "sts/b"], [Resource("pod", "a"), Resource("statefulset", "b")]),
        (["svc", "a", "b"], [Resource("service", "a"), Resource("service", "b")]),
    ],
)
def test_resources(words: list[str], expected: list[Resource]) -> None:
    """TYPE, TYPE/NAME … and TYPE NAME …, with kubectl's short forms."""
    assert expected == resources.parse(words)


def test_kinds_are_those_of_the_services() -> None:
    """With the same short forms; service accounts are for authz alone."""
    own = {kind: set(words) for kind, words in resources.KINDS.items() if kind != "serviceaccount"}
    theirs = {kind.name: {kind.plural, kind.short} - {kind.name} for kind in KINDS}
    assert own == theirs


@pytest.mark.parametrize("words", [["widget"], ["deploy/a", "b"], ["deploy", "po/b"], ["deploy/"], ["a/b/c"]])
def test_resources_refuse(words: list[str]) -> None:
    """One line says how to write it."""
    with pytest.raises(Failure):
        resources.parse(words)


def test_unexpected_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, weft: Any) -> None:
    """A traceback comes with --verbose only."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(cli.commands["explain"], "callback", broken)
    expected = "weft: unexpected RuntimeError: boom. Run again with --verbose and report the traceback.\n"
    result = weft("explain", "x")
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)
    assert isinstance(weft("--verbose", "explain", "x").exception, RuntimeError)


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`weft … | head` ends as kubectl does: no message, and the code of SIGPIPE."""
    unread, stdout = os.pipe()
    os.close(unread)
    command = [sys.executable, "-c", "from weft.main import main; main()", "completion", "bash"]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    os.close(stdout)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(weft: Any, shell: str) -> None:
    """A script for each shell."""
    assert "_WEFT_COMPLETE" in weft("completion", shell).stdout


def every_command(group: click.Group, *path: str) -> list[list[str]]:
    """The words of every command below a group."""
    found = []
    for name, command in group.commands.items():
        found += every_command(command, *path, name) if isinstance(command, click.Group) else [[*path, name]]
    return found


@pytest.mark.parametrize("command", every_command(cli), ids=" ".join)
def test_every_command_has_help(weft: Any, command: list[str]) -> None:
    """--help and -h, and the shared options."""
    result = weft(*command, "--help")
    assert (result.exit_code, "--namespace" in result.stdout) == (0, True)
    assert result.stdout == weft(*command, "-h").stdout


def test_version(weft: Any, kube: Any, same: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says what runs in the cluster, or that nothing does."""
    monkeypatch.setattr("weft.commands.about.cli_version", lambda: "0.1.7")
    client = "Client version: 0.1.7\n"
    assert weft("version", "--client").stdout == client
    assert weft("version").stdout == f"{client}Server version: not installed\n"
    data = {"version": "0.2.0", "image.proxy": "ghcr.io/weft-mesh/proxy:0.2.1"}
    meta = {"name": "weft-config", "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    for output in ("table", "json"):
        same(f"version-{output}.txt", weft("version", "-o", output).stdout)


@pytest.mark.parametrize(
    ("output", "expected"),
    [("table", f"Client version: {version()}\n"), ("json", f'{{"client": "{version()}"}}\n')],
)
def test_version_without_a_cluster(weft: Any, point_at: Any, output: str, expected: str) -> None:
    """The client's own is printed all the same; that the other is missing is a failure."""
    point_at("http://127.0.0.1:1")
    why = (
        "weft: cannot reach the cluster at http://127.0.0.1:1: Connection refused. "
        "Start it, or choose another by --context or --kubeconfig. `--client` asks no cluster.\n"
    )
    result = weft("version", "-o", output)
    assert (1, expected, why) == (result.exit_code, result.stdout, result.stderr)
    assert weft("version", "--client", "-o", output).exit_code == 0
