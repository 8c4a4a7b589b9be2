"""Versions of units."""

import importlib.metadata

import pytest
from weft_runtime.version import version


def test_a_version_is_the_installed_one() -> None:
    """What importlib.metadata says, which knows more ways."""
    assert version("weft-runtime") == importlib.metadata.version("weft-runtime")


def test_what_is_not_installed_has_no_version() -> None:
    """It is named."""
    with pytest.raises(LookupError, match="weft-nothing"):
        version("weft-nothing")
