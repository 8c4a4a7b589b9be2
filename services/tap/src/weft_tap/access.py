"""May the caller tap this? Kubernetes' RBAC decides, by a SubjectAccessReview."""

import msgspec
from weft_kube.api import KubeApi

from weft_tap.callers import Caller
from weft_tap.faults import Fault
from weft_tap.subject import GROUP, VERSION, Subject

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class _Status(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _Review(msgspec.Struct):
    status: _Status


async def authorize(api: KubeApi, caller: Caller, subject: Subject) -> None:
    """Returns when the caller may; else Fault with the command that would grant it."""
    spec = {
        "user": caller.user,
        "groups": caller.groups,
        "extra": caller.extra,
        "resourceAttributes": {
            "verb": "watch",
            "group": GROUP,
            "version": VERSION,
            "resource": subject.kind.plural,
            "subresource": "tap",
            "namespace": subject.namespace,
            "name": subject.name,
        },
    }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    status = (await api.ask(REVIEWS, body, _Review)).status
    if not status.allowed:
        raise Fault(403, refusal(caller, subject, status.reason))


def refusal(caller: Caller, subject: Subject, reason: str) -> str:
    """Why not, and the RBAC that would change it."""
    because = f" ({reason})" if reason else ""
    return (
        f"{caller.user} may not watch {subject.kind.plural}/tap of API group {GROUP} in namespace "
        f"{subject.namespace}{because}. To grant it: kubectl create rolebinding weft-tap -n {subject.namespace} "
        f"--clusterrole=weft-tap-viewer {_grantee(caller.user)}"
    )


def _grantee(user: str) -> str:
    account = user.removeprefix("system:serviceaccount:")
    return f"--user={user}" if account == user else f"--serviceaccount={account}"
