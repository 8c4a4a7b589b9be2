"""Path patterns: what the proxy takes is let through, all else is named with its place."""

import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_kube.pattern import PatternError, check_pattern

SOUND = [
    "/",
    ".*",
    "/api/v[12]/users/[^/]+",
    r"/orders/\d{1,9}(?:/items)?",
    "(?i)/Tea",
    "(?i:tea)|(?P<kind>coffee)",
    r"/a\.b\-c\/d\x2f\n",
    r"[\w.-]+",
    "[-a]",
    "[a-]",
    r"[\x00-\x7f]",
    "^/x$",
    "a+?b*?c??d{2,}?",
    "(a|)",
    "",
    "}]",
]

BROKEN = [
    ("/a(b", "unterminated group at 2; did you mean /a(b)?"),
    ("/a)b", r"unmatched ) at 2; did you mean \)?"),
    ("/[a", "unterminated [ at 1; did you mean /[a]?"),
    ("/*/**", "a second quantifier * at 4; did you mean (?:/*)*?"),
    ("*", r"nothing to repeat before * at 0; did you mean \*?"),
    ("^*", "nothing to repeat before * at 1"),
    ("(?i)+", r"nothing to repeat before + at 4; did you mean \+?"),
    ("/{id}", r"{ is not followed by a count at 1; did you mean \{?"),
    ("{", r"nothing to repeat before { at 0; did you mean \{?"),
    ("a{5,2}", "a range of repetitions backwards at 1; did you mean {2,5}?"),
    ("a{1001}", "more than 1000 repetitions at 1"),
    ("((a{100}){100}){100}", "more than 2000 states (repetitions of repetitions) at 1"),
    ("/(?!admin)", "unsupported look-ahead (put a route for the exception first) at 1"),
    ("(?<=a)b", "unsupported look-behind (put a route for the exception first) at 0"),
    (r"(a)\1", "unsupported backreference at 3"),
    (r"(?P<a>x)(?P=a)", "unsupported backreference at 8"),
    ("(?P<a>x)(?P<a>y)", "two groups named a at 0"),
    ("(?P<1>x)", "a group without a proper name at 0; did you mean (?P<name>…)?"),
    ("x(?i)", "a group of unknown kind at 1; did you mean (?:?"),
    (r"\p{L}", r"unknown escape \p (list the characters, like [a-z]) at 0"),
    (r"/x\z", r"unknown escape \z (patterns match whole paths: leave it out) at 2"),
    (r"\y", r"unknown escape \y at 0"),
    (r"\x2", r"\x is not followed by 00-7F at 0; did you mean \x2F?"),
    ("a\\", "nothing after \\ at 1; did you mean \\\\?"),
    ("/é", "é is never in a path, only percent-encoded at 1; did you mean %C3%A9?"),
    ("|*", "nothing to repeat before * at 1"),
    ("[z-a]", "a range backwards at 1; did you mean a-z?"),
    (r"[\d-z]", r"a class as the end of a range at 1; did you mean \-?"),
    ("[[:alpha:]]", r"plain [ within [ ] at 1; did you mean \[?"),
    ("[]a]", r"plain ] within [ ] at 1; did you mean \]?"),
    ("[a&&b]", r"plain && within [ ] at 2; did you mean \&?"),
    ("(" * 51 + ")" * 51, "groups nested more than 50 deep at 51"),
]


@pytest.mark.parametrize("pattern", SOUND)
def test_a_sound_pattern_is_taken(pattern: str) -> None:
    """Classes, groups, counts, flags, escapes."""
    assert check_pattern(pattern) >= 1


@pytest.mark.parametrize(("pattern", "reason"), BROKEN)
def test_a_broken_pattern_is_explained(pattern: str, reason: str) -> None:
    """What, where, and what may have been meant."""
    with pytest.raises(PatternError) as error:
        check_pattern(pattern)
    assert str(error.value) == reason


@settings(max_examples=2000)
@given(st.text("ab/.^$*+?(){}[]|\\-,:!=<>iPdwxz19& _", max_size=14))
def test_whatever_is_taken_compiles_elsewhere_too(pattern: str) -> None:
    """Python's engine takes, without a warning, every pattern that is let through; nothing else ever happens."""
    try:
        check_pattern(pattern)
    except PatternError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert re.compile(pattern)
