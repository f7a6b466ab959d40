"""DuckDB counts what numpy counts, whatever the type, and a column's kind is what the reference says."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from perennial.core.drift import CategoricalCounts, NumericCounts, NumericProfile
from perennial.io import counts

ANY = hnp.arrays(np.float64, st.integers(0, 90), elements=st.floats(allow_nan=True, allow_infinity=True))
TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=60)


def column(values: Any, kind: pa.DataType | None = None) -> pa.Table:
    """Return a table of one column."""
    return pa.table({"x": pa.array(values, kind)})


def reference(values: Any) -> NumericProfile:
    """Return the profile of numbers."""
    found = counts.profiles(column(np.asarray(values, dtype=np.float64)), categorical=())["x"]
    assert isinstance(found, NumericProfile)
    return found


def numbers(rows: pa.Table, known: NumericProfile) -> NumericCounts:
    """Return the counts of a numeric column."""
    found = counts.counted(rows, {"x": known})["x"]
    assert isinstance(found, NumericCounts)
    return found


def in_numpy(values: np.ndarray, known: NumericProfile) -> list[int]:
    """Return the rows of each bin: `edges[i-1] < x <= edges[i]`, outer bins open."""
    there = values[~np.isnan(values)]
    code = np.searchsorted(np.array(known.edges), there, side="left")
    return np.bincount(code, minlength=len(known.edges) + 1).tolist()


def test_the_bins_hold_their_right_edge():
    """1, 2, 3, 4: each a bin with an empty one on each side; a value on an edge lies in the bin below it."""
    known = reference([1.0, 2.0, 3.0, 4.0])
    found = numbers(column([1.0, 4.0, 4.0, 9.0, -9.0, None, np.nan, np.inf]), known)

    assert sum(known.counts) == 4
    assert (known.counts[0], known.counts[-1]) == (0, 0)
    assert (found.counts[0], found.counts[1], found.counts[-2], found.counts[-1]) == (1, 1, 2, 2)
    assert (found.nulls, found.infinite, found.least, found.greatest) == (2, 1, -9.0, np.inf)
    assert sum(found.cells.counts) == 5


def test_cells_tell_mean_least_and_greatest():
    """Nine values from 0 to 100, and two of them in the cell of the smallest."""
    known = reference([0.0, 100.0, *np.linspace(10, 90, 200)])
    found = numbers(column([0.0, 0.02, 100.0]), known)

    assert sum(found.cells.counts) == 3
    assert found.cells.greatest[-1] == 100.0
    assert found.cells.least[0] == 0.0


@settings(max_examples=60, deadline=None)
@given(ANY, ANY)
def test_duckdb_counts_what_numpy_counts(values: np.ndarray, day: np.ndarray):
    """NaN, infinities, subnormal and largest numbers; and each row lies in one cell between that cell's ends."""
    known = reference(values)
    found = numbers(column(day), known)
    finite = day[np.isfinite(day)]

    assert list(found.counts) == in_numpy(day, known)
    assert list(known.counts) == in_numpy(values, known)
    assert (found.nulls, found.infinite) == (np.isnan(day).sum(), np.isinf(day).sum())
    assert sum(found.cells.counts) == finite.size
    ends = [end for pair in zip(found.cells.least, found.cells.greatest, strict=True) for end in pair]
    assert ends == sorted(ends)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_texts_are_counted_as_python_counts(values: list[str | None]):
    """Empty texts are no nulls; a dictionary and plain text are the same."""
    plain = column(values, pa.string())
    coded = pa.table({"x": plain["x"].dictionary_encode()})
    known = counts.profiles(plain, categorical=["x"])
    there = {value: values.count(value) for value in values if value is not None}

    for rows in (plain, coded):
        assert counts.counted(rows, known)["x"] == CategoricalCounts(there, values.count(None))


@pytest.mark.parametrize(
    "rows",
    [
        column([2**62, 5, None], pa.int64()),
        column([2**63 + 12345, 7, None], pa.uint64()),
        column([True, False, None]),
        column([Decimal("12345678901234567890.125"), Decimal("0.1"), None]),
        column([1.5, 2.5, None], pa.float32()),
        column([3, 4, None], pa.int8()),
    ],
)
def test_any_type_of_number_is_counted_as_its_double(rows: pa.Table):
    """Whole numbers beyond 2**53 are rounded, truth is 0 and 1; a reference and the same rows agree."""
    known = counts.profiles(rows, categorical=())["x"]
    assert isinstance(known, NumericProfile)

    found = numbers(rows, known)
    assert (found.counts, found.nulls, found.cells) == (known.counts, 1, known.cells)
    assert sum(found.cells.counts) == 2


def test_rows_in_chunks_count_like_rows_in_one():
    """A table read from many files."""
    values = np.random.default_rng(2).normal(size=5000)
    parts = pa.table({"x": pa.chunked_array([values[:17], values[17:3000], values[3000:]])})

    assert numbers(parts, reference(values)) == numbers(column(values), reference(values))


def test_text_in_a_numeric_column_stays_text():
    """The drift check then says so, instead of failing; a column of nulls alone is numbers."""
    known = {"x": reference([1.0, 2.0])}

    assert counts.counted(column(["1", "2"]), known)["x"] == "categorical"
    assert counts.kind_of(pa.chunked_array([pa.nulls(2)]), categorical=False) == "numeric"
    assert isinstance(counts.counted(column(pa.nulls(2)), known)["x"], NumericCounts)


def test_numbers_are_texts_where_the_reference_has_categories():
    """As it was trained; a column that the reference does not have is only named by its kind."""
    known = counts.profiles(column([1, 2, 2]), categorical=["x"])
    dates = column([date(2026, 1, 1)])

    assert counts.counted(column([2, 3]), known)["x"] == CategoricalCounts({"2": 1, "3": 1}, 0)
    assert counts.counted(dates, {}) == {"x": "categorical"}
    assert counts.counted(column([1]), {}) == {"x": "numeric"}
    assert counts.counted(column([1]), {}, categorical=["x"]) == {"x": "categorical"}


def test_a_measure_on_rows_leaves_out_nulls_and_infinities():
    """0 and 2 against 1 and 3, by a deviation of 1; None where nothing is left."""
    known = pa.chunked_array([[0.0, 2.0, None, np.inf]])

    assert counts.measured(known, pa.chunked_array([[1.0, np.nan, 3.0]]), kind="numeric") == 1.0
    assert counts.measured(known, pa.chunked_array([[np.inf]]), kind="numeric") is None
    texts = pa.chunked_array([["a", None]])
    assert counts.measured(texts, texts, kind="categorical") == 0
    assert counts.measured(texts, pa.chunked_array([pa.nulls(1, pa.string())]), kind="categorical") is None
