"""`weft identity`: the live leaf of a proxy, and rotations of the trust anchor."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from weft import leaf, rotation
from weft.errors import Failure
from weft_kube.names import TRUST_BUNDLE
from weft_pki.bundle import bundle_pem
from weft_pki.issue import Authority, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, new_key
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import pod
from weft_testkit.store import RefusedError

NOW = datetime.now(UTC)
SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
ANCHOR = new_anchor(NOW)
PATH = "/api/v1/namespaces/weft/configmaps/weft-rotation"


def pem(anchor: Authority) -> str:
    """A bundle of one anchor."""
    return bundle_pem([anchor.certificate]).decode()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A proxy's tap port: TLS 1.3, and nobody without a certificate."""
    key, issuer = new_key(), new_issuer(ANCHOR, NOW)
    certificate = workload_leaf(issuer, key.public_key(), SHOP, NOW, timedelta(hours=24))
    file = tmp_path / "tls.pem"
    file.write_bytes(key_pem(key) + bundle_pem([certificate, *issuer.chain]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem(ANCHOR))
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept, args=(listener, context))
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


def accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Shakes hands with whoever comes."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            try:
                context.wrap_socket(client, server_side=True).close()
            except OSError:
                continue


def test_the_live_leaf_is_what_the_proxy_shows(proxy: tuple[str, int]) -> None:
    """Identity and times from the handshake, trusted by the bundle; no certificate of one's own is needed."""
    found = leaf.live_leaf(lambda: socket.create_connection(proxy), pem(ANCHOR))
    assert (found.identity, found.trusted) == (SHOP, "")
    assert found.not_after == (NOW + timedelta(hours=24)).replace(microsecond=0)
    assert [found.overdue(NOW + timedelta(hours=hours)) for hours in (1, 18, 20)] == [False, False, True]


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [(pem(new_anchor(NOW)), "self-signed|unable to get"), ("", "there is no trust bundle")],
)
def test_a_leaf_that_the_bundle_does_not_vouch_for_is_shown_with_the_reason(
    proxy: tuple[str, int], bundle: str, reason: str
) -> None:
    """Another anchor; no bundle at all."""
    found = leaf.live_leaf(lambda: socket.create_connection(proxy), bundle)
    assert found.identity == SHOP
    assert found.trusted
    assert any(part in found.trusted for part in reason.split("|"))


def test_a_port_that_speaks_no_tls_is_told_in_one_line() -> None:
    """Cause and next step."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Failure, match="no handshake with the proxy"):
            leaf.live_leaf(lambda: socket.create_connection(listener.getsockname()), "")
        thread.join()


def test_a_pod_that_is_not_there_is_named(weft: Any, kube: FakeKube) -> None:
    """A first word that is no command is a pod."""
    result = weft("identity", "shop-1")
    assert result.exit_code == 1
    assert '"shop-1" not found' in result.stderr


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_leaf_is_shown(weft: Any, kube: FakeKube, same: Any, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Whose it is, until when, and whether the namespace's bundle vouches for it."""
    kube.put(pod("teahouse", "shop-1"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    shown = leaf.Leaf(SHOP, "1f", "ab" * 32, "CN=weft issuer", start, start + timedelta(hours=24), "")
    monkeypatch.setattr(leaf, "live_leaf", lambda *_: shown)
    same(f"identity-show-{output}.txt", weft("identity", "show", "shop-1", "-o", output).stdout)


def put(kube: FakeKube, **data: Any) -> None:
    """ConfigMap weft-rotation as identity writes it."""
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
    meta = {"name": "weft-rotation", "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": text})


def data(kube: FakeKube) -> dict[str, str]:
    """What is in it; nothing when it is not there."""
    try:
        found: dict[str, str] = kube.get(PATH)["data"]
    except RefusedError:
        return {}
    return found


@pytest.fixture
def anchor(kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    """A cluster with an anchor and its key; nobody sleeps."""
    monkeypatch.setattr(rotation, "POLL_SECONDS", 0)
    meta = {"name": "weft-trust-anchor", "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"ca.crt": "", "ca.key": "eA=="}})
    bundle = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": TRUST_BUNDLE, "namespace": "weft"}}
    kube.put(bundle | {"data": {"ca.crt": pem(ANCHOR)}})
    return kube


def test_a_rotation_is_wished_and_followed(weft: Any, anchor: FakeKube, same: Any) -> None:
    """Each phase once, for whom it waits, and the end."""
    story: list[dict[str, Any]] = [
        {"state": {"phase": "trusting"}, "progress": {"pods": 3, "waiting": 1, "names": ["teahouse/menu-1"]}},
        {"state": {"phase": "signing"}},
        {"state": {"phase": "leaving"}},
        {"state": {"note": "finished"}},
    ]

    def identity(_: Recorded) -> None:
        if data(anchor) and story:
            put(anchor, **story.pop(0))

    anchor.on_request("GET", PATH, identity)
    result = weft("identity", "rotate")
    wish = next(write for write in anchor.writes() if write.path.endswith("/configmaps"))

    assert list(wish.body["data"]) == ["requested"]
    assert result.exit_code == 0
    same("identity-rotate.txt", result.stdout)


def test_a_second_wish_while_one_is_fulfilled_only_looks_on(weft: Any, anchor: FakeKube) -> None:
    """Nothing is written."""
    put(anchor, state={"phase": "leaving"})
    looks = iter([None, lambda: put(anchor, state={"note": "finished"})])
    anchor.on_request("GET", PATH, lambda _: step() if (step := next(looks, None)) else None)
    result = weft("identity", "rotate")
    assert (result.exit_code, anchor.writes()) == (0, [])
    assert result.stdout.splitlines()[0] == "a rotation is under way already"


def test_a_rotation_that_was_given_up_fails_with_its_reason(weft: Any, anchor: FakeKube) -> None:
    """As identity noted it."""
    put(anchor, state={"phase": "trusting"})
    looks = iter([None, lambda: put(anchor, state={"note": "given up: by hand"})])
    anchor.on_request("GET", PATH, lambda _: step() if (step := next(looks, None)) else None)
    result = weft("identity", "rotate")
    assert result.exit_code == 1
    assert "given up: by hand" in result.stderr


def test_an_identity_that_does_not_answer_is_told(weft: Any, anchor: FakeKube, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be waited for in vain."""
    monkeypatch.setattr(rotation, "ANSWER_SECONDS", -1)
    result = weft("identity", "rotate")
    assert result.exit_code == 1
    assert "takes no notice" in result.stderr


def test_a_dry_run_shows_the_steps_and_writes_nothing(weft: Any, anchor: FakeKube) -> None:
    """The anchors that there are, the state, the four phases."""
    result = weft("identity", "rotate", "--dry-run")
    shown = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert (result.exit_code, anchor.writes()) == (0, [])
    assert shown == ["anchor", "state", "trusting", "signing", "leaving", "closing", "Nothing"]


def test_an_anchor_without_its_key_is_refused_at_once(weft: Any, anchor: FakeKube) -> None:
    """With the place where it is rotated."""
    meta = {"name": "weft-trust-anchor", "namespace": "weft"}
    anchor.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"ca.crt": ""}})
    result = weft("identity", "rotate")
    assert (result.exit_code, anchor.writes()) == (1, [])
    assert "ca.key" in result.stderr
