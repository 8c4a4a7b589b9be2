"""What the control plane may do, and what it must never hold or touch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from weft_testkit.golden import expected

Json = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden"


def lines(role: Json) -> Iterator[str]:
    """A line for each rule of a role."""
    for rule in role.get("rules", []):
        groups = ",".join(group or "core" for group in rule.get("apiGroups", []))
        what = ",".join(rule.get("resources", rule.get("nonResourceURLs", [])))
        names = f" [{','.join(rule['resourceNames'])}]" if "resourceNames" in rule else ""
        yield f"{role['kind']} {role['metadata']['name']}: {','.join(rule['verbs'])} {groups}/{what}{names}\n"


def test_rights_are_exactly_these(mesh: Any) -> None:
    """A new right of any service is a change of this list, for a reader to see."""
    actual = "".join(sorted(line for role in mesh.of("ClusterRole", "Role") for line in lines(role)))

    assert expected(GOLDEN / "rights.txt", actual) == actual


def test_no_right_is_a_wildcard(mesh: Any) -> None:
    """Nobody may everything, but for people who are given the role to tap whatever there is."""
    wild = {line for role in mesh.of("ClusterRole", "Role") for line in lines(role) if "*" in line}

    assert wild <= {"ClusterRole weft-tap-viewer: watch tap.weft.dev/*\n"}


def test_bindings_are_to_own_accounts(mesh: Any) -> None:
    """Subjects are weft's service accounts, and each role that is bound exists or is Kubernetes' own."""
    accounts = {account["metadata"]["name"] for account in mesh.of("ServiceAccount")}
    bindings = mesh.of("ClusterRoleBinding", "RoleBinding")

    assert {s["name"] for binding in bindings for s in binding["subjects"]} <= accounts
    assert {s["namespace"] for binding in bindings for s in binding["subjects"]} == {"weft"}


def test_no_key_is_rendered(mesh: Any) -> None:
    """Keys are made in the cluster: no Secret with data, no PEM, no caBundle that an upgrade would overwrite."""
    assert [
        secret["metadata"]["name"] for secret in mesh.of("Secret") if secret.get("data") or secret.get("stringData")
    ] == []
    assert "BEGIN" not in str(list(mesh))
    assert "caBundle" not in str(list(mesh))


def test_webhooks_never_see_the_cluster_s_own_pods(mesh: Any) -> None:
    """kube-system and weft's namespace start whatever becomes of the injector."""
    for webhook in mesh.one("MutatingWebhookConfiguration", "weft-injector")["webhooks"]:
        excluded = [e for e in webhook["namespaceSelector"]["matchExpressions"] if e["operator"] == "NotIn"][-1]
        assert excluded["key"] == "kubernetes.io/metadata.name"
        assert excluded["values"] == ["kube-system", "weft"]


def test_a_pod_is_reviewed_once(mesh: Any) -> None:
    """The two webhooks share no namespace: one has those with the label, one the others."""
    first, second = mesh.one("MutatingWebhookConfiguration", "weft-injector")["webhooks"]
    operators = [webhook["namespaceSelector"]["matchExpressions"][0]["operator"] for webhook in (first, second)]

    assert operators == ["In", "NotIn"]
    assert "matchConditions" in second


def test_webhooks_answer_soon_or_not_at_all(mesh: Any) -> None:
    """A webhook that is away costs 5 s at most."""
    configurations = mesh.of("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")

    assert {webhook["timeoutSeconds"] for c in configurations for webhook in c["webhooks"]} == {5}


@pytest.mark.parametrize("kind", ["serviceprofiles", "accesspolicies"])
def test_users_objects_survive_an_uninstall(mesh: Any, kind: str) -> None:
    """Helm would else delete the kind, and with it every object of it."""
    crd = mesh.one("CustomResourceDefinition", f"{kind}.weft.dev")

    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
