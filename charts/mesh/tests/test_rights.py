"""What the control plane may do, and what it must never hold or touch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from weft_testkit.golden import expected

Json = dict[str, Any]

GOLDEN = Path(__file__).parent / "golden"
OF_KUBERNETES = {("Role", "extension-apiserver-authentication-reader")}


def rights(objects: Any) -> set[str]:
    """A line for each rule of each role, and for each subject that a role is bound to."""
    roles, bindings = objects.of("ClusterRole", "Role"), objects.of("ClusterRoleBinding", "RoleBinding")
    return {line for role in roles for line in lines(role)} | {line for one in bindings for line in bound(one)}


def bound(binding: Json) -> Iterator[str]:
    """A line for each subject: what it is bound to, and where that holds."""
    role, meta = binding["roleRef"], binding["metadata"]
    where = f" in {meta['namespace']}" if "namespace" in meta else ""
    for subject in binding["subjects"]:
        whom = f"{subject['kind']} {subject.get('namespace', '-')}/{subject['name']}"
        yield f"{binding['kind']} {meta['name']}{where}: {role['kind']} {role['name']} to {whom}\n"


def lines(role: Json) -> Iterator[str]:
    """A line for each rule of a role."""
    for rule in role.get("rules", []):
        groups = ",".join(group or "core" for group in rule.get("apiGroups", []))
        what = ",".join(rule.get("resources", rule.get("nonResourceURLs", [])))
        names = f" [{','.join(rule['resourceNames'])}]" if "resourceNames" in rule else ""
        yield f"{role['kind']} {role['metadata']['name']}: {','.join(rule['verbs'])} {groups}/{what}{names}\n"


def test_rights_are_exactly_these(mesh: Any, everything: Any) -> None:
    """A new right of any service is a change of this list, for a reader to see; so is a role that somebody is given."""
    more = sorted(rights(everything) - rights(mesh))
    actual = "".join([*sorted(rights(mesh)), "\nWith all that is optional, besides:\n", *more])

    assert expected(GOLDEN / "rights.txt", actual) == actual


def test_no_right_is_a_wildcard(everything: Any) -> None:
    """Nobody may everything, but for people who are given the role to tap whatever there is."""
    wild = {line for line in rights(everything) if "*" in line}

    assert wild == {"ClusterRole weft-tap-viewer: watch tap.weft.dev/*\n"}


def test_bindings_are_of_own_roles_to_own_accounts(everything: Any) -> None:
    """Subjects are weft's service accounts; a role that is bound is one of the chart's, but for one of Kubernetes'."""
    accounts = {("ServiceAccount", one["metadata"]["name"], "weft") for one in everything.of("ServiceAccount")}
    roles = {(role["kind"], role["metadata"]["name"]) for role in everything.of("ClusterRole", "Role")}
    bindings = everything.of("ClusterRoleBinding", "RoleBinding")

    assert {(s["kind"], s["name"], s["namespace"]) for one in bindings for s in one["subjects"]} <= accounts
    assert {(one["roleRef"]["kind"], one["roleRef"]["name"]) for one in bindings} - roles == OF_KUBERNETES


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
