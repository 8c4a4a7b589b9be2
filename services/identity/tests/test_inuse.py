"""Which anchors are in use, as it is written down."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from weft_identity.inuse import ANNOTATION, MOST, Use, alone, kept, live, longest_since, read, told, used
from weft_identity.rotation import MARGIN_SECONDS
from weft_pki.bundle import bundle_pem
from weft_pki.issue import new_anchor

DAY = 86_400
A, B = (new_anchor(datetime(2026, 5, 1, tzinfo=UTC)).certificate for _ in range(2))
PEM_A, PEM_B = (bundle_pem([each]).decode() for each in (A, B))

SIGNS_A, SIGNS_B = (Use(pem, lifetime=DAY) for pem in (PEM_A, PEM_B))


def test_the_one_that_signs_is_in_use_without_an_end() -> None:
    """However often it is looked at."""
    once = used((), A, 100, DAY)
    assert (once, used(once, A, 200, DAY)) == ((SIGNS_A,), (SIGNS_A,))


def test_one_that_signs_no_more_ends_when_its_last_leaf_has_ended_for_everybody() -> None:
    """Counted from when another was first seen to sign; what signs again has no end."""
    former = Use(PEM_A, 100 + DAY + MARGIN_SECONDS)
    changed = used((Use(PEM_A),), B, 100, DAY)

    assert (changed, used(changed, B, 5_000, DAY)) == ((SIGNS_B, former), (SIGNS_B, former))
    assert used(changed, B, former.until, DAY) == (SIGNS_B,)
    assert used(changed, A, 200, DAY) == (SIGNS_A, replace(SIGNS_B, until=200 + DAY + MARGIN_SECONDS))


def test_leaves_of_a_longer_former_lifetime_are_waited_for() -> None:
    """From when it was seen to be shorter; also when the anchor changes then, and while that one is rotated."""
    month, signs = 30 * DAY, used((), A, 0, 30 * DAY)
    lowered = used(signs, A, 1_000, DAY)
    assert lowered == (Use(PEM_A, lifetime=DAY, former=1_000 + month),)
    assert used(lowered, A, 2_000, DAY) == lowered
    assert used(lowered, A, 1_000 + month, DAY) == (SIGNS_A,)

    assert [use.until for use in used(lowered, B, 2_000, DAY)] == [0, 1_000 + month + MARGIN_SECONDS]
    assert [use.until for use in used(signs, B, 2_000, DAY)] == [0, 2_000 + month + MARGIN_SECONDS]
    assert [longest_since(uses, 3_000) for uses in (signs, lowered, ())] == [month, month - 2_000, 0]


def test_an_anchor_that_signs_again_has_its_older_leaves_too() -> None:
    """They may have been given longer lives."""
    there = used(used((), A, 0, 30 * DAY), B, 100, DAY)
    assert used(there, A, 200, DAY)[0] == Use(PEM_A, lifetime=DAY, former=100 + 30 * DAY)


def test_what_a_rotation_leaves_is_the_anchor_that_signs() -> None:
    """With what is written down of it."""
    uses = used(used((), A, 0, 30 * DAY), B, 100, DAY)
    assert (alone(uses, B), alone((), B)) == ((SIGNS_B,), (Use(PEM_B),))


def test_what_the_secret_does_not_hold_is_kept_while_it_is_in_use() -> None:
    """Until its end, to the second."""
    uses = Use(PEM_B), Use(PEM_A, 500)
    assert [kept(live(uses, now), [B]) for now in (499, 500)] == [[A], []]
    assert kept(uses, [A, B]) == []


def test_the_newest_are_kept() -> None:
    """A Secret has no room for any number."""
    many = tuple(Use(PEM_A, until) for until in range(1_000, 1_000 + 2 * MOST))
    assert used(many, B, 0, DAY) == (SIGNS_B, *many[: MOST - 1])


def test_what_is_told_is_read() -> None:
    """By the next replica."""
    uses = Use(PEM_B), Use(PEM_A, 500)
    assert read(told(uses)) == uses


DEEP = '[{"x": ' + "[" * 10_000 + "]" * 10_000 + "}]"


@pytest.mark.parametrize("text", ["", "x", "{}", '[{"certificate": "x"}]', '[{"certificate": 1}]', DEEP])
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    """It is then as if the annotation were absent; an empty list says that none is in use."""
    assert (read({ANNOTATION: text}), read({}), read({ANNOTATION: "[]"})) == (None, None, ())
