"""A token's owner is what the TokenReview says, and only a service account for our audience."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_identity.tokens import ServiceAccount, Status, TokenRefusedError, account

POD = {"authentication.kubernetes.io/pod-uid": ["uid-1"]}
SHOP = {"authenticated": True, "user": {"username": "system:serviceaccount:teahouse:shop", "extra": POD}}
OURS = {"audiences": ["identity.weft.dev"]}


def status(**fields: object) -> Status:
    """A TokenReview's status as the API server sends it."""
    return msgspec.convert(fields, Status)


def test_a_service_account_is_found() -> None:
    """Its name may hold dots, its namespace not."""
    named = status(authenticated=True, user={"username": "system:serviceaccount:tea:shop.v2", "extra": POD}, **OURS)
    assert account(named) == ServiceAccount("tea", "shop.v2", "uid-1")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "not authenticated"),
        ({"error": "token is expired"}, "token is expired"),
        (SHOP | {"audiences": ["https://kubernetes.default.svc"]}, "not for the audience"),
        (SHOP, "not for the audience"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:a:b"}} | OURS, "bound to no pod"),
        ({"authenticated": True, "user": {"username": "admin"}} | OURS, "not a service account's"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:a:b:c"}} | OURS, "not a service"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:a/../b:c"}} | OURS, "not a service"),
    ],
)
def test_everybody_else_is_refused(fields: dict[str, object], reason: str) -> None:
    """Not authenticated, expired, wrong or no audience, a person, a strange name."""
    with pytest.raises(TokenRefusedError, match=reason):
        account(status(**fields))


@given(st.text(max_size=80))
def test_no_user_name_leads_out_of_its_path(username: str) -> None:
    """Whatever the name, a SPIFFE ID made of it has the parts of one namespace and one account."""
    try:
        who = account(
            status(authenticated=True, user={"username": f"system:serviceaccount:{username}", "extra": POD}, **OURS)
        )
    except TokenRefusedError:
        return
    assert "/" not in who.namespace + who.name
