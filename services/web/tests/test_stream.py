"""Server push."""

from hypothesis import given
from hypothesis import strategies as st
from weft_web.model import Ref, Row, Stat
from weft_web.stream import change

stats = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 9)).map(
    lambda rows: Stat(60, [Row("ns", "pod", name, rps=rps) for name, rps in rows.items()])
)


@given(stats, stats)
def test_a_change_applied_to_the_old_rows_gives_the_new(before: Stat, after: Stat) -> None:
    """What a reader holds after applying every change is the newest answer, and nothing is sent for nothing."""
    found = change(before, after)
    held = {Ref(row.namespace, row.kind, row.name): row for row in before.rows}
    for ref in found.removed if found else []:
        del held[ref]
    held |= {Ref(row.namespace, row.kind, row.name): row for row in (found.rows if found else [])}
    assert {row.name: row.rps for row in after.rows} == {ref.name: row.rps for ref, row in held.items()}
    assert (found is None) == ({row.name: row for row in before.rows} == {row.name: row for row in after.rows})
