"""The Python client is released apart from web, and so says again what web answers: alike."""

from typing import is_typeddict

import pytest
from weft import client
from weft_web import model

NAMES = {"StatRow": "Row", "EdgeRow": "Edge", "RouteRow": "Route"}
"""Where the client calls a struct of web's differently."""
TYPES = sorted(name for name, found in vars(client).items() if is_typeddict(found))


@pytest.mark.parametrize("name", TYPES)
def test_the_client_knows_all_fields_of_an_answer(name: str) -> None:
    """And no others."""
    answer = getattr(model, NAMES.get(name, name))
    assert set(answer.__struct_fields__) == set(getattr(client, name).__annotations__)
