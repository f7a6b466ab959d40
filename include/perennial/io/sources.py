"""Source files, read one day at a time into Arrow under the contract of the spec.

A replayed source is a past span that repeats: day D of the calendar shows the day that lies
PERENNIAL_REPLAY_WEEKS earlier, folded into the span; every date and time of a row moves with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import ColumnType, Source
from perennial.errors import DataError, SetupError, nearest
from perennial.spec import UseCase

ORIGIN = "origin"  # of a replayed row: `recorded` in the real data, or `injected` by a demonstration
EARLIEST = date(1990, 1, 1)  # an older time is a broken clock, not history
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
# DuckDB types that may stand for a column type of the spec; the cast that follows must lose nothing.
ACCEPTED: dict[ColumnType, tuple[str, ...]] = {
    "string": ("VARCHAR",),
    "integer": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "DOUBLE", "FLOAT"),
    "number": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL"),
    "boolean": ("BOOLEAN",),
    "date": ("DATE", "TIMESTAMP"),
    "timestamp": ("TIMESTAMP", "DATE"),
}


REJECTED = pa.schema([("payload", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source gives for one day.

    Attributes:
        day: the UTC day.
        rows: the day's rows under the contract's names and types.
        rejected: columns `payload` and `reason`; records that could not be decoded or typed.
    """

    day: date
    rows: pa.Table
    rejected: pa.Table


class Sources:
    """Reads sources; `injected` is a folder of Parquet files, one a source, whose days replace the replayed ones."""

    def __init__(self, *, replay_weeks: int = 0, injected: Path | None = None) -> None:
        self.replay_weeks = replay_weeks
        self.injected = injected

    def read_day(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return one day's rows under the contract's names and types; a reference table is returned whole.

        Raises:
            SetupError: the package that holds the files is not installed.
            DataError: a file is missing or unreadable, a column is gone or of another type, or the day
                has not arrived: it is empty, and so is every later day.
        """
        return next(self.read_days(case, source, [day])).rows

    def read_days(self, case: UseCase, source: Source, days: Sequence[date]) -> Iterator[Delivery]:
        """Yield what each of the days holds, in their order, also of days without rows; one pass over the source.

        Args:
            case: holds the texts of the source's SQL files.
            source: what to read.
            days: ascending; they need not be consecutive.

        Raises:
            SetupError, DataError: as `read_day`; the days before the one that cannot be read are yielded first.
        """
        injected = self._injected_days(source, days)
        recorded = {day: self._recorded_day(source, day) for day in days if day not in injected}
        one_by_one = source.daily_drop or source.is_reference
        rows: Mapping[date, pa.Table] = {}
        for day in days:
            if day in injected:
                yield Delivery(day, _contracted(source, injected[day], extra=ORIGIN), REJECTED.empty_table())
                continue
            shown = recorded[day]
            if shown not in rows:
                rows = _read(case, source, [shown] if one_by_one else sorted(set(recorded.values())))
            if not rows[shown].num_rows and not source.is_reference and not source.sparse:
                _refuse_future_day(case, source, day=day, recorded=shown, known=rows)
            moved = rows[shown] if source.replay is None else _moved(rows[shown], days=(day - shown).days)
            yield Delivery(day, moved, REJECTED.empty_table())

    def read_strays(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return the rows that no day will ever show: without a time, or older than 1990.

        Of a daily drop, also the rows that lie outside its day. A reference table has none.
        """
        if source.is_reference or self._injected_days(source, [day]):
            return _empty(source)
        recorded = self._recorded_day(source, day)
        with duckdb.connect() as connection:
            _register_files(connection, source, recorded)
            query = _query(case, source)
            _check_columns(connection, source, query)
            start, end = _bounds(recorded) if source.daily_drop else (EARLIEST, date.max)
            time = _quoted(str(source.time_column))
            stray = f"{query} where {time} is null or {time} < $start or {time} >= $end"
            rows = connection.sql(stray, params={"start": start, "end": end}).to_arrow_table()
        return _contracted(source, rows)

    def _recorded_day(self, source: Source, day: date) -> date:
        """Return the recorded day that a replayed source shows on `day`."""
        if source.replay is None or self.replay_weeks == 0:
            return day
        span = source.replay.weeks * 7
        shifted = day - timedelta(weeks=self.replay_weeks)
        laps = max((shifted - source.replay.first).days // span, 0)
        return shifted - timedelta(days=laps * span)

    def _injected_days(self, source: Source, days: Sequence[date]) -> Mapping[date, pa.Table]:
        path = None if self.injected is None else self.injected / f"{source.name}.parquet"
        if source.replay is None or source.is_reference or path is None or not path.is_file():
            return {}
        with duckdb.connect() as connection:
            connection.read_parquet(str(path)).create_view("injected")
            where, parameters = _within(source, days)
            rows = connection.sql(f"select * from injected where {where}", params=parameters).to_arrow_table()
        return {day: found for day, found in _by_day(source, rows, days).items() if found.num_rows}


def path_of(source: Source, view: str, day: date) -> Path:
    """Return where a file of a source lies on `day`.

    Raises:
        SetupError: the package that holds it is not installed.
    """
    relative = source.files[view].replace("{day}", day.isoformat())
    if source.package is None:
        return Path(relative)
    spec = find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            f"Source {source.name!r} reads the files of the package {source.package!r}, which is not installed. "
            "Run `uv sync --extra demo`, or `make demo`, which does."
        )
    return Path(next(iter(spec.submodule_search_locations))) / relative


def _register_files(connection: duckdb.DuckDBPyConnection, source: Source, day: date) -> None:
    connection.execute("set timezone = 'UTC'")
    for view in source.files:
        path = path_of(source, view, day)
        if not path.is_file():
            raise DataError(f"Source {source.name!r} has no file {path} for {day}. Deliver it and run the day again.")
        try:
            relation = connection.read_csv(str(path)) if path.suffix == ".csv" else connection.read_parquet(str(path))
        except duckdb.Error as error:
            raise DataError(f"Source {source.name!r} cannot read {path}: {error} Deliver the file again.") from error
        relation.create_view(view)


def _query(case: UseCase, source: Source) -> str:
    if source.select is None:
        return f"select * from {_quoted(next(iter(source.files)))}"
    return f"select * from ({case.text(source.select).rstrip().rstrip(';')})"


def _check_columns(connection: duckdb.DuckDBPyConnection, source: Source, query: str) -> None:
    try:
        described = connection.execute(f"describe {query}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"The SQL of source {source.name!r} does not run over its files: {error}") from error
    found = {row[0]: str(row[1]) for row in described}
    for name, declared in source.columns.items():
        if name not in found:
            raise DataError(f"Source {source.name!r} has lost its column {name!r}. {nearest(name, found)}")
        if not found[name].startswith(ACCEPTED[declared]):
            raise DataError(
                f"Column {name!r} of source {source.name!r} is {found[name]}, declared as {declared}. "
                "Correct the source, or the column's type in use_case.yaml."
            )


def _read(case: UseCase, source: Source, days: Sequence[date]) -> Mapping[date, pa.Table]:
    """Return the rows of each day from one read of the files that lie there for the first of them."""
    with duckdb.connect() as connection:
        _register_files(connection, source, days[0])
        query = _query(case, source)
        _check_columns(connection, source, query)
        columns = ", ".join(_quoted(name) for name in source.columns)
        where, parameters = _within(source, days)
        try:
            rows = connection.sql(f"select {columns} from ({query}) where {where}", params=parameters).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"Source {source.name!r} cannot be read for {days[0]}: {error}") from error
    return _by_day(source, _contracted(source, rows), days)


def _within(source: Source, days: Sequence[date]) -> tuple[str, dict[str, date]]:
    """Return the condition that a row lies within one of the days, and its parameters."""
    if source.is_reference:
        return "true", {}
    time = _quoted(str(source.time_column))
    conditions: list[str] = []
    parameters: dict[str, date] = {}
    for place, (start, end) in enumerate(_runs(days)):
        conditions.append(f"({time} >= $start{place} and {time} < $end{place})")
        parameters |= {f"start{place}": start, f"end{place}": end}
    return " or ".join(conditions), parameters


def _runs(days: Sequence[date]) -> Iterator[tuple[date, date]]:
    """Yield the half-open runs of consecutive days."""
    start = end = days[0]
    for day in days:
        if day > end:
            yield start, end
            start = day
        end = day + timedelta(days=1)
    yield start, end


def _by_day(source: Source, rows: pa.Table, days: Sequence[date]) -> dict[date, pa.Table]:
    """Return the rows of each day, in the order that they came in; a reference table's belong to every day."""
    if source.is_reference:
        return dict.fromkeys(days, rows)
    placed = rows.column(source.time_column).cast(pa.date32()).cast(pa.int32()).to_numpy()
    if (placed[1:] < placed[:-1]).any():
        order = np.argsort(placed, kind="stable")
        placed, rows = placed[order], rows.take(order)
    numbers = np.array(days, dtype="datetime64[D]").astype(np.int32)
    starts, ends = (np.searchsorted(placed, numbers, side=side) for side in ("left", "right"))
    return {day: rows.slice(start, end - start) for day, start, end in zip(days, starts, ends, strict=True)}


def _refuse_future_day(
    case: UseCase, source: Source, *, day: date, recorded: date, known: Mapping[date, pa.Table]
) -> None:
    if any(rows.num_rows for later, rows in known.items() if later > recorded):
        return
    with duckdb.connect() as connection:
        _register_files(connection, source, recorded)
        time = _quoted(str(source.time_column))
        (newest,) = connection.execute(f"select max({time})::date from ({_query(case, source)})").fetchall()[0]
    if newest is None or newest < recorded:
        raise DataError(
            f"Source {source.name!r} has no rows for {day} and none later (newest: {newest}): the day has not "
            "arrived. Run it again when it has; a day that stays empty is fine once a later one has rows."
        )


def _contracted(source: Source, rows: pa.Table, *, extra: str | None = None) -> pa.Table:
    names = [*source.columns, *([extra] if extra else [])]
    fields = [pa.field(name, ARROW_TYPES[source.columns.get(name, "string")]) for name in names]
    columns = [_cast(source, rows, field) for field in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _cast(source: Source, rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    column = rows.column(field.name)
    if pa.types.is_date32(field.type) and pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("s"))
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Column {field.name!r} of source {source.name!r} holds values that are no {field.type}: {error}. "
            "Correct the source, or the column's type in use_case.yaml."
        ) from error


def _moved(rows: pa.Table, *, days: int) -> pa.Table:
    for position, field in enumerate(rows.schema):
        if pa.types.is_temporal(field.type):
            rows = rows.set_column(position, field, _later(rows.column(position), days=days))
    origin = pa.repeat(pa.scalar("recorded"), rows.num_rows)
    return rows.append_column(pa.field(ORIGIN, pa.string()), origin)


def _later(column: pa.ChunkedArray, *, days: int) -> pa.ChunkedArray:
    if pa.types.is_date32(column.type):
        return pc.add(column.cast(pa.int32()), pa.scalar(days, pa.int32())).cast(pa.date32())
    return pc.add(column, pa.scalar(timedelta(days=days)))


def _empty(source: Source) -> pa.Table:
    return pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in source.columns.items()]).empty_table()


def _bounds(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
