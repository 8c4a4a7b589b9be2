"""Path templates as regular expressions."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_kube.paths import path_regex, path_template, plain_path


def test_a_parameter_is_one_segment() -> None:
    """Not empty, and never more."""
    pattern = re.compile(path_regex("/tea/{id}/cups"))

    assert [bool(pattern.fullmatch(path)) for path in ("/tea/7/cups", "/tea//cups", "/tea/7/8/cups")] == [
        True,
        False,
        False,
    ]


@given(st.text("abc.+*?()|[]^$\\/", max_size=20))
def test_other_characters_stand_for_themselves(text: str) -> None:
    """A dot is a dot."""
    path = "/" + text
    assert re.fullmatch(path_regex(path), path)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("tea", 'must begin with "/", like "/tea"'),
        ("/a{id}", '"a{id}" must be a whole segment'),
        ("/{}", '"{}" must'),
        ("/é/{id}", "/%C3%A9/{id}"),
    ],
)
def test_what_is_no_template_is_named(template: str, reason: str) -> None:
    """With what it should look like."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        path_regex(template)


PATHS = Path(__file__).parents[3] / "proto/discovery/v1/paths.txt"
LINES = [line for line in PATHS.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("line", [*LINES, ""])
def test_a_path_has_one_spelling_or_none(line: str) -> None:
    """As the contract's table says, which every language is tested by."""
    spelling, _, plain = line.partition(" ")
    assert plain_path(spelling) == (plain or None)


@pytest.mark.parametrize("template", ["/", "/tea", "/tea/{}/cups", "/a.b+c/(x)"])
def test_an_expression_leads_back_to_its_template(template: str) -> None:
    """A policy may name a profile's route, whichever way the profile says it."""
    assert path_template(path_regex(template.replace("{}", "{id}"))) == template


@pytest.mark.parametrize("regex", ["", "/tea/.*", "/tea/[^/]+x", "/(a|b)", "tea", "/a?", r"/\{\}"])
def test_other_expressions_are_no_templates(regex: str) -> None:
    """What says more than whole segments is none."""
    assert path_template(regex) is None
