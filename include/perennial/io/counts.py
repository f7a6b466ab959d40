"""Rows counted in DuckDB into the bins and cells of a reference: what the drift measures compare.

One query a column over Arrow memory, each in one thread, so that sums add up in one order and the same rows give the
same bits; several columns at once. Arrow gives each column its type first, numbers as float64 and everything else as
text: so a reference and a day whose types differ are still counted by the same values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.core import distances, drift, frames
from perennial.core.daycounts import DayCounts
from perennial.core.distances import Cells
from perennial.core.drift import CategoricalCounts, Counts, Grid, Kind, NumericCounts, NumericProfile, Profile
from perennial.core.metrics import FloatArray, IntArray

Found = TypeVar("Found")
AT_ONCE = 4  # each holds a column of its own
VALUE, DAY = "value", "day"
NULL, BELOW, ABOVE = -1, -2, -3  # segments of what is in no cell: NaN (null is one, too), and the infinities


def profiles(rows: pa.Table, *, categorical: Sequence[str]) -> dict[str, Profile]:
    """Return the reference counts of all columns of a table, with bins and cells cut on their own values.

    Args:
        rows: the reference's.
        categorical: names that are read as text; others are where they hold no numbers.
    """
    return _at_once({name: partial(_profile, rows[name], name in categorical) for name in rows.column_names})


def counted(
    rows: pa.Table, reference: Mapping[str, Profile], *, categorical: Sequence[str] = ()
) -> dict[str, Counts | Kind]:
    """Return what the columns of a table hold, in the bins and cells of their reference.

    A column that the reference does not have, or has as another kind, is not counted: its kind alone is said. One that
    the reference has as categories is read as text; one that it has as numbers and that holds text stays text.

    Args:
        rows: of a day.
        reference: by column, more than the table's or fewer.
        categorical: names read as text of those that the reference does not have.
    """
    found: dict[str, Counts | Kind] = {}
    work: dict[str, Callable[[duckdb.DuckDBPyConnection], Counts]] = {}
    for name in rows.column_names:
        known = reference.get(name)
        declared = name in categorical if known is None else known.kind == "categorical"
        kind = kind_of(rows[name], categorical=declared)
        if known is None or known.kind != kind:
            found[name] = kind
        elif isinstance(known, NumericProfile):
            work[name] = partial(_numeric, frames.numbers(rows[name]), known)
        else:
            work[name] = partial(_texts, rows[name])
    return found | _at_once(work)


def by_day(rows: pa.Table, reference: Mapping[str, Profile], *, day: IntArray) -> DayCounts:
    """Return the counts of the reference's own columns by day, in its bins; `day` is each row's, in days since 1970."""
    days = np.unique(day)
    work = {name: partial(_by_day, rows[name], each, day=day, days=days) for name, each in reference.items()}
    return DayCounts(days.astype(np.int64), _at_once(work))


def measured(reference: pa.ChunkedArray, current: pa.ChunkedArray, *, kind: Kind) -> float | None:
    """Return the distance of two columns' own values, as Evidently measures it; None where a side has none.

    Wasserstein of numbers, by the reference's standard deviation; Jensen-Shannon of texts. Nulls and infinite values
    are left out.
    """
    if kind == "numeric":
        sides = [numbers[np.isfinite(numbers)] for numbers in map(frames.numbers, (reference, current))]
        return distances.wasserstein_of(*sides) if all(side.size for side in sides) else None
    texts = _at_once({"reference": partial(_texts, reference), "current": partial(_texts, current)})
    known, found = texts["reference"].counts, texts["current"].counts
    names = sorted({*known, *found})
    told = distances.jensen_shannon_of(*([side.get(name, 0) for name in names] for side in (known, found)))
    return None if told is None else told.value


def kind_of(column: pa.ChunkedArray, *, categorical: bool) -> Kind:
    """Return as what a column is counted: as categories where it is declared so, or holds no numbers."""
    return "categorical" if categorical or not frames.is_numeric(column) else "numeric"


def _at_once(work: Mapping[str, Callable[[duckdb.DuckDBPyConnection], Found]]) -> dict[str, Found]:
    """Return what each piece of work finds; as many at once as there are cores, and at most four."""
    if not work:
        return {}
    with (
        duckdb.connect(config={"threads": 1}) as database,  # a query runs in the thread that asks, and in no other
        ThreadPoolExecutor(min(len(work), len(os.sched_getaffinity(0)), AT_ONCE)) as pool,
    ):

        def run(piece: Callable[[duckdb.DuckDBPyConnection], Found]) -> Found:
            with database.cursor() as connection:
                return piece(connection)

        return dict(zip(work, pool.map(run, work.values()), strict=True))


def _profile(column: pa.ChunkedArray, categorical: bool, connection: duckdb.DuckDBPyConnection) -> Profile:  # noqa: FBT001
    if kind_of(column, categorical=categorical) == "categorical":
        return drift.categories(_texts(column, connection))
    values = frames.numbers(column)
    finite = values[np.isfinite(values)]
    edges = tuple(drift.edges(finite).tolist())
    varies = finite.size > 0 and finite.min() < finite.max()  # rounding gives a constant a spread
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(finite.std()) if varies else 0.0
    empty = NumericProfile(edges, (), 0, scale, drift.grid(finite), Cells((), (), (), (), ()))
    found = _numeric(values, empty, connection)
    return NumericProfile(edges, found.counts, found.nulls, scale, empty.grid, found.cells)


def _numeric(values: FloatArray, reference: NumericProfile, connection: duckdb.DuckDBPyConnection) -> NumericCounts:
    centre = _number(reference.grid.cuts[len(reference.grid.cuts) // 2] if reference.grid.cuts else 0.0)
    connection.register("given", pa.table({VALUE: values}))
    # Sums of what is left after the centre keep the digits of a column that varies little about a large number.
    found = connection.sql(
        f"select code, count(*) as rows, {centre} + sum({VALUE} - {centre}) / count(*) as mean, min({VALUE}) as least, "
        f"max({VALUE}) as greatest from (select {_code(reference.grid)} as code, {VALUE} from given) "
        "group by code order by code"
    ).fetchnumpy()
    codes, rows = np.asarray(found["code"], dtype=np.int64), np.asarray(found["rows"], dtype=np.int64)
    counts = np.bincount(_bins(codes, reference), rows, len(reference.edges) + 2).astype(np.int64)
    known, inside = codes // reference.grid.parts != NULL, codes >= 0
    ends = [np.asarray(found[name], dtype=np.float64) for name in ("least", "greatest")]
    return NumericCounts(
        counts=tuple(counts[:-1].tolist()),
        nulls=int(counts[-1]),
        cells=Cells(
            tuple(codes[inside].tolist()), tuple(rows[inside].tolist()),
            *(tuple(np.asarray(found[name])[inside].tolist()) for name in ("mean", "least", "greatest")),
        ),
        infinite=int(rows[known & ~inside].sum()),
        least=float(ends[0][known].min()) if known.any() else None,
        greatest=float(ends[1][known].max()) if known.any() else None,
    )  # fmt: skip


def _texts(column: pa.ChunkedArray, connection: duckdb.DuckDBPyConnection) -> CategoricalCounts:
    connection.register("given", pa.table({VALUE: _as_text(column)}))
    found = dict(connection.sql(f"select {VALUE}, count(*) from given group by {VALUE}").fetchall())
    nulls = int(found.pop(None, 0))
    return CategoricalCounts(found, nulls)


def _by_day(
    column: pa.ChunkedArray, reference: Profile, connection: duckdb.DuckDBPyConnection, *, day: IntArray, days: IntArray
) -> IntArray:
    """Return the rows of each day in each bin, shape (days, bins); the last bin holds nulls."""
    if isinstance(reference, NumericProfile):
        connection.register("given", pa.table({VALUE: frames.numbers(column), DAY: day}))
        code = _code(reference.grid)
    else:
        connection.register("given", pa.table({VALUE: _as_text(column), DAY: day}))
        code = VALUE
    found = connection.sql(f"select {DAY}, {code} as code, count(*) as rows from given group by all").to_arrow_table()
    if isinstance(reference, NumericProfile):
        size, bins = len(reference.edges) + 2, _bins(found["code"].to_numpy(), reference)
    else:
        size = len(reference.categories) + 2
        places = {value: place for place, value in enumerate(reference.categories)} | {None: size - 1}
        bins = np.array([places.get(value, size - 2) for value in found["code"].to_pylist()], dtype=np.int64)
    flat = np.searchsorted(days, found[DAY].to_numpy()) * size + bins
    counts = np.bincount(flat, found["rows"].to_numpy(), days.size * size)
    return np.asarray(counts.reshape(days.size, size).astype(np.int64))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string())


def _bins(codes: IntArray, reference: NumericProfile) -> IntArray:
    """Return the bin of each code: that of its cell, the outer ones for infinite values, the last for nulls."""
    last = len(reference.edges)
    # A cell between two cuts lies in the bin that ends at the first edge from the upper cut on.
    segment_bins = np.r_[np.searchsorted(reference.edges, reference.grid.cuts, side="left"), last].astype(np.int64)
    segments = codes // reference.grid.parts
    bins = segment_bins[np.maximum(segments, 0)]
    for segment, place in ((BELOW, 0), (ABOVE, last), (NULL, last + 1)):
        bins = np.where(segments == segment, place, bins)
    return np.asarray(bins)


def _code(grid: Grid) -> str:
    """Return the SQL of a value's cell, below zero where it is in none: a tree of comparisons and a multiplication."""
    segment = _tree(grid, 0, len(grid.cuts))
    if grid.rate == 0:
        return f"({segment}) * {grid.parts}"
    strip = f"floor(({VALUE} - {_number(grid.low)}) * {_number(grid.rate)})"
    return f"({segment}) * {grid.parts} + least({grid.parts - 1}, greatest(0, {strip}))::smallint"


def _tree(grid: Grid, first: int, last: int) -> str:
    """Return the SQL of a value's segment; to DuckDB NaN is above all numbers, so the last one sees it."""
    if first < last:
        middle = (first + last) // 2
        lower, upper = _tree(grid, first, middle), _tree(grid, middle + 1, last)
        return f"case when {VALUE} <= {_number(grid.cuts[middle])} then {lower} else {upper} end"
    cell = f"{first}::smallint"
    if first == len(grid.cuts):
        cell = f"case when isnan({VALUE}) then {NULL} when {VALUE} = 'inf'::double then {ABOVE} else {cell} end"
    if first == 0:
        cell = f"case when {VALUE} = '-inf'::double then {BELOW} else {cell} end"
    return cell


def _number(value: float) -> str:
    """Return a float as SQL, to the last bit: a bare literal would be read as a decimal first."""
    return f"'{value!r}'::double"
