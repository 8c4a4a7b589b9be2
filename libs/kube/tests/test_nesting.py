"""Cutting JSON that nests too deep: what stands beside it is as it was."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_kube.nesting import DEEPEST, shallow

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\,:é\n'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


def nested(levels: int, inner: bytes = b"1") -> bytes:
    """So many lists in each other."""
    return b"[" * levels + inner + b"]" * levels


@pytest.mark.parametrize(
    ("data", "cut"),
    [
        (b'{"a":%b,"b":[1]}' % nested(DEEPEST), b'{"a":null,"b":[1]}'),
        (b'{"a":%b,"b":[1]}' % nested(DEEPEST - 1), b'{"a":%b,"b":[1]}' % nested(DEEPEST - 1)),
        (b'{"a":"[","b":"\\"[","c":%b}' % nested(DEEPEST), b'{"a":"[","b":"\\"[","c":null}'),
        (b'{"a":%b,"b":%b}' % (nested(900), nested(20_000, b'{"]":"}"}')), b'{"a":null,"b":null}'),
    ],
    ids=["deep", "as deep as may be", "brackets in texts", "twice"],
)
def test_what_nests_too_deep_is_null(data: bytes, cut: bytes) -> None:
    """Within one bracket; brackets in texts do not count."""
    assert shallow(data, 1) == cut


@given(st.lists(JSON | st.just("deep"), max_size=5))
def test_what_stands_beside_it_stays(values: list[Any]) -> None:
    """Whatever it is."""
    parts = [nested(DEEPEST) if value == "deep" else msgspec.json.encode(value) for value in values]
    expected = [None if value == "deep" else value for value in values]
    assert msgspec.json.decode(shallow(b'{"items":[%b]}' % b",".join(parts), 2)) == {"items": expected}
