"""Sources, read in one pass for as many days as are asked for, into Arrow under the contract of the spec.

A replayed source is a past span that repeats: day D of the calendar shows the day that lies
PERENNIAL_REPLAY_WEEKS earlier, folded into the span; every date and time of a row moves with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.errors import DataError, SetupError
from perennial.io.cutting import Delivery, by_day, cut, runs, window_of
from perennial.io.files import Place, collected
from perennial.io.relations import REJECTED, Relation, broken_lines, described, detail, of_files, open_connection
from perennial.io.rowconditions import quoted
from perennial.io.rows import ORIGIN
from perennial.io.shaping import REASON, Hasher, divided, empty, finished, shape
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.io.databases import Batch, Databases

__all__ = ["Delivery", "Sources", "utc_now"]

EARLIEST = date(1990, 1, 1)  # an older time is a broken clock, not history


@dataclass(frozen=True, slots=True)
class _Reading:
    """One read of files: the rows of each asked day, the lines that no row could be made of, and what changed."""

    days: Mapping[date, pa.Table]
    broken: pa.Table
    notices: tuple[str, ...]


def utc_now() -> datetime:
    """Return the time of the machine's clock."""
    return datetime.now(UTC)


class Sources:
    """Reads sources: files, and queries of databases.

    Args:
        replay_weeks: whole weeks that a replayed source is shifted by.
        injected: folder of Parquet files, one a source, whose days replace the replayed ones.
        data: what `{data}` in a path stands for.
        connections: gives the SQLAlchemy URL of a connection by its name.
        personal_key: key of the hash that replaces personal data.
        clock: against which `complete.min_age_minutes` is held.
    """

    def __init__(
        self, *, replay_weeks: int = 0, injected: Path | None = None, data: Path | None = None,
        connections: Callable[[str], str] | None = None, personal_key: str | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self.replay_weeks = replay_weeks
        self.injected = injected
        self._data = data
        self._connections = connections
        self._hasher = Hasher(personal_key)
        self._clock = clock

    def read_day(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return one day's rows under the contract's names and types; a reference table is returned whole.

        Raises:
            SetupError: the package that holds the files, a driver, a connection or a key is missing.
            SourceError: the server that holds them does not answer.
            DataError: a file is missing or unreadable, a column is gone or of another type, or the day
                has not arrived: it is empty, and so is every later day.
        """
        return next(self.read_days(case, source, [day])).rows

    def read_days(self, case: UseCase, source: Source, days: Sequence[date]) -> Iterator[Delivery]:
        """Yield what each of the days holds, in their order, also of days without rows; one pass over the source.

        In memory are the rows of a day and a batch where the source is a database, and those of the asked days where
        it is files that hold many days.

        Args:
            case: holds the texts of the source's SQL files.
            source: what to read.
            days: ascending; they need not be consecutive.

        Raises:
            SetupError, SourceError, DataError: as `read_day`; the days before the one that cannot be read are
                yielded first.
        """
        if not days:
            return
        if source.database is not None:
            yield from self._queried(case, source, days)
            return
        injected = self._injected_days(source, days)
        recorded = {day: self._recorded_day(source, day) for day in days if day not in injected}
        one_by_one = source.daily_drop or source.is_reference
        reading = _Reading({}, REJECTED.empty_table(), ())
        for day in days:
            if day in injected:
                yield Delivery(day, finished(source, injected[day], extra=[ORIGIN]), REJECTED.empty_table())
                continue
            shown = recorded[day]
            if shown not in reading.days:
                reading = self._read(case, source, [shown] if one_by_one else sorted(set(recorded.values())))
            self._refuse_future_day(case, source, day=day, recorded=shown, known=reading.days)
            rows, rejected = divided(reading.days[shown])
            if one_by_one:
                rejected = pa.concat_tables([rejected, reading.broken])
            moved = rows if source.replay is None else _moved(rows, days=(day - shown).days)
            yield Delivery(day, moved, rejected, reading.notices)

    def read_strays(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return the rows that no day will ever show: without a time, or older than 1990.

        Of a daily drop, also the rows that lie outside its day. A reference table and a database's query have none.
        """
        if source.is_reference or source.database is not None or self._injected_days(source, [day]):
            return empty(source)
        recorded = self._recorded_day(source, day)
        with self._opened(case, source, recorded) as (connection, relation):
            shaped = shape(source, relation)
            rows = _fetched(connection, source, shaped.sql, *_outside(source, recorded), day=day)
        rows, _ = divided(finished(source, rows, extra=shaped.extra, hasher=self._hasher))
        return rows

    def read_stray_records(self, case: UseCase, source: Source, day: date) -> pa.Table:
        """Return the rejected records of whole files that belong to no day, as `payload` and `reason`.

        They are the lines that could not be taken apart and the records whose time cannot be read. Of a daily drop
        and a reference table, `read_days` gives them with the day; a database's query has none.
        """
        whole = not (source.is_reference or source.daily_drop or source.database is not None)
        if not whole or self._injected_days(source, [day]):
            return REJECTED.empty_table()
        recorded = self._recorded_day(source, day)
        with self._opened(case, source, recorded) as (connection, relation):
            shaped = shape(source, relation)
            rows = _fetched(connection, source, shaped.sql, *_outside(source, recorded), day=day)
            broken = broken_lines(connection, source)
        _, rejected = divided(finished(source, rows, extra=shaped.extra, hasher=self._hasher))
        return pa.concat_tables([rejected, broken])

    def _read(self, case: UseCase, source: Source, days: Sequence[date]) -> _Reading:
        """Return the rows of each day from one read of the files that lie there for the first of them."""
        with self._opened(case, source, days[0]) as (connection, relation):
            shaped = shape(source, relation)
            where, parameters = _within(source, days)
            if source.daily_drop and f"{quoted(REASON)}" in shaped.sql:
                where = f"{where} or {quoted(REASON)} is not null"
            rows = _fetched(connection, source, shaped.sql, where, parameters, day=days[0])
            broken = broken_lines(connection, source)
        rows = finished(source, rows, extra=shaped.extra, hasher=self._hasher)
        placed = dict.fromkeys(days, rows) if source.daily_drop else by_day(source, rows, days)
        return _Reading(placed, broken, shaped.notices)

    @contextmanager
    def _opened(self, case: UseCase, source: Source, day: date) -> Iterator[tuple[duckdb.DuckDBPyConnection, Relation]]:
        select = None if source.select is None else case.text(source.select)
        with collected(source, day, Place(self._data, self._clock())) as files, open_connection() as connection:
            yield connection, of_files(connection, source, files, select)

    def _refuse_future_day(
        self, case: UseCase, source: Source, *, day: date, recorded: date, known: Mapping[date, pa.Table]
    ) -> None:
        if source.is_reference or source.sparse or known[recorded].num_rows:
            return
        if any(rows.num_rows for later, rows in known.items() if later > recorded):
            return
        with self._opened(case, source, recorded) as (connection, relation):
            column = quoted(str(source.time_column))
            query = f"select max({column})::date from ({shape(source, relation).sql})"
            (newest,) = connection.execute(query).fetchall()[0]
        if newest is None or newest < recorded:
            raise _not_arrived(source, day, newest)

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
        return {day: found for day, found in by_day(source, rows, days).items() if found.num_rows}

    def _databases(self, source: Source) -> Databases:
        from perennial.io.databases import Databases

        if self._connections is None:
            raise SetupError(f"Source {source.name!r} is a database's query, and these sources know no connections.")
        return Databases(self._connections)

    def _queried(self, case: UseCase, source: Source, days: Sequence[date]) -> Iterator[Delivery]:
        databases, query = self._databases(source), _query(case, source)
        if source.is_reference:
            batches = list(self._shaped(source, databases.batches(source, query)))
            rows, rejected = divided(pa.concat_tables([rows for rows, _ in batches]))
            for day in days:
                yield Delivery(day, rows, rejected, batches[0][1])
            return
        for start, end in runs(days):
            several = end - start > timedelta(days=1)
            batches_of_run = databases.batches(source, query, window_of(source, start, end), in_order=several)
            wanted = [day for day in days if start <= day < end]
            for delivery in cut(source, self._shaped(source, batches_of_run), wanted):
                if not delivery.rows.num_rows and not source.sparse:
                    _refuse_future_window(databases, source, query, delivery.day)
                yield delivery

    def _shaped(self, source: Source, batches: Iterator[Batch]) -> Iterator[tuple[pa.Table, tuple[str, ...]]]:
        """Yield each batch under the contract, and what changed in it."""
        with open_connection() as connection:
            for batch in batches:
                connection.register("batch", batch.rows)
                shaped = shape(source, described(connection, "select * from batch", texts=batch.texts))
                rows = _fetched(connection, source, shaped.sql, "true", {}, day=None)
                yield finished(source, rows, extra=shaped.extra, hasher=self._hasher), shaped.notices


def _refuse_future_window(databases: Databases, source: Source, query: str, day: date) -> None:
    window = window_of(source, day + timedelta(days=1), date(9999, 1, 1))
    if databases.newest(source, query, window) is None:
        raise _not_arrived(source, day, None)


def _not_arrived(source: Source, day: date, newest: Any) -> DataError:
    known = "" if newest is None else f" (newest: {newest})"
    return DataError(
        f"Source {source.name!r} has no rows for {day} and none later{known}: the day has not "
        "arrived. Run it again when it has; a day that stays empty is fine once a later one has rows."
    )


def _query(case: UseCase, source: Source) -> str:
    return "" if source.database is None else case.text(source.database.query)


def _fetched(
    connection: duckdb.DuckDBPyConnection, source: Source, sql: str, where: str, parameters: Mapping[str, date],
    *, day: date | None,
) -> pa.Table:  # fmt: skip
    try:
        return connection.sql(f"select * from ({sql}) where {where}", params=dict(parameters)).to_arrow_table()
    except duckdb.Error as error:
        when = "" if day is None else f" for {day}"
        raise DataError(f"Source {source.name!r} cannot be read{when}: {detail(source, error)}") from error


def _within(source: Source, days: Sequence[date]) -> tuple[str, dict[str, date]]:
    """Return the condition that a row lies within one of the days, and its parameters."""
    if source.is_reference:
        return "true", {}
    column = quoted(str(source.time_column))
    conditions: list[str] = []
    parameters: dict[str, date] = {}
    for place, (start, end) in enumerate(runs(days)):
        conditions.append(f"({column} >= $start{place} and {column} < $end{place})")
        parameters |= {f"start{place}": start, f"end{place}": end}
    return " or ".join(conditions), parameters


def _outside(source: Source, day: date) -> tuple[str, dict[str, date]]:
    """Return the condition that no day will show a row, and its parameters."""
    column = quoted(str(source.time_column))
    start, end = (day, day + timedelta(days=1)) if source.daily_drop else (EARLIEST, date.max)
    return f"({column} is null or {column} < $start or {column} >= $end)", {"start": start, "end": end}


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
