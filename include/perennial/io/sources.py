"""Source files, read one day at a time into Arrow under the contract of the spec.

A replayed source is a past span that repeats: day D of the calendar shows the day that lies
PERENNIAL_REPLAY_WEEKS earlier, folded into the span; every date and time of a row moves with it.
"""

from __future__ import annotations

from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
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
        injected = self._injected_day(source, day)
        if injected is not None:
            return _contracted(source, injected, extra=ORIGIN)
        recorded = self._recorded_day(source, day)
        with duckdb.connect() as connection:
            _register_files(connection, source, recorded)
            query = _query(case, source)
            _check_columns(connection, source, query)
            rows = _rows_of_day(connection, source, query, recorded)
            if not rows.num_rows and not source.is_reference and not source.sparse:
                _refuse_future_day(connection, source, query, day=day, recorded=recorded)
        rows = _contracted(source, rows)
        return rows if source.replay is None else _moved(rows, days=(day - recorded).days)

    def read_strays(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return the rows that no day will ever show: without a time, or older than 1990.

        Of a daily drop, also the rows that lie outside its day. A reference table has none.
        """
        if source.is_reference or self._injected_day(source, day) is not None:
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

    def _injected_day(self, source: Source, day: date) -> pa.Table | None:
        path = None if self.injected is None else self.injected / f"{source.name}.parquet"
        if source.replay is None or source.is_reference or path is None or not path.is_file():
            return None
        start, end = _bounds(day)
        with duckdb.connect() as connection:
            connection.read_parquet(str(path)).create_view("injected")
            time = _quoted(str(source.time_column))
            rows = connection.sql(
                f"select * from injected where {time} >= $start and {time} < $end", params={"start": start, "end": end}
            ).to_arrow_table()
        return rows if rows.num_rows else None


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


def _rows_of_day(connection: duckdb.DuckDBPyConnection, source: Source, query: str, day: date) -> pa.Table:
    columns = ", ".join(_quoted(name) for name in source.columns)
    query = f"select {columns} from ({query})"
    parameters: dict[str, date] = {}
    if source.time_column is not None:
        start, end = _bounds(day)
        time = _quoted(source.time_column)
        query, parameters = f"{query} where {time} >= $start and {time} < $end", {"start": start, "end": end}
    try:
        return connection.sql(query, params=parameters).to_arrow_table()
    except duckdb.Error as error:
        raise DataError(f"Source {source.name!r} cannot be read for {day}: {error}") from error


def _refuse_future_day(
    connection: duckdb.DuckDBPyConnection, source: Source, query: str, *, day: date, recorded: date
) -> None:
    time = _quoted(str(source.time_column))
    (newest,) = connection.execute(f"select max({time})::date from ({query})").fetchall()[0]
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
