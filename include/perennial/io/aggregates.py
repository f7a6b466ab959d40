"""Runs checks that are SQL: one aggregate query over the rows for all of them, and a second look at what failed.

The rows are an Arrow table, or Parquet files of any size. Memory stays bounded for files: DuckDB streams them, and
spills to disk what does not fit into `MEMORY_LIMIT`, or `MEMORY_AT_WORST` where it must. Whether values are unique is
always answered exactly:

- up to `COUNTED_DIRECTLY` rows the aggregate counts the distinct values;
- above, 64-bit hashes of the values are sorted, at most `HASHED_AT_ONCE` in one pass (8 bytes a row). Equal values have
  equal hashes, so that different hashes prove that there is no duplicate; only rows whose hash occurs twice are then
  compared by value.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.io.checks import Check, FigureCheck, RowCheck, families
from perennial.io.rowconditions import quoted

MEMORY_LIMIT = "256MB"
MEMORY_AT_WORST = "1500MB"  # for a median or duplicates that cannot be found in less, spilled or not
COUNTED_DIRECTLY = 200_000
HASHED_AT_ONCE = 4_000_000
SHOWN = 20  # values in a partial list, as in Great Expectations
POSITION = "position of the row"  # no contract can name a column so


@dataclass(frozen=True, slots=True)
class Found:
    """What a check says: its result in Great Expectations' own words, and the positions of refused rows."""

    success: bool
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as SQL: `plain` for figures, `numbered` with the position of each row."""

    cursor: duckdb.DuckDBPyConnection
    schema: pa.Schema
    plain: str
    numbered: str
    count: int


@dataclass(slots=True)
class Aggregates:
    """Runs checks in DuckDB; keeps one connection a process, which a day of few rows would mostly wait for."""

    # By process: a fork must not touch its parent's.
    _connections: dict[int, duckdb.DuckDBPyConnection] = field(default_factory=dict)

    def over_table(self, rows: pa.Table, checks: Sequence[Check]) -> list[Found]:
        """Return what each check finds in an Arrow table."""
        with self._cursor() as cursor:
            cursor.register("plain_rows", rows)
            numbered = rows.append_column(POSITION, pa.array(np.arange(rows.num_rows)))
            cursor.register("numbered_rows", numbered)
            return _found(_Rows(cursor, rows.schema, "plain_rows", "numbered_rows", rows.num_rows), checks)

    def over_files(self, paths: Sequence[Path], checks: Sequence[Check]) -> list[Found]:
        """Return what each check finds in Parquet files of one schema; positions count on from file to file."""
        with self._cursor() as cursor:
            return _found(_staged(cursor, paths), checks)

    def knows_regex(self, pattern: str) -> bool:
        """Tell whether DuckDB has the words of a regular expression."""
        with self._cursor() as cursor:
            try:
                cursor.execute("select regexp_matches('', ?)", [pattern]).fetchall()
            except duckdb.Error:
                return False
            return True

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = self._connections.get(os.getpid())
        if connection is None:
            connection = self._connections[os.getpid()] = duckdb.connect(config={"memory_limit": MEMORY_LIMIT})
            connection.execute("set timezone = 'UTC'")
            connection.execute(
                f"set temp_directory = '{Path(tempfile.gettempdir()) / f'perennial-checks-{os.getpid()}'}'"
            )
        with connection.cursor() as cursor:
            yield cursor


def _staged(cursor: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> _Rows:
    files, parts, before = [], [], 0
    for path in paths:
        name = str(path).replace("'", "''")
        files.append(f"'{name}'")
        shown = f"select * exclude (file_row_number), file_row_number + {before} as {quoted(POSITION)}"
        parts.append(f"{shown} from read_parquet('{name}', file_row_number = true)")
        before += pq.read_metadata(path).num_rows
    plain = f"read_parquet([{', '.join(files)}])"
    return _Rows(cursor, pq.read_schema(paths[0]), plain, f"({' union all '.join(parts)})", before)


def _found(rows: _Rows, checks: Sequence[Check]) -> list[Found]:
    try:
        return _answered(rows, checks)
    except duckdb.OutOfMemoryException:
        rows.cursor.execute(f"set memory_limit = '{MEMORY_AT_WORST}'")
        try:
            return _answered(rows, checks)
        finally:
            rows.cursor.execute(f"set memory_limit = '{MEMORY_LIMIT}'")


def _answered(rows: _Rows, checks: Sequence[Check]) -> list[Found]:
    counted = _counted(rows, checks)
    return [
        _figure(check, counted) if isinstance(check, FigureCheck) else _judged(rows, check, counted) for check in checks
    ]


def _clean(rows: _Rows, base: str) -> str:
    """Return the rows as a subquery in which a NaN is a missing value, as it is in pandas and in the lake."""
    holds = families(rows.schema)
    shown = [
        f"nullif({quoted(name)}, 'nan'::double) as {quoted(name)}" if holds[name] == "double" else quoted(name)
        for name in rows.schema.names
    ]
    numbered = [quoted(POSITION)] if base == rows.numbered else []
    return f"(select {', '.join(shown + numbered)} from {base})"


def _counted(rows: _Rows, checks: Sequence[Check]) -> Mapping[str, Any]:
    """Return the value of each aggregate that the checks ask for, by its SQL, from one query."""
    asked: dict[str, None] = {}
    for check in checks:
        asked |= dict.fromkeys(_asked(check, rows.count))
    if not asked:
        return {}
    found = rows.cursor.sql(f"select {', '.join(asked)} from {_clean(rows, rows.plain)}").to_arrow_table()
    return {sql: column[0].as_py() for sql, column in zip(asked, found.columns, strict=True)}


def _asked(check: Check, count: int) -> tuple[str, ...]:
    if isinstance(check, FigureCheck):
        return (check.figure,)
    if check.refused is None and count > COUNTED_DIRECTLY:
        return (_count(check.domain), _count(check.judged))
    return (_count(check.domain), _count(check.judged), _suspicious(check))


def _suspicious(check: RowCheck) -> str:
    """Return the aggregate that tells whether any row is refused: the refused ones, or the different values."""
    if check.refused is not None:
        return _count(check.refused if check.domain == "true" else f"{check.domain} and {check.refused}")
    values = ", ".join(map(quoted, check.columns))
    one = values if len(check.columns) == 1 else f"row({values})"
    return f"count(distinct {one})" + ("" if check.judged == "true" else f" filter (where {check.judged})")


def _count(condition: str) -> str:
    return "count(*)" if condition == "true" else f"count(*) filter (where {condition})"


def _figure(check: FigureCheck, counted: Mapping[str, Any]) -> Found:
    value = counted[check.figure]
    if isinstance(value, Decimal):  # a sum of integers is wider than 64 bits
        value = int(value)
    elif isinstance(value, float) and np.isnan(value):
        value = None
    return Found(check.passes(value), {"observed_value": value} if check.shown else {})


def _judged(rows: _Rows, check: RowCheck, counted: Mapping[str, Any]) -> Found:
    elements, judged = counted[_count(check.domain)], counted[_count(check.judged)]
    if check.refused is not None:
        any_refused = counted[_suspicious(check)] > 0
        bad = _refused(rows, check) if any_refused else None
    else:
        bad = _duplicates(rows, check, judged=judged, counted=counted)
    return _described(check, elements, judged, bad)


def _refused(rows: _Rows, check: RowCheck) -> pa.Table:
    return _listed(rows, check, f"{_clean(rows, rows.numbered)} where {check.judged} and {check.refused}")


def _listed(rows: _Rows, check: RowCheck, source: str) -> pa.Table:
    values = ", ".join(map(quoted, check.columns))
    query = f"select {quoted(POSITION)}, {values} from {source} order by {quoted(POSITION)}"
    return rows.cursor.sql(query).to_arrow_table()


def _duplicates(rows: _Rows, check: RowCheck, *, judged: int, counted: Mapping[str, Any]) -> pa.Table | None:
    """Return the rows that share their values with another row, None where there are none."""
    suspects = "true"
    if rows.count > COUNTED_DIRECTLY:
        hashes = _hashes_seen_twice(rows, check, judged=judged)
        if not hashes.size:
            return None
        rows.cursor.register("suspects", pa.table({"suspect": hashes}))
        suspects = f"hash({', '.join(map(quoted, check.columns))}) in (select suspect from suspects)"
    elif counted[_suspicious(check)] == judged:
        return None
    values = ", ".join(map(quoted, check.columns))
    among = f"select *, count(*) over (partition by {values}) as times from {_clean(rows, rows.numbered)}"
    found = _listed(rows, check, f"({among} where {check.judged} and {suspects}) where times > 1")
    return found if found.num_rows else None


def _hashes_seen_twice(rows: _Rows, check: RowCheck, *, judged: int) -> NDArray[np.uint64]:
    """Return the hashes of values that more than one row has; of different values only by a rare chance."""
    hashed = f"hash({', '.join(map(quoted, check.columns))})"
    passes = -(-judged // HASHED_AT_ONCE)
    twice = []
    for number in range(passes):
        part = f"{check.judged} and {hashed} % {passes} = {number}" if passes > 1 else check.judged
        query = f"select {hashed} as hash from {_clean(rows, rows.plain)} where {part}"
        hashes = _streamed(rows.cursor, query, room=judged if passes == 1 else int(judged / passes * 1.05) + 1000)
        hashes.sort()
        twice.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
    return np.concatenate(twice) if twice else np.empty(0, np.uint64)


def _streamed(cursor: duckdb.DuckDBPyConnection, query: str, *, room: int) -> NDArray[np.uint64]:
    hashes, end = np.empty(room, np.uint64), 0
    for batch in cursor.sql(query).to_arrow_reader(250_000):
        if end + batch.num_rows > hashes.size:
            hashes = np.concatenate([hashes[:end], np.empty(batch.num_rows + hashes.size // 4, np.uint64)])
        hashes[end : end + batch.num_rows] = _plain(batch.column(0))
        end += batch.num_rows
    return hashes[:end]


def _plain(numbers: pa.Array) -> NDArray[np.uint64]:
    """Return the numbers without a copy; Arrow's own `to_numpy` imports pandas."""
    return np.frombuffer(numbers.buffers()[1], np.uint64, len(numbers), numbers.offset * 8)


def _described(check: RowCheck, elements: int, judged: int, bad: pa.Table | None) -> Found:
    """Return the result as Great Expectations words it for `COMPLETE`."""
    positions: list[int] = [] if bad is None else bad.column(POSITION).to_pylist()
    values = [] if bad is None else _values(check, bad)
    refused = len(positions)
    of_judged = refused / judged * 100 if elements and judged else None
    result: dict[str, Any] = {
        "element_count": elements, "unexpected_count": refused, "unexpected_percent": of_judged,
        "partial_unexpected_list": values[:SHOWN],
    }  # fmt: skip
    if check.counts_missing:
        result |= {
            "missing_count": elements - judged,
            "missing_percent": (elements - judged) / elements * 100 if elements else None,
            "unexpected_percent_total": refused / elements * 100 if elements else None,
            "unexpected_percent_nonmissing": of_judged,
        }
    result |= {
        "partial_unexpected_counts": _most_common(values), "partial_unexpected_index_list": positions[:SHOWN],
        "unexpected_list": values, "unexpected_index_list": positions,
    }  # fmt: skip
    success = not judged or (judged - refused) / judged >= check.mostly
    return Found(success, result)


def _values(check: RowCheck, bad: pa.Table) -> list[Any]:
    columns: list[list[Any]] = [bad.column(name).to_pylist() for name in check.columns]
    if check.shape == "value":
        return columns[0]
    tuples = list(zip(*columns, strict=True))
    return tuples if check.shape == "pair" else [dict(zip(check.columns, each, strict=True)) for each in tuples]


def _most_common(values: list[Any]) -> list[dict[str, Any]]:
    plain = [tuple(value.values()) for value in values] if values and isinstance(values[0], dict) else values
    common = Counter(plain).most_common(SHOWN)
    try:
        common.sort(key=lambda pair: (-pair[1], pair[0]))
    except TypeError:  # missing values beside others have no order
        common.sort(key=lambda pair: (-pair[1], str(pair[0])))
    return [{"value": value, "count": count} for value, count in common]
