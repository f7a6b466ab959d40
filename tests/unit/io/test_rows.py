"""What people decided about a row stays with it when it comes again; found by column, and exactly as row by row."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from perennial.io import rows
from perennial.io.rows import DISCARDED, PLACE, PUBLISHED, REASONS, RUN, SUITE, TRACE, Marks, in_order

DAY = date(2026, 1, 1)
SCHEMA = {"n": pa.int64(), "x": pa.float64(), "text": pa.string(), "at": pa.timestamp("us", "UTC"), "yes": pa.bool_()}
ROW = st.fixed_dictionaries({
    "n": st.none() | st.integers(0, 2),
    "x": st.none() | st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf")]),
    "text": st.none() | st.sampled_from(["", "a", "b"]),
    "at": st.none() | st.sampled_from([0, 1]),
    "yes": st.none() | st.booleans(),
})  # fmt: skip


def row_by_row(new: pa.Table, stored: pa.Table) -> pa.Table:
    """Return what is meant: each row, in its order, takes over the decision about an equal row that is left."""
    past: dict[str, list[dict[str, Any]]] = {}
    for row in stored.filter(pc.is_valid(stored.column(TRACE))).to_pylist():
        past.setdefault(rows.row_id(row), []).append(row)
    listed = new.to_pylist()
    for row in listed:
        known = past.get(rows.row_id(row))
        if known:
            decided = known.pop()
            row[TRACE] = decided[TRACE]
            if decided[PLACE] == DISCARDED:
                row |= {name: decided[name] for name in (PLACE, REASONS, SUITE, RUN)}
    return pa.Table.from_pylist(listed, schema=new.schema)


def placed(content: list[dict[str, Any]], *, left_out: tuple[str, ...] = ()) -> pa.Table:
    """Return rows with their places."""
    table = pa.table({name: pa.array([row[name] for row in content], kind) for name, kind in SCHEMA.items()})
    return rows.placed(table.drop_columns(list(left_out)))


def decided(table: pa.Table, places: list[str | None]) -> pa.Table:
    """Return rows of which those with a place were put there by somebody."""
    filled = [place or PUBLISHED for place in places]
    traces = [None if place is None else json.dumps({"who": f"ada {at}"}) for at, place in enumerate(places)]
    for name, values in ((PLACE, filled), (TRACE, traces), (REASONS, traces)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))
    return table


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a loaded machine is no bug
@given(
    new=st.lists(ROW, max_size=12),
    before=st.lists(st.tuples(ROW, st.sampled_from([None, DISCARDED, PUBLISHED])), max_size=6),
    again=st.lists(st.integers(0, 11), max_size=6),
    gone=st.sampled_from([(), ("text",), ("x", "at")]),
)
@example(new=[], before=[], again=[], gone=())
def test_a_decision_is_found_as_row_by_row(new, before, again, gone):
    """Nulls, both zeros, duplicates, more and fewer columns than before; refused rows beside."""
    stored = [row for row, _ in before] + [new[at] for at in again if at < len(new)]
    places = [place for _, place in before] + [DISCARDED] * (len(stored) - len(before))
    past = decided(placed(stored, left_out=gone), places)
    fresh = rows.refuse(placed(new), {0: ("an old limit",)} if new else {}, Marks(suite="s", run="r"))

    found = rows.with_past({DAY: fresh}, {DAY: past})[DAY]

    assert found.schema == fresh.schema
    assert str(found.to_pylist()) == str(row_by_row(fresh, past).to_pylist())


def test_a_discarded_row_that_comes_twice_is_discarded_as_often_as_it_was():
    """One of two equal rows was taken out: when both come again, one of them stays out."""
    row = {"n": 1, "x": None, "text": "a", "at": 0, "yes": True}
    past = decided(placed([row, row]), [DISCARDED, None])
    found = rows.with_past({DAY: placed([row, row])}, {DAY: past})[DAY]

    assert found.column(PLACE).to_pylist() == [DISCARDED, PUBLISHED]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3) | st.none(), st.sampled_from("abc"), st.integers()), max_size=12))
def test_rows_are_put_in_order_once(given_rows):
    """Sorted by the keys, equal ones as they were; rows that lie so already are not touched."""
    rows = pa.table(
        {
            "k": pa.array([row[0] for row in given_rows], pa.int64()),
            "l": pa.array([row[1] for row in given_rows], pa.string()),
            "x": pa.array([row[2] % 1000 for row in given_rows], pa.int64()),
        }
    )
    ordered = in_order(rows, ["k", "l"])

    assert ordered.equals(rows.sort_by([("k", "ascending"), ("l", "ascending")]))
    assert in_order(ordered, ["k", "l"]).equals(ordered)
    if not rows.column("k").null_count:
        assert in_order(ordered, ["k", "l"]) is ordered
