"""check: how checks run, what is printed, and each category against a cluster that is well or ill."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from weft import gateway_api
from weft.checks import (
    control_plane,
    dataplane,
    identity,
    kubernetes,
    networks,
    plan,
    preinstall,
    report,
    runner,
    viz,
    webhooks,
)
from weft.checks.model import Category, Check, CheckFailedError, CheckSkippedError, Result, Scene
from weft.checks.pods import trouble
from weft.cluster import Kube
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace, pod, service

NOW = datetime.now(UTC)


def passes(_: Scene) -> None:
    """A probe that holds."""


def fails(_: Scene) -> None:
    """A probe that does not."""
    raise CheckFailedError("it is broken\nin two places")


def skips(_: Scene) -> None:
    """A probe without meaning."""
    raise CheckSkippedError


class FakeClock(runner.Clock):
    """Time passes by sleeping only."""

    def __init__(self) -> None:
        self.time = 0.0
        super().__init__(now=lambda: self.time, sleep=self._advance)

    def _advance(self, seconds: float) -> None:
        object.__setattr__(self, "time", self.time + seconds)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def run(*checks: Check, wait: float = 0, scene: Scene | None = None) -> list[Result]:
    """All results of one category."""
    nowhere = Scene(lambda: Kube(None, ""), "0.1.0")
    category = Category("weft-test", checks)
    return list(runner.run([category], scene or nowhere, wait, clock=FakeClock()))


def check(probe: Callable[[Scene], None], **settings: Any) -> Check:
    """A check with this probe."""
    return Check(settings.pop("id", "test-id"), "all is well", probe, "Repair it.", **settings)


def test_fatal_ends_everything() -> None:
    """What follows a fatal failure would only repeat it."""
    categories = [Category("a", (check(fails, fatal=True), check(passes))), Category("b", (check(passes),))]
    results = runner.run(categories, Scene(lambda: Kube(None, ""), ""), 0)
    assert [(result.category, result.result) for result in results] == [("a", "error")]


def test_skipped_checks_leave_no_line() -> None:
    """And warnings do not fail the run."""
    results = run(check(skips), check(fails, warning=True), check(passes))
    assert [result.result for result in results] == ["warning", "success"]
    assert report.succeeded(results)


def test_retry_until_it_holds() -> None:
    """A check that may become true is repeated; the time it took is told."""
    answers = iter([fails, fails, passes])

    def probe(scene: Scene) -> None:
        next(answers)(scene)

    result = run(check(probe, retry=True), wait=60)[0]
    assert (result.result, result.seconds) == ("success", 2.0)


def test_retry_ends_with_the_wait() -> None:
    """And without retry at once."""
    assert [(r.result, r.seconds) for r in run(check(fails, retry=True), wait=5)] == [("error", 5.0)]
    assert [(r.result, r.seconds) for r in run(check(fails), wait=5)] == [("error", 0.0)]


def test_report(same: Callable[[str, str], None]) -> None:
    """Marks, causes, hints and where to read more; the summary is the last line."""
    results = run(check(passes), check(fails, warning=True), check(fails))
    lines = [report.heading("weft-test", first=True), *map(report.entry, results), "", report.summary(results)]
    same("check-table.txt", "\n".join(lines) + "\n")
    same("check-json.txt", report.document(results) + "\n")


def test_ids_are_unique_and_have_hints() -> None:
    """`weft explain ID` finds every check there is."""
    categories = (preinstall.CATEGORY, *plan.INSTALLED, plan.VIZ, plan.PROXY)
    assert len(plan.every_check()) == sum(len(category.checks) for category in categories)
    assert all(found.hint.endswith(".") for found in plan.every_check().values())


@pytest.mark.parametrize("check_id", sorted(plan.every_check()))
def test_explain(weft: Any, check_id: str) -> None:
    """Works without a cluster."""
    result = weft("explain", check_id)
    assert (result.exit_code, result.stdout.startswith(f"{check_id}: ")) == (0, True)


# The command


def test_pre_on_a_fresh_cluster(weft: Any, kube: FakeKube, same: Callable[[str, str], None]) -> None:
    """The last line says it all."""
    data = {"requestheader-client-ca-file": "PEM"}
    meta = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    result = weft("check", "--pre")
    assert (result.exit_code, result.stderr) == (0, "")
    same("check-pre.txt", result.stdout)
    same("check-short.txt", weft("check", "--pre", "-o", "short").stdout)


def test_json_is_one_document(weft: Any, kube: FakeKube) -> None:
    """With every category in it, and the truth in the exit code."""
    result = weft("check", "-o", "json", "--wait", "0s")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["success"]) == (1, False)
    assert [c["name"] for c in found["categories"]] == ["kubernetes-api", "kubernetes-version", "weft-config"]
    assert {"id", "description", "result", "error", "hint", "seconds"} == set(found["categories"][0]["checks"][0])


@pytest.mark.parametrize("options", [[], ["--pre"], ["-o", "json"]], ids=" ".join)
def test_no_cluster(weft: Any, point_at: Callable[[str], None], options: list[str]) -> None:
    """Besides the report on stdout, one line on stderr: cause and next step."""
    point_at("http://127.0.0.1:1")
    result = weft("check", *options)
    assert (result.exit_code, "k8s-query" in result.stdout, len(result.stderr.splitlines())) == (1, True, 1)
    expected = (
        "weft: cannot reach the cluster at http://127.0.0.1:1: Connection refused. Start it, or choose another by "
    )
    assert result.stderr == f"{expected}--context or --kubeconfig.\n"


def test_old_kubernetes_is_one_line(weft: Any, kube: FakeKube) -> None:
    """What stops an installation is told on stderr, too."""
    kube.on_request("GET", "/version", lambda _: {"major": "1", "minor": "28"})
    result = weft("check", "--pre")
    expected = (
        "weft: Kubernetes is 1.28, and native sidecars need 1.29. "
        "Upgrade the cluster: the proxy is a native sidecar, on by default since Kubernetes 1.29.\n"
    )
    assert (1, expected) == (result.exit_code, result.stderr)


def test_pre_asks_for_every_right(scene: Scene, kube: FakeKube) -> None:
    """What viz consists of is asked for, too; the chart's tests compare the list with the chart."""
    kube.on_request("POST", ".*/selfsubjectaccessreviews", lambda _: {"status": {"allowed": False}})
    refused = outcomes(preinstall.CATEGORY, scene)["pre-permissions"].removeprefix("you may not create ")
    assert {"roles.rbac.authorization.k8s.io", "apiservices.apiregistration.k8s.io"} <= set(refused.split(", "))


def test_pre_and_proxy_exclude_each_other(weft: Any) -> None:
    """One line."""
    assert weft("check", "--pre", "--proxy").exit_code == 1


# The categories


@pytest.fixture
def scene(kube: FakeKube, tmp_path: Any) -> Scene:
    """A scene of the fake cluster."""
    for name in ("weft", "teahouse"):
        kube.put(namespace(name) | {"status": {"phase": "Active"}})
    return Scene(lambda: Kube.connect(str(tmp_path / "kubeconfig"), None), "0.1.0", "teahouse")


def outcomes(category: Category, scene: Scene) -> dict[str, str]:
    """Errors by id; empty where the check holds. Fatal checks end nothing here."""
    results = [run(one, scene=scene) for one in category.checks]
    return {result.id: result.error for found in results for result in found}


def test_old_kubernetes(scene: Scene, kube: FakeKube) -> None:
    """1.28 has no native sidecars by default."""
    kube.on_request("GET", "/version", lambda _: {"major": "1", "minor": "28"})
    assert outcomes(kubernetes.VERSION, scene) == {"k8s-version": "Kubernetes is 1.28, and native sidecars need 1.29"}


def crd(
    kind: str, version: str = "v1", bundle: str = "v1.7.0", group: str = "gateway.networking.k8s.io"
) -> dict[str, Any]:
    """A kind, of the Gateway API where nothing else is said, that is served in one version."""
    meta = {"name": f"{kind}.{group}", "annotations": {gateway_api.BUNDLE: bundle}}
    spec = {"versions": [{"name": version, "served": True}]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": meta, "spec": spec}


@pytest.mark.parametrize(
    ("kinds", "error"),
    [
        ([], None),
        ([crd("httproutes"), crd("grpcroutes"), crd("referencegrants", "v1beta1")], ""),
        ([crd("httproutes"), crd("grpcroutes")], "httproutes, grpcroutes, but not referencegrants"),
        (
            [crd("httproutes", "v1beta1", "v0.8.0"), crd("grpcroutes"), crd("referencegrants", "v1beta1")],
            "httproutes v0.8.0 does not serve v1",
        ),
    ],
)
def test_the_gateway_apis_kinds(scene: Scene, kube: FakeKube, kinds: list[Any], error: str | None) -> None:
    """None is fine, weft runs without; some, or a release that is too old, are told."""
    for kind in kinds:
        kube.put(kind)
    found = outcomes(control_plane.CONFIG, scene).get("weft-gateway-api")
    assert (found or "").endswith(error or "")
    assert (found is None) == (error is None)
    assert bool(found) == bool(error)


@pytest.mark.parametrize("absent", ["", *control_plane.KINDS])
def test_each_kind_of_weft_s_own_is_looked_for(scene: Scene, kube: FakeKube, absent: str) -> None:
    """Destination watches all of them, and misses any."""
    for name in set(control_plane.KINDS) - {absent}:
        kind, _, group = name.partition(".")
        kube.put(crd(kind, group=group))
    expected = f"there is no CustomResourceDefinition {absent}" if absent else ""
    assert expected == outcomes(control_plane.CONFIG, scene)["weft-crds"]


def deployment(name: str) -> dict[str, Any]:
    """A Deployment of weft's own."""
    meta = {"name": name, "namespace": "weft"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": 1}}


def ready_pod(component: str, ready: bool = True) -> dict[str, Any]:
    """A pod of one of weft's components."""
    found = pod("weft", f"{component}-1", labels={"weft.dev/component": component})
    found["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
    return found


def test_existence(scene: Scene, kube: FakeKube) -> None:
    """Each component by itself, with what is in its way."""
    for name in ("identity", "destination", "injector"):
        kube.put(deployment(name))
    kube.put(ready_pod("identity"))
    kube.put(ready_pod("destination", ready=False))
    assert outcomes(control_plane.EXISTENCE, scene) == {
        "weft-identity-ready": "",
        "weft-destination-ready": "destination-1: is running and not ready",
        "weft-injector-ready": "0 of 1 pods exist",
        "weft-sp-validator-ready": "there is no Deployment sp-validator in namespace weft",
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]},
            "cannot be scheduled: 0/1 nodes",
        ),
        (
            {"containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "container app: ImagePullBackOff",
        ),
        (
            {"initContainerStatuses": [{"name": "weft-init", "state": {"terminated": {"exitCode": 1}}}]},
            "container weft-init: ended with code 1",
        ),
        (
            {
                "phase": "Running",
                "initContainerStatuses": [
                    {"name": "weft-init", "ready": True, "state": {"terminated": {"exitCode": 0}}}
                ],
                "containerStatuses": [{"name": "app", "ready": False, "state": {"running": {}}}],
            },
            "container app: is not ready",
        ),
        ({"phase": "Pending"}, "is pending and not ready"),
    ],
)
def test_trouble(status: dict[str, Any], expected: str) -> None:
    """The cause nearest to the pod."""
    assert expected == trouble({"status": status})


def authority(
    name: str, signer: tuple[x509.Certificate, Any] | None = None, days: int = 365
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate authority, self-signed or signed by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(signer[1] if signer else key, hashes.SHA256()), key


def pem(certificate: x509.Certificate) -> str:
    """As text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as text."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def secret(name: str, **data: str) -> dict[str, Any]:
    """A Secret of weft's; `_` in keys is `.`."""
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "weft"}, "data": encoded}


def bundle(place: str, text: str) -> dict[str, Any]:
    """The trust bundle of a namespace."""
    meta = {"name": "weft-trust-bundle", "namespace": place}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": text}}


def put_trust(kube: FakeKube, anchor_days: int = 365, stranger: bool = False) -> None:
    """Anchor, issuer and bundles; `stranger`: the issuer is another anchor's."""
    anchor = authority("anchor", days=anchor_days)
    issuer, key = authority("issuer", authority("anchor") if stranger else anchor)
    kube.put(secret("weft-trust-anchor", ca_crt=pem(anchor[0])))
    kube.put(secret("weft-issuer", tls_crt=pem(issuer), tls_key=key_pem(key)))
    for place in ("weft", "teahouse"):
        kube.put(bundle(place, pem(anchor[0])))


def wrong(category: Category, scene: Scene) -> dict[str, str]:
    """Only what does not hold, the first words."""
    return {name: error.partition(" on ")[0] for name, error in outcomes(category, scene).items() if error}


def test_identity_is_well(scene: Scene, kube: FakeKube) -> None:
    """Nothing to say."""
    put_trust(kube)
    assert wrong(identity.CATEGORY, scene) == {}


def test_identity_of_cert_manager(scene: Scene, kube: FakeKube) -> None:
    """One Secret with the issuer, whoever signed it, and the anchor above them; the anchor's own Secret goes first."""
    root = authority("root")
    middle = authority("middle", root)
    issuer, key = authority("issuer", middle)
    chain = pem(issuer) + pem(middle[0])
    kube.put(secret("weft-issuer", tls_crt=chain, tls_key=key_pem(key), ca_crt=pem(root[0])))
    for place in ("weft", "teahouse"):
        kube.put(bundle(place, pem(root[0])))
    assert wrong(identity.CATEGORY, scene) == {}
    kube.put(secret("weft-trust-anchor", tls_crt=pem(root[0])))
    assert wrong(identity.CATEGORY, scene)["identity-anchor"] == "Secret weft-trust-anchor has no ca.crt"


def test_identity_expires(scene: Scene, kube: FakeKube) -> None:
    """First a warning, when less than a quarter of its life remains, then an error."""
    put_trust(kube, anchor_days=134)
    assert wrong(identity.CATEGORY, scene) == {}
    put_trust(kube, anchor_days=133)
    overdue = "the renewal of the trust anchor is overdue: it expires"
    assert wrong(identity.CATEGORY, scene) == {"identity-anchor-age": overdue}
    put_trust(kube, anchor_days=-1)
    assert wrong(identity.CATEGORY, scene)["identity-anchor"] == "the trust anchor expired"


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (key_pem(ec.generate_private_key(ec.SECP256R1())), "the key of the issuer belongs to another certificate"),
        ("hello", "the key of the issuer is no PEM private key without a password"),
    ],
)
def test_an_issuer_with_a_wrong_key(scene: Scene, kube: FakeKube, key: str, error: str) -> None:
    """Identity goes on with the one before, and the check says what is wrong with the new one."""
    put_trust(kube)
    issuer = kube.get("/api/v1/namespaces/weft/secrets/weft-issuer")
    data = issuer["data"] | {"tls.key": base64.b64encode(key.encode()).decode()}
    kube.put(issuer | {"apiVersion": "v1", "kind": "Secret", "data": data})
    assert wrong(identity.CATEGORY, scene) == {"identity-issuer-key": error}


def test_identity_of_two_hierarchies(scene: Scene, kube: FakeKube) -> None:
    """An issuer that the bundle does not trust."""
    put_trust(kube, stranger=True)
    expected = {"identity-issuer-trusted": "no certificate of the trust bundle issued the issuer"}
    assert expected == wrong(identity.CATEGORY, scene)


def test_secrets_that_identity_refuses(scene: Scene, kube: FakeKube, pods: Any) -> None:
    """Whichever replica says so; the newest Event has the cause, for an hour, then only its log."""
    put_trust(kube)
    kube.put(ready_pod("identity"))
    admin = pods["weft/identity-1:9990"] = {"/metrics": (200, b"# HELP x\nweft_identity_issuer_unsound 0.0\n")}
    assert wrong(identity.CATEGORY, scene) == {}
    admin["/metrics"] = (200, b"# HELP x\nweft_identity_issuer_unsound 1.0\n")
    assert wrong(identity.CATEGORY, scene) == {"identity-secrets": "refused by identity-1: see its log"}
    for second, cause in enumerate(("the key is not the certificate's", "holds no PEM certificate")):
        event = {"metadata": {"name": f"e{second}", "namespace": "weft"}, "reason": "SecretRefused", "message": cause}
        kube.put({"apiVersion": "v1", "kind": "Event", "lastTimestamp": f"2026-05-01T00:00:0{second}Z"} | event)
    assert wrong(identity.CATEGORY, scene) == {"identity-secrets": "refused by identity-1: holds no PEM certificate"}


def test_bundle_differs(scene: Scene, kube: FakeKube) -> None:
    """Every namespace has the same; the one without is named."""
    put_trust(kube)
    kube.put(namespace("kitchen") | {"status": {"phase": "Active"}})
    kube.put(bundle("teahouse", "other"))
    assert wrong(identity.CATEGORY, scene) == {"identity-bundle": "missing or different in kitchen, teahouse"}


def put_webhooks(kube: FakeKube, bundle_pem: str) -> None:
    """Both configurations, trusting this."""
    ca = base64.b64encode(bundle_pem.encode()).decode() if bundle_pem else None
    for component, kind in (("injector", "Mutating"), ("sp-validator", "Validating")):
        entry = {"name": f"{component}.weft.dev", "clientConfig": {"caBundle": ca} if ca else {}}
        meta = {"name": f"weft-{component}"}
        api = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration"}
        kube.put(api | {"metadata": meta, "webhooks": [entry]})


def test_webhooks(scene: Scene, kube: FakeKube) -> None:
    """caBundle there, trusting the serving certificate; endpoints ready."""
    ca = authority("ca")
    leaf = authority("leaf", ca)[0]
    for component in ("injector", "sp-validator"):
        kube.put(secret(f"weft-{component}-tls", tls_crt=pem(leaf)))
        meta = {"name": component, "namespace": "weft", "labels": {"kubernetes.io/service-name": component}}
        endpoints = [{"conditions": {"ready": component == "injector"}}]
        slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta}
        kube.put(slice_ | {"endpoints": endpoints})
    put_webhooks(kube, pem(ca[0]))
    expected = {"webhook-sp-validator-endpoints": "Service sp-validator has no ready endpoint"}
    assert expected == wrong(webhooks.CATEGORY, scene)
    put_webhooks(kube, "")
    assert wrong(webhooks.CATEGORY, scene)["webhook-injector-certificate"] == "injector.weft.dev has no caBundle yet"
    put_webhooks(kube, pem(authority("other")[0]))
    error = wrong(webhooks.CATEGORY, scene)["webhook-injector-certificate"]
    assert error == "the caBundle of injector.weft.dev does not trust the serving certificate"


def meshed(name: str, version: str = "0.1.0", ready: bool = True) -> dict[str, Any]:
    """A pod with a proxy."""
    found = pod("teahouse", name, labels={"weft.dev/proxy-version": version})
    found["status"]["initContainerStatuses"] = [{"name": "weft-proxy", "ready": ready, "state": {"running": {}}}]
    return found


@pytest.mark.parametrize("digest", ["", "@sha256:0f3a"])
def test_data_plane(scene: Scene, kube: FakeKube, digest: str) -> None:
    """Ready, current, and none left out; Jobs that ended do not count."""
    kube.put({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weft-config", "namespace": "weft"},
        "data": {"version": "0.1.0", "image.proxy": f"localhost:5000/weft/proxy:0.2.0{digest}"},
    })  # fmt: skip
    assert wrong(dataplane.CATEGORY, scene)["proxy-pods"] == "no pod has a proxy in namespace teahouse"
    kube.put(meshed("web-1", "0.2.0"))
    kube.put(meshed("job-1") | {"status": {"phase": "Succeeded"}})
    assert wrong(dataplane.CATEGORY, scene) == {}
    kube.put(meshed("old-1", ready=False))
    kube.put(pod("teahouse", "bare-1", annotations={"weft.dev/inject": "enabled"}))
    assert wrong(dataplane.CATEGORY, scene) == {
        "proxy-ready": "teahouse/old-1: container weft-proxy: is not ready",
        "proxy-version": "the control plane's proxies are 0.2.0, but pod/old-1 in teahouse runs 0.1.0",
        "proxy-missing": "marked for injection, but without a proxy: teahouse/bare-1",
    }


def test_marks_that_nobody_reads(scene: Scene, kube: FakeKube) -> None:
    """A namespace's is a label and one of two words, a pod's an annotation; of one namespace, or of all."""
    kube.put(meshed("web-1"))
    kube.put(namespace("teahouse", **{"weft.dev/inject": "true"}))
    kube.put(pod("teahouse", "bare-1", labels={"weft.dev/inject": "enabled"}))
    wrong_word = "teahouse: label weft.dev/inject of the namespace is 'true', not enabled or disabled: no effect"
    wrong_place = "teahouse/bare-1: weft.dev/inject is a label of the pod, no annotation: no effect"
    assert wrong(dataplane.CATEGORY, scene) == {"proxy-marks": f"{wrong_word}\n{wrong_place}"}
    scene.namespace = None
    annotated = namespace("shop", **{"weft.dev/inject": "disabled"})
    annotated["metadata"]["annotations"] = {"weft.dev/inject": "enabled"}
    kube.put(annotated)
    misplaced = "shop: weft.dev/inject is an annotation of the namespace, no label: no effect"
    assert outcomes(dataplane.CATEGORY, scene)["proxy-marks"] == f"{misplaced}\n{wrong_word}\n{wrong_place}"


def test_a_late_renewal_is_a_warning_and_an_ended_certificate_an_error(
    scene: Scene, kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a day, less than six hours remain; as Prometheus says."""
    kube.put({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weft-config", "namespace": "weft"},
        "data": {"version": "0.1.0", "issuance-lifetime": "24h"},
    })  # fmt: skip
    hours = {"sound": 6.1, "late": 5.9, "ended": -0.1}
    for name in hours:
        kube.put(meshed(name))
    metric = {"namespace": "teahouse"}
    samples = [{"metric": metric | {"pod": name}, "value": [0, time.time() + 3600 * h]} for name, h in hours.items()]
    monkeypatch.setattr("weft.checks.viz.prometheus", lambda *_: samples)
    monkeypatch.setattr("weft.checks.viz.is_installed", lambda _: True)
    monkeypatch.setattr("weft.checks.viz.has_prometheus", lambda _: True)
    found = wrong(dataplane.CATEGORY, scene)
    assert found["proxy-certificate"] == "no valid certificate: teahouse/ended"
    quarter = "less than a quarter of the certificate's life remains: teahouse/ended, teahouse/late"
    assert found["proxy-certificate-age"] == quarter


ELSEWHERE = {"id": "", "message": "", "hint": "", "result": "success"}


@pytest.fixture
def elsewhere(scene: Scene, kube: FakeKube, answers: Any, web: Any, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Prometheus is another one, which only web can ask: it cannot scrape a proxy, and a certificate has ended."""
    scene.kube.forward = lambda *_: web()  # type: ignore[method-assign]
    monkeypatch.setattr("weft.checks.viz.is_installed", lambda _: True)
    for name in ("web", "tap"):
        kube.put(ready_pod(name))
    kube.put(meshed("web-1"))
    down = {"id": "proxies-scraped", "result": "warning", "message": "1 of 2 fail: a/b", "hint": "see port 4191"}
    answers["/api/v1/check"] = (200, {"checks": [ELSEWHERE | {"id": "prometheus-answers"}, down]})
    answers["/api/v1/version"] = (200, {})
    ends = {"spiffe://x/ns/teahouse/sa/a": NOW.timestamp() - 60, "spiffe://x/ns/teahouse/sa/b": None}
    rows = [{"id": name, "expiry_timestamp_seconds": end} for name, end in ends.items()]
    answers["/api/v1/identities?namespace=teahouse"] = (200, {"rows": rows})
    return scene


def test_another_prometheus_is_asked_by_web(elsewhere: Scene, answers: Any) -> None:
    """Nothing is left out but the pod that there is not."""
    found = outcomes(viz.CATEGORY, elsewhere)
    assert "viz-prometheus-ready" not in found
    assert (found["viz-prometheus"], found["viz-scrapes"]) == ("", "1 of 2 fail: a/b (see port 4191)")
    proxies = outcomes(dataplane.CATEGORY, elsewhere)
    assert proxies["proxy-metrics"] == "1 of 2 fail: a/b (see port 4191)"
    assert proxies["proxy-certificate"] == "no valid certificate: spiffe://x/ns/teahouse/sa/a"
    refused = {"id": "prometheus-answers", "result": "error", "message": "no answer"}
    answers["/api/v1/check"] = (200, {"checks": [ELSEWHERE | refused]})
    assert wrong(viz.CATEGORY, elsewhere)["viz-prometheus"] == "no answer"


def test_old_proxies_are_named_by_workload(scene: Scene, kube: FakeKube) -> None:
    """Once each, since that is what one restarts."""
    config = {"name": "weft-config", "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": {"image.proxy": "proxy:0.2.0"}})
    for name in ("web-1", "web-2"):
        found = meshed(name)
        found["metadata"]["labels"] |= {"weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}
        kube.put(found)
    assert outcomes(dataplane.CATEGORY, scene)["proxy-version"] == (
        "the control plane's proxies are 0.2.0, but deployment/web in teahouse runs 0.1.0"
    )


def test_proxies_without_control_plane(scene: Scene, kube: FakeKube, answers: Any, web: Any) -> None:
    """A proxy is connected to one of destination's replicas."""
    kube.put(ready_pod("destination"))
    kube.put(meshed("web-1"))
    kube.put(meshed("web-2"))
    scene.kube.forward = lambda *_: web()  # type: ignore[method-assign]
    answers["/debug/streams"] = (200, {"streams": [{"namespace": "teahouse", "pod": "web-1"}]})
    assert outcomes(dataplane.CATEGORY, scene)["proxy-connected"] == "not connected to destination: teahouse/web-2"


def test_what_does_not_hold(scene: Scene, kube: FakeKube, answers: Any, web: Any) -> None:
    """Routes, profiles and annotations of the namespace, by destination's word; others' are theirs."""
    scene.kube.forward = lambda *_: web()  # type: ignore[method-assign]
    kube.put(meshed("web-1"))
    fault = {"kind": "Service", "namespace": "teahouse", "name": "web", "message": "annotation x: no such setting"}
    answers["/debug/faults"] = (200, {"faults": [fault, fault | {"namespace": "shop"}]})
    assert "proxy-routing" not in outcomes(dataplane.CATEGORY, scene)
    kube.put(ready_pod("destination"))
    answers["/debug/streams"] = (200, {"streams": [{"namespace": "teahouse", "pod": "web-1"}]})
    expected = {"proxy-routing": "Service teahouse/web: annotation x: no such setting"}
    assert expected == wrong(dataplane.CATEGORY, scene)


def test_networks(scene: Scene, kube: FakeKube) -> None:
    """What lies outside would be sent in plain text without a word; pods of a node's own network do not count."""
    config = {"name": "weft-config", "namespace": "weft"}
    data = {"cluster-networks": "10.0.0.0/8,fd00::/8"}
    kube.put(service("teahouse", "web", "10.96.0.1", "fd00::1"))
    kube.put(service("teahouse", "headless"))
    kube.put(pod("teahouse", "web-1", "10.244.0.1"))
    kube.put(pod("teahouse", "node-1", "192.168.1.1", host_network=True))
    assert wrong(networks.CATEGORY, scene) == {}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": config, "data": data})
    assert wrong(networks.CATEGORY, scene) == {}
    kube.put(pod("teahouse", "web-2", "172.20.0.1"))
    assert wrong(networks.CATEGORY, scene) == {
        "networks-pods": "addresses of pods outside cluster-networks: 172.20.0.1"
    }


def test_data_plane_of_no_namespace(kube: FakeKube, scene: Scene) -> None:
    """-n that does not exist."""
    scene.namespace = "none"
    assert outcomes(dataplane.CATEGORY, scene)["proxy-namespace"] == "there is no namespace none"


def test_list(weft: Any, kube: FakeKube, same: Callable[[str, str], None]) -> None:
    """Pods with a proxy and pods that should have one."""
    kube.put(namespace("teahouse", **{"weft.dev/inject": "enabled"}))
    kube.put(meshed("web-1"))
    kube.put(pod("teahouse", "bare-1"))
    kube.put(pod("teahouse", "off-1", annotations={"weft.dev/inject": "disabled"}))
    for output in ("table", "json"):
        same(f"viz-list-{output}.txt", weft("viz", "list", "-o", output).stdout)
