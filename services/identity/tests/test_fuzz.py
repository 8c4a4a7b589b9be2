"""Whatever stands in Secrets and annotations: it is read, or refused by an error that callers expect."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_identity.inuse import ANNOTATION, kept, live, longest_since, read, told, used
from weft_identity.issuer import SecretData, make_anchor, make_issuer, read_trust
from weft_identity.takeover import Refuse, Seen, Take, judge
from weft_pki.bundle import parse_certificates

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ANCHOR = make_anchor("cluster.local", NOW)
ISSUER = make_issuer(ANCHOR, "cluster.local", NOW)
(SIGNER,) = parse_certificates(ANCHOR["ca.crt"])
DAY = 86_400

KEYS = st.sampled_from(["ca.crt", "ca.key", "next.key", "tls.crt", "tls.key"])
PARTS = st.sampled_from([*ANCHOR.values(), *ISSUER.values(), b""])
VALUES = st.binary(max_size=60) | st.lists(PARTS, min_size=1, max_size=3).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound value with a character of its Base64 replaced."""
    sound = draw(PARTS.filter(bool))
    at = draw(st.integers(30, len(sound) - 30))
    return sound[:at] + draw(st.sampled_from([b"A", b"B", b"/", b"\n", b"="])) + sound[at + 1 :]


SECRETS = st.dictionaries(KEYS, VALUES | damaged())


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=120, deadline=None)
@given(SECRETS.map(lambda data: {**ANCHOR, **data}), SECRETS.map(lambda data: {**ISSUER, **data}))
def test_any_secrets_are_read_or_refused(anchor: SecretData, issuer: SecretData) -> None:
    """By a ValueError, which is what is told; nothing of a key is in it."""
    with suppress(ValueError):
        read_trust(anchor, issuer, NOW)
    verdict = judge(Seen(anchor, issuer), None, {}, NOW)
    assert isinstance(verdict, Refuse | Take)
    assert "PRIVATE" not in getattr(verdict, "reason", "")


NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.none()
USE = st.fixed_dictionaries(
    {"certificate": st.sampled_from([ANCHOR["ca.crt"].decode(), ISSUER["tls.crt"].decode(), "x", ""]) | st.none()},
    optional={"until": NUMBERS, "lifetime": NUMBERS, "former": NUMBERS, "more": st.text(max_size=5)},
)
TEXTS = st.text(max_size=50) | st.lists(USE, max_size=4).map(json.dumps)


@settings(max_examples=120, deadline=None)
@given(TEXTS)
def test_any_annotation_is_read_or_says_nothing(text: str) -> None:
    """And what is read can be used, and written again."""
    uses = read({ANNOTATION: text})
    if uses is not None:
        after = used(uses, SIGNER, 1_000, DAY)
        assert read(told(after)) == after
        kept(live(uses, 1_000), [SIGNER])
        longest_since(uses, 1_000)
