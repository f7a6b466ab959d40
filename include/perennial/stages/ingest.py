"""Ingest: read days of each source, validate them, publish them; refused rows stay in the day, in quarantine.

A day's features look back over a window of raw days, so a run also ingests the days of that window that were never
ingested: any day can be built by itself, in any order and beside others. Days that are there are left alone, but for
those in which the source says that rows may still come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from filelock import FileLock

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.io import rows as lake_rows
from perennial.io.expectations import Validation
from perennial.io.forgotten import Forgotten
from perennial.io.rows import STRAYS, UNLIKE
from perennial.io.sources import Delivery
from perennial.records import Commit, IngestRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

STRAY_REASON = "the time is missing or lies outside what the source may hold"
ROWS_A_COMMIT = 500_000  # a long range is published in parts of about so many rows
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads, and what is done beside it."""

    run: str
    pages: bool = False
    strays: bool = False
    progress: Progress | None = None


def run(
    case: UseCase,
    day: date,
    adapters: Adapters,
    *,
    run: str = "manual",
    late: bool = True,
    progress: Progress | None = None,
) -> tuple[IngestRecord, ...]:
    """Publish one day of every source, and each day of the features' lookback that is not there yet.

    Args:
        case: whose sources to read.
        day: the UTC day to read; it is read again even where it was published before. Of a plan, the day is read
            that is `known_ahead_days` later.
        adapters: lake, sources and expectations.
        run: who asks, kept with each commit.
        late: also read again the `lateness_days` before the day, in which rows may have come late.
        progress: called with what is being read, the days done and the days to do.

    Raises:
        DataError: a source breaks its contract, a critical expectation of a table failed, or too many rows were
            refused; the day's last good partition stays.
    """
    fill_missing(case, [day], adapters, run=run, progress=progress)
    records: list[IngestRecord] = []
    for source in case.sources:
        newest = day + timedelta(days=source.known_ahead_days)
        again = Window.ending(newest, days=source.lateness_days + 1 if late else 1)
        reading = Reading(run, pages=True, strays=True)
        records += _ingest(case, source, list(again.days()), adapters, reading)
    return tuple(records)


def run_days(
    case: UseCase, source: str, days: Sequence[date], adapters: Adapters, *, run: str, progress: Progress | None = None
) -> tuple[IngestRecord, ...]:
    """Read many days of one source again, in one pass; unchanged days make no new version.

    Raises:
        DataError: as for `run`; the days before the one that breaks are published.
    """
    reading = Reading(run, strays=True, progress=progress)
    return tuple(_ingest(case, case.source(source), sorted(days), adapters, reading))


def fill_missing(
    case: UseCase, days: Sequence[date], adapters: Adapters, *, run: str, progress: Progress | None = None
) -> None:
    """Publish the days that the features of `days` look back to and that were never ingested, `days` left out."""
    with _one_at_a_time(adapters, case):
        for source in case.sources:
            missing = missing_days(case, source, days, adapters)
            if missing:
                _ingest(case, source, missing, adapters, Reading(run, progress=progress))


def missing_days(case: UseCase, source: Source, days: Sequence[date], adapters: Adapters) -> tuple[date, ...]:
    """Return the days before the newest of each of `days` that its features need and that were never ingested.

    A reference table misses nothing: each day sees the newest snapshot there is.
    """
    if source.is_reference:
        return ()
    read_anyway = {day + timedelta(days=source.known_ahead_days) for day in days}
    needed = [each for each in case.days_behind(source, days) if each not in read_anyway]
    return adapters.lake.missing_days(case.raw_table(source.name), needed)


def _one_at_a_time(adapters: Adapters, case: UseCase) -> AbstractContextManager[object]:
    """Keep parallel runs of a backfill from reading the same missing days; the lake alone keeps them correct."""
    folder = adapters.lake.root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{case.name}.lock")


def _ingest(
    case: UseCase, source: Source, days: Sequence[date], adapters: Adapters, reading: Reading
) -> list[IngestRecord]:
    """Read, judge and publish days of one source, in parts; a day that breaks leaves the days before it published."""
    records: list[IngestRecord] = []
    judged: dict[date, _Judged] = {}
    # A file of a day is read once; what of a whole file belongs to no day, the run of the day looks for.
    wanted = reading.strays or source.daily_drop
    strays = _strays(case, source, days, adapters, reading) if wanted else {}
    corrected = _corrected(case, source, strays, adapters)
    waiting: dict[date, _Judged] = {}
    deliveries = adapters.sources.read_days(case, source, days)
    try:
        for done, delivery in enumerate(_without_forgotten(case, source, deliveries, adapters), start=1):
            found = _judge(case, source, delivery, adapters, reading)
            # A row that had no day and has one now changes its partition in one commit, so its day waits.
            (waiting if _holds_any(delivery.rows, source, corrected) else judged)[delivery.day] = found
            if sum(each.rows.num_rows for each in judged.values()) >= ROWS_A_COMMIT:
                records += _publish(case, source, judged, adapters, reading, strays=strays)
                judged = {}
            if reading.progress is not None:
                reading.progress(source.name, done, len(days))
    except DataError:
        _publish(case, source, judged, adapters, reading, strays=strays)
        raise
    records += _publish(case, source, judged | waiting, adapters, reading, strays=strays, last=True)
    return sorted(records, key=lambda record: record.day)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A day's rows with their places, what the suite says beside it, and the page that shows it."""

    rows: pa.Table
    refused: int
    warnings: tuple[str, ...]
    page: str | None


def _judge(case: UseCase, source: Source, delivery: Delivery, adapters: Adapters, reading: Reading) -> _Judged:
    suite = case.expectations(source.name)
    validation = adapters.expectations.check(delivery.rows, suite, name=source.name)
    page = None
    if reading.pages or validation.critical:
        page = adapters.expectations.keep(validation, case=case.name, source=source.name, day=delivery.day)
    _stop_where_critical(source, delivery, validation)
    marks = lake_rows.Marks(suite=lake_rows.version_of(suite), run=reading.run)
    rows = lake_rows.refuse(lake_rows.placed(delivery.rows), validation.refused, marks)
    if delivery.rejected.num_rows:
        rows = pa.concat_tables([rows, lake_rows.unreadable(delivery.rejected, rows.schema, marks)])
    warnings = (*validation.warnings, *delivery.notices)
    return _Judged(rows, len(validation.refused) + delivery.rejected.num_rows, warnings, page)


def _publish(
    case: UseCase,
    source: Source,
    judged: Mapping[date, _Judged],
    adapters: Adapters,
    reading: Reading,
    *,
    strays: Mapping[date, pa.Table],
    last: bool = False,
) -> list[IngestRecord]:
    """Write the judged days and their strays in one commit, so that no row is in two places or in none.

    The partition of the rows that belong to no day goes with the last part.
    """
    table = case.raw_table(source.name)
    rows = {day: each.rows for day, each in judged.items()}
    if source.is_reference:
        rows = {day: each for day, each in rows.items() if not _snapshot_is(each, table, day, adapters)}
    for day, each in strays.items():
        if day in rows:
            rows[day] = pa.concat_tables([rows[day], each], promote_options="default")
        elif last and day == STRAYS:
            rows[day] = each
    # Whoever reads the rows by key finds them so, and need not sort.
    rows = {day: lake_rows.in_order(each, source.keys) for day, each in rows.items()}
    commits: dict[date, Commit] = {}
    if rows:
        metadata = {"case": case.name, "run": reading.run, "spec": case.fingerprint()[:12], **_origin_of(rows.values())}
        done = adapters.lake.update_days(
            table, sorted(rows), lambda stored: lake_rows.with_past(rows, stored), metadata=metadata, unlike=UNLIKE
        )
        commits = {commit.day: commit for commit in done}
    unchanged = adapters.lake.version(table) or 0
    return [
        _record(
            case, source, commits.get(day) or Commit(table, day, each.rows.num_rows, unchanged, changed=False), each
        )
        for day, each in judged.items()
    ]  # fmt: skip


def _record(case: UseCase, source: Source, commit: Commit, judged: _Judged) -> IngestRecord:
    return IngestRecord(
        case=case.name,
        source=source.name,
        day=commit.day,
        rows=judged.rows.num_rows - judged.refused,
        quarantined=judged.refused,
        version=commit.version,
        changed=commit.changed,
        warnings=judged.warnings,
        page=judged.page,
    )


def _stop_where_critical(source: Source, delivery: Delivery, validation: Validation) -> None:
    day = delivery.day
    if validation.critical:
        raise DataError(
            f"Source {source.name!r} fails a critical expectation on {day}: {'; '.join(validation.critical)}. "
            "Nothing was published, the last good partition stays. Correct the source, or the suite, and run again."
        )
    refused = len(validation.refused) + delivery.rejected.num_rows
    rows = delivery.rows.num_rows + delivery.rejected.num_rows
    share = refused / max(rows, 1)
    if share > source.quarantine_limit:
        reasons = {reason for found in validation.refused.values() for reason in found}
        reasons |= set(delivery.rejected.column("reason").to_pylist())
        raise DataError(
            f"Source {source.name!r} has {refused} of {rows} rows refused on {day}, a share of {share:.3f} with a "
            f"limit of {source.quarantine_limit}: {'; '.join(sorted(reasons))}. Nothing was published."
        )


def _snapshot_is(rows: pa.Table, table: str, day: date, adapters: Adapters) -> bool:
    """Tell whether a reference table looks the same in the snapshot that `day` sees already."""
    if not adapters.lake.days(table):
        return False
    return adapters.lake.holds(table, adapters.lake.snapshot_day(table, day), rows, unlike=UNLIKE)


def _strays(
    case: UseCase, source: Source, days: Sequence[date], adapters: Adapters, reading: Reading
) -> dict[date, pa.Table]:
    """Return the rows and unreadable records that belong to no day, by the partition that keeps them.

    Those of a daily drop lie in the day of their file. All others have a partition of their own, which is also
    returned empty where the source has corrected what was in it.
    """
    if source.is_reference:
        return {}
    marks = lake_rows.Marks(suite=lake_rows.version_of(case.expectations(source.name)), run=reading.run)
    found: dict[date, pa.Table] = {}
    for day in days if source.daily_drop else days[-1:]:
        rows = adapters.sources.read_strays(case, source, day)
        records = adapters.sources.read_stray_records(case, source, day)
        home = day if source.daily_drop else STRAYS
        known = home == STRAYS and adapters.lake.has_day(case.raw_table(source.name), STRAYS)
        if rows.num_rows or records.num_rows or known:
            refused = dict.fromkeys(range(rows.num_rows), (STRAY_REASON,))
            kept = lake_rows.refuse(lake_rows.placed(rows), refused, marks)
            found[home] = pa.concat_tables([kept, lake_rows.unreadable(records, kept.schema, marks)])
    return found


def _corrected(case: UseCase, source: Source, strays: Mapping[date, pa.Table], adapters: Adapters) -> pa.Table | None:
    """Return the keys of rows that belonged to no day before and are not among the strays now; None without any."""
    if STRAYS not in strays:
        return None
    columns = list(source.keys)
    before = adapters.lake.read_or_empty(case.raw_table(source.name), Window.of_day(STRAYS), columns=columns)
    if not before.num_rows:
        return None
    gone = before.join(strays[STRAYS].select(columns), keys=columns, join_type="left anti")
    return gone if gone.num_rows else None


def _holds_any(rows: pa.Table, source: Source, keys: pa.Table | None) -> bool:
    if keys is None:
        return False
    columns = list(source.keys)
    return bool(rows.select(columns).join(keys, keys=columns, join_type="left semi").num_rows)


def _without_forgotten(
    case: UseCase, source: Source, deliveries: Iterator[Delivery], adapters: Adapters
) -> Iterator[Delivery]:
    """Leave out the rows of entities that asked to be forgotten."""
    forgotten = Forgotten.of(case, adapters.lake)
    if not forgotten or case.entity not in source.columns:
        yield from deliveries
        return
    for delivery in deliveries:
        yield replace(delivery, rows=forgotten.left_out(delivery.rows, case.entity))


def _origin_of(tables: Iterable[pa.Table]) -> dict[str, str]:
    found = {
        origin
        for rows in tables
        if lake_rows.ORIGIN in rows.column_names
        for origin in rows.column(lake_rows.ORIGIN).unique().to_pylist()
        if origin is not None
    }
    return {"origin": "+".join(sorted(found))} if found else {}
