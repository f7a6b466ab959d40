"""Windowed aggregates in one pass, against the definition counted out row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.core.windows import Column, Items, Rows, Values, in_order, sweep

KINDS = ("count", "sum", "distinct", "since_last", "since_first")
Given = list[tuple[int, int, int]]  # day, entity, value
rows_of = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), st.integers(0, 5)), max_size=60)


def column(kind: Any, days: int, rows: Given) -> Column:
    """Return a column over rows in the order of their days."""
    day, entity, value = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    counted = Rows(day, entity)
    return Column(kind, days, counted, {"sum": value, "distinct": Items(counted, value)}.get(kind))


def listed(values: Values) -> list[int | None]:
    """Return the numbers, None where there is none."""
    absent = np.zeros(values.numbers.size, bool) if values.absent is None else values.absent
    return [None if missing else int(number) for number, missing in zip(values.numbers, absent, strict=True)]


def counted_out(kind: str, days: int, rows: Given, *, day: int, entity: int) -> int | None:
    """Return the aggregate by its definition."""
    seen = [(at, value) for at, who, value in rows if who == entity and day - days < at <= day]
    if kind == "count":
        return len(seen)
    if kind == "sum":
        return sum(value for _, value in seen)
    if kind == "distinct":
        return len({value for _, value in seen})
    ages = [day - at for at, _ in seen]
    if not ages:
        return None
    return min(ages) if kind == "since_last" else max(ages)


def snapshots(
    rows: Given, *, days: int, longest: int, asked: list[int]
) -> dict[tuple[int, int], dict[str, int | None]]:
    """Return every aggregate by day and entity."""
    columns = {kind: column(kind, days, rows) for kind in KINDS}
    found = sweep(column("count", longest, rows), columns, entities=5, days=asked)
    return {
        (snapshot.day, int(entity)): {name: listed(values)[at] for name, values in snapshot.columns.items()}
        for snapshot in found
        for at, entity in enumerate(snapshot.entities)
    }


@given(rows=rows_of, days=st.integers(1, 12), more=st.integers(0, 5), asked=st.sets(st.integers(0, 45), min_size=1))
def test_each_aggregate_is_what_its_definition_counts(rows, days, more, asked):
    """On every asked day, for every entity with a row in the longest window, and for no other."""
    longest = days + more
    found = snapshots(rows, days=days, longest=longest, asked=sorted(asked))
    expected = {
        (day, entity): {kind: counted_out(kind, days, rows, day=day, entity=entity) for kind in KINDS}
        for day in asked
        for entity in range(5)
        if counted_out("count", longest, rows, day=day, entity=entity)
    }

    assert found == expected


@given(rows=rows_of, days=st.integers(1, 12), first=st.integers(0, 30), length=st.integers(1, 10))
def test_a_day_is_the_same_alone_and_in_a_range(rows, days, first, length):
    """Where the walk began leaves no trace."""
    asked = list(range(first, first + length))
    together = snapshots(rows, days=days, longest=days, asked=asked)
    alone: dict[tuple[int, int], dict[str, int | None]] = {}
    for day in asked:
        alone |= snapshots(rows, days=days, longest=days, asked=[day])

    assert together == alone


def test_a_sum_may_pass_through_numbers_too_large_for_it():
    """Whole numbers wrap around and come back: what leaves the window takes its share with it."""
    huge = 2**62
    rows = [(day, 0, huge) for day in range(6)]
    (snapshot,) = sweep(column("count", 1, rows), {"x": column("sum", 1, rows)}, entities=1, days=[5])

    assert listed(snapshot.columns["x"]) == [huge]


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_give_no_entities(kind):
    """An empty source is a snapshot without anybody."""
    (snapshot,) = sweep(column("count", 3, []), {"x": column(kind, 3, [])}, entities=0, days=[7])

    assert snapshot.entities.size == 0


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 9), st.integers(-(2**40), 2**40)), max_size=30))
def test_rows_are_sorted_by_their_columns_in_turn(rows):
    """As Python sorts tuples, with negative numbers and repeated rows."""
    columns = np.array(rows, np.int64).reshape(-1, 3).T

    assert list(zip(*(column.tolist() for column in in_order(*columns)), strict=True)) == sorted(rows)


@pytest.mark.parametrize("widest", [2**45, 2**60])
def test_an_item_of_as_many_bits_as_are_left_can_be_sorted(widest):
    """Far from zero or not: what counts is how far the days, the entities and the items each are apart."""
    rows = Rows(np.array([20000, 20031], np.int32), np.array([0, 1023], np.int32))
    item = np.array([0, 2**rows.bits_left - 1]) + widest

    assert rows.bits_left == 63 - 5 - 10
    sorted_rows = in_order(rows.entity, item, rows.day)
    assert [column.tolist() for column in sorted_rows] == [[0, 1023], item.tolist(), [20000, 20031]]


def test_ranges_too_wide_to_sort_by_are_refused():
    """A wrong order would be worse than none."""
    wide = np.array([0, 2**40], np.int64)

    with pytest.raises(ValueError, match="41 and 41 bits are too wide"):
        in_order(wide, wide)
