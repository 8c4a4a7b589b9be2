"""A Prometheus that wants credentials, and is known by an authority of its own."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from weft_pki.bundle import bundle_pem
from weft_pki.issue import Authority, new_anchor, serving_certificate
from weft_pki.keys import key_pem, new_key
from weft_runtime.config import ConfigError, load
from weft_testkit.listen import listen
from weft_web import credentials
from weft_web.app import asked
from weft_web.config import Config
from weft_web.credentials import SOURCE, in_the_clear, parse
from weft_web.metrics import Metrics
from weft_web.prometheus import Prometheus, PrometheusError

ENV = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
NUMBERS = count()
VALUE = "s3cr3t"
BASIC = f"Basic {base64.b64encode(b'ann:s3cr3t').decode()}"


@dataclass
class Guarded:
    """A Prometheus that tells what it was shown, and answers with a status."""

    url: str = ""
    status: int = 200
    body: str = '{"status":"success","data":{"result":[]}}'
    shown: list[dict[str, str]] = field(default_factory=list)

    async def query(self, request: web.Request) -> web.Response:
        """POST /api/v1/query."""
        wanted = ("Authorization", "X-Scope-OrgID")
        self.shown.append({name: request.headers[name] for name in wanted if name in request.headers})
        return web.Response(status=self.status, text=self.body)


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    """On a socket of its own."""
    async with AsyncExitStack() as stack:
        found = Guarded()
        app = web.Application()
        app.router.add_post("/api/v1/query", found.query)
        found.url = await listen(app, stack)
        yield found


def secret(folder: Path, **keys: str) -> Path:
    """The folder as the kubelet has it: links through one that leads to the newest version."""
    version = folder / f"..{next(NUMBERS)}"
    version.mkdir()
    for old in filter(Path.is_symlink, [*folder.iterdir()]):
        old.unlink()
    (folder / "..data").symlink_to(version.name)
    for name, value in ((name.replace("_", "."), value) for name, value in keys.items()):
        (version / name).write_text(value)
        (folder / name).symlink_to(f"..data/{name}")
    return folder


async def asks(prometheus: Prometheus) -> str:
    """One question; what is told when it fails. Each is another, since answers are shared for a moment."""
    try:
        await prometheus.query(f"up > {next(NUMBERS)}")
    except PrometheusError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("keys", "headers"),
    [
        ({"token": f"{VALUE}\n"}, {"Authorization": f"Bearer {VALUE}"}),
        ({"username": "ann", "password": VALUE}, {"Authorization": BASIC}),
        ({"tenant": "mesh|shop"}, {"X-Scope-OrgID": "mesh|shop"}),
        ({"token": VALUE, "tenant": "mesh"}, {"Authorization": f"Bearer {VALUE}", "X-Scope-OrgID": "mesh"}),
    ],
)
async def test_prometheus_is_shown_what_the_secret_has(
    guarded: Guarded, tmp_path: Path, keys: dict[str, str], headers: dict[str, str]
) -> None:
    """A bearer token, or a user; a tenant, as Mimir wants one."""
    with closing(Prometheus(guarded.url, shown=partial(credentials.read, secret(tmp_path, **keys)))) as prometheus:
        assert await asks(prometheus) == ""
    assert guarded.shown == [headers]


async def test_what_is_new_in_the_secret_is_shown_at_the_next_question(guarded: Guarded, tmp_path: Path) -> None:
    """The kubelet writes it into the folder of the pod that runs; what contradicts itself is told, and not shown."""
    with closing(Prometheus(guarded.url, shown=partial(credentials.read, tmp_path))) as prometheus:
        for keys in ({"token": "old"}, {"token": "new"}, {"token": "new", "username": "ann"}, {"token": "newest"}):
            secret(tmp_path, **keys)
            told = await asks(prometheus)
            assert told == "" or f"{SOURCE} has token and username" in told
    assert [one["Authorization"] for one in guarded.shown] == ["Bearer old", "Bearer new", "Bearer newest"]


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"token": VALUE, "username": "ann", "password": VALUE}, "has token and username"),
        ({"token": VALUE, "password": VALUE}, "has token and password"),
        ({"username": "ann"}, "has username alone"),
        ({"password": VALUE}, "has password alone"),
        ({"username": f"ann:{VALUE}", "password": VALUE}, "username has a colon"),
        ({"token": f"{VALUE} {VALUE}"}, "token has what no header may have"),
        ({"token": f"{VALUE}\r\nHost: a"}, "token has what no header may have"),
        ({"tenant": "mesh shop"}, "tenant has what no header may have"),
        ({"token": "\n"}, "token is empty"),
        ({"tokne": VALUE}, "has key 'tokne', which web does not know: it knows token, username"),
        ({}, "is empty: it may have token, username"),
        ({"ca_crt": VALUE}, "ca.crt holds no certificate"),
    ],
)
def test_a_secret_that_cannot_be_meant_is_refused_at_start(tmp_path: Path, keys: dict[str, str], why: str) -> None:
    """With the key and the reason, and without any value."""
    folder = str(secret(tmp_path, **keys))
    with pytest.raises(ConfigError, match="WEFT_PROMETHEUS_CREDENTIALS=") as caught:
        load(Config, ENV | {"WEFT_PROMETHEUS_CREDENTIALS": folder, "WEFT_PROMETHEUS_URL": "https://prometheus.example"})
    assert (why in str(caught.value), VALUE in str(caught.value)) == (True, False)


def test_what_is_no_text_is_refused() -> None:
    """Its bytes are not told either."""
    with pytest.raises(ValueError, match=r"password is no text$"):
        parse({"username": b"ann", "password": b"\xff\xfe"})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"WEFT_PROMETHEUS_CREDENTIALS": "/nowhere"}, "No such file or directory: '/nowhere'"),
        ({"WEFT_PROMETHEUS_URL": f"https://ann:{VALUE}@prometheus.example"}, "WEFT_PROMETHEUS_URL has a user in it"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, str], why: str) -> None:
    """A password in the URL would be in every log that has the URL."""
    with pytest.raises(ConfigError) as caught:
        load(Config, ENV | settings)
    assert (why in str(caught.value), VALUE in str(caught.value)) == (True, False)


def test_an_authority_is_of_no_use_without_https(tmp_path: Path) -> None:
    """Who puts one there means to be safe, and is not."""
    secret(tmp_path, ca_crt=bundle_pem([new_anchor(datetime.now(UTC)).certificate]).decode())
    url = "http://prometheus.monitoring:9090"
    with pytest.raises(ConfigError, match=f"ca.crt, which is for https, and the URL is {url}"):
        load(Config, ENV | {"WEFT_PROMETHEUS_CREDENTIALS": str(tmp_path), "WEFT_PROMETHEUS_URL": url})


@pytest.mark.parametrize(
    ("status", "keys", "told"),
    [
        (401, {}, "it wants credentials (401): put them into a Secret of namespace weft and name it by viz.web."),
        (403, {}, "it wants credentials (403): put them into a Secret of namespace weft and name it by viz.web."),
        (401, {"token": VALUE}, f"it does not accept token (401): correct {SOURCE}; what is new there is used within"),
        (401, {"username": VALUE, "password": VALUE, "tenant": VALUE}, "it does not accept username, password, tenant"),
        (403, {"token": VALUE}, "who shows it this token may not query (403): grant the right to read, or change"),
        (404, {}, "it answered 404: is viz.web.prometheusUrl right, path included?"),
    ],
)
async def test_a_refusal_is_told_with_its_cause_and_the_next_step(
    guarded: Guarded, tmp_path: Path, status: int, keys: dict[str, str], told: str
) -> None:
    """And without what was refused, nor what the server says, which may repeat it."""
    folder = secret(tmp_path, **keys) if keys else None
    guarded.status, guarded.body = status, f"no: {VALUE}"
    with closing(Prometheus(guarded.url, shown=partial(credentials.read, folder))) as prometheus:
        text = await asks(prometheus)
    assert text.startswith(f"Prometheus at {guarded.url} cannot be asked: {told}")
    assert VALUE not in text


async def test_views_and_checks_tell_of_a_refusal(lab: Any) -> None:
    """As of any other failure: CLI and dashboard show warnings, and checks their hints."""
    lab.prometheus.status = 401
    step = "put them into a Secret of namespace weft and name it by viz.web.prometheusSecret"
    (warning,) = (await lab.get("stat"))["warnings"]
    assert warning.endswith(f"cannot be asked: it wants credentials (401): {step}")
    (check,) = [one for one in (await lab.get("check"))["checks"] if one["id"] == "prometheus-answers"]
    assert (check["result"], check["hint"]) == ("error", step)
    assert check["message"].endswith("cannot be asked: it wants credentials (401)")


def serving(anchor: Authority, folder: Path) -> ssl.SSLContext:
    """TLS of a server that is called localhost."""
    key = new_key()
    certificate = serving_certificate(anchor, key.public_key(), ["localhost"], datetime.now(UTC), timedelta(hours=1))
    file = folder / "server.pem"
    file.write_bytes(bundle_pem([certificate]) + key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_an_authority_of_ones_own_is_trusted_instead_of_public_ones(guarded: Guarded, tmp_path: Path) -> None:
    """Without it the server is not believed, and what helps is told; a new one is trusted from the next question on."""
    old, new = (new_anchor(datetime.now(UTC)) for _ in range(2))
    folder = tmp_path / "secret"
    folder.mkdir()
    app = web.Application()
    app.router.add_post("/api/v1/query", guarded.query)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving(new, tmp_path))
    await site.start()
    url = f"https://localhost:{runner.addresses[0][1]}"
    with closing(Prometheus(url, shown=partial(credentials.read, folder))) as prometheus:
        for anchor, told in ((old, f"the certificate of its authority key ca.crt of {SOURCE}?"), (new, "")):
            secret(folder, token=VALUE, ca_crt=bundle_pem([anchor.certificate]).decode())
            assert (await asks(prometheus))[-len(told) :] == told
    assert guarded.shown == [{"Authorization": f"Bearer {VALUE}"}]
    await runner.cleanup()


def test_authorities_that_people_make_are_good_enough() -> None:
    """RFC 5280 to the letter would refuse those of `openssl req -x509`."""
    pem = bundle_pem([new_anchor(datetime.now(UTC)).certificate])
    trust = parse({"ca.crt": pem}).trust("https://prometheus.example")
    assert trust is not None
    assert trust.verify_flags & ssl.VERIFY_X509_STRICT == 0


@pytest.mark.parametrize(
    ("url", "read_by_others"),
    [
        ("https://prometheus.example.com", False),
        ("http://prometheus.example.com", True),
        ("http://10.1.2.3:9090", True),
        ("http://127.0.0.1:9090", False),
        ("http://[::1]:9090", False),
        ("http://localhost:9090", False),
        ("http://prometheus:9090", False),
        ("http://prometheus.monitoring:9090/mesh", False),
        ("http://prometheus.monitoring.svc:9090", False),
        ("http://prometheus.monitoring.svc.cluster.local.", False),
    ],
)
def test_credentials_are_safe_by_https_or_within_the_cluster(url: str, read_by_others: bool) -> None:
    """An address may be anywhere."""
    assert in_the_clear(url) == read_by_others


@pytest.mark.parametrize(
    ("keys", "warnings"),
    [({"token": VALUE}, ["credentials of Prometheus go unencrypted"]), ({"tenant": "mesh"}, [])],
)
def test_credentials_that_others_can_read_are_warned_of(
    tmp_path: Path, keys: dict[str, str], warnings: list[str]
) -> None:
    """Not refused: a VPN or a mesh of its own may lead there. A tenant is no secret."""
    settings = {
        "WEFT_PROMETHEUS_URL": "http://prometheus.example.com",
        "WEFT_PROMETHEUS_CREDENTIALS": str(secret(tmp_path, **keys)),
    }
    with capture_logs() as logs, closing(asked(load(Config, ENV | settings), Metrics("1.2.3"))):
        pass
    assert [one["event"] for one in logs] == warnings
    assert VALUE not in str(logs)
