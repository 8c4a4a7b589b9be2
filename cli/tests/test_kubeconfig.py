"""Kubeconfig files, as kubectl reads them."""

import json
from pathlib import Path
from typing import Any

import pytest
from weft import kubeconfig
from weft.errors import Failure
from weft.kubeconfig import Access, load

Write = Any
"""Writes a kubeconfig: name of the file, its current context, and clusters, users and contexts by name."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files, all of which KUBECONFIG names."""
    monkeypatch.setenv("KUBECONFIG", "")
    written: list[Path] = [tmp_path / "missing"]

    def one(name: str, current: str = "", **found: dict[str, Any]) -> Path:
        lists = {f"{kind}s": [{"name": n, kind: v} for n, v in values.items()] for kind, values in found.items()}
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"kind": "Config", "current-context": current, **lists}))
        written.append(file)
        monkeypatch.setenv("KUBECONFIG", ":".join(map(str, written)))
        return file

    return one


def test_several_files_are_one(write: Write) -> None:
    """Of what has the same name the first file's counts; files that are not there are left out."""
    write("a", context={"x": {"cluster": "shop", "user": "me", "namespace": "teahouse"}}, user={"me": {"token": "1"}})
    write("b", "x", cluster={"shop": {"server": "https://shop"}}, user={"me": {"token": "2"}})
    write("c", "y", context={"y": {"cluster": "shop"}})
    assert load(None, None) == Access({"server": "https://shop"}, {"token": "1"}, "teahouse")
    assert load(None, "y") == Access({"server": "https://shop"}, {}, "default")


def test_an_option_wins_over_the_environment(write: Write) -> None:
    """And names one file."""
    chosen = write("a", "x", context={"x": {"cluster": "b"}}, cluster={"b": {"server": "chosen"}})
    write("b", "x", context={"x": {"cluster": "b"}}, cluster={"b": {"server": "other"}})
    assert load(str(chosen), None).cluster == {"server": "chosen"}


def test_paths_are_from_the_folder_of_their_file(write: Write, tmp_path: Path) -> None:
    """Certificates, keys, tokens, and programs that are no mere name."""
    user = {"client-certificate": "my.crt", "client-key": "/etc/my.key", "exec": {"command": "./login"}}
    context = {"x": {"cluster": "b", "user": "me"}}
    write("folder/a", "x", context=context, cluster={"b": {"certificate-authority": "../ca.crt"}}, user={"me": user})
    cluster, user, _ = load(None, None)
    folder = tmp_path / "folder"
    assert cluster == {"certificate-authority": str(folder / "../ca.crt")}
    assert user == {
        "client-certificate": str(folder / "my.crt"),
        "client-key": "/etc/my.key",
        "exec": {"command": str(folder / "login")},
    }


@pytest.mark.parametrize(
    ("context", "cause", "step"),
    [
        ("z", "the kubeconfig has no context 'z'", "Choose a context by --context: x, y."),
        ("y", "the kubeconfig has no cluster 'gone'", "Choose a context by --context: x, y."),
        (None, "the kubeconfig has no current context", "Choose by --context: x, y."),
    ],
)
def test_what_is_not_there_is_named(write: Write, context: str | None, cause: str, step: str) -> None:
    """With the contexts that are."""
    write("a", context={"x": {"cluster": "b"}, "y": {"cluster": "gone"}}, cluster={"b": {}})
    with pytest.raises(Failure) as caught:
        load(None, context)
    assert caught.value.format_message() == f"no cluster: {cause}. {step}"


def test_in_a_pod_its_own_account_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.setattr(kubeconfig, "POD_ACCOUNT", tmp_path)
    with pytest.raises(Failure, match=f"no cluster: there is no kubeconfig at {tmp_path}/none"):
        load(None, None)
    (tmp_path / "token").write_text("t0ken")
    (tmp_path / "namespace").write_text("teahouse")
    cluster = {"server": "https://[fd00::1]:6443", "certificate-authority": str(tmp_path / "ca.crt")}
    assert load(None, None) == Access(cluster, {"tokenFile": str(tmp_path / "token")}, "teahouse")
