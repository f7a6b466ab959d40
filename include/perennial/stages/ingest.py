"""Ingest: read a day of each source, validate it, publish it; refused rows go to the quarantine with their reasons.

A day's features look back over a window of raw days, so a run also ingests the days of that window that were never
ingested: any day can be built by itself, in any order and beside others. Days that are there are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from filelock import FileLock

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.io.expectations import Validation
from perennial.records import Commit, IngestRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

STRAYS = date(1970, 1, 1)  # the quarantine partition of rows that belong to no day
STRAY_REASON = "the time is missing or lies outside what the source may hold"
Progress = Callable[[str, int, int], None]


def run(
    case: UseCase, day: date, adapters: Adapters, *, run: str = "manual", progress: Progress | None = None
) -> tuple[IngestRecord, ...]:
    """Publish one day of every source, and each day of the features' lookback that is not there yet.

    Args:
        case: whose sources to read.
        day: the UTC day to read; it is read again even where it was published before.
        adapters: lake, sources and expectations.
        run: who asks, kept with each commit.
        progress: called with what is being read, the days done and the days to do.

    Raises:
        DataError: a source breaks its contract, a critical expectation of a table failed, or too many rows were
            refused; the day's last good partition stays.
    """
    with _one_at_a_time(adapters, case):
        missing = _missing_days(case, day, adapters)
        for done, each in enumerate(missing, start=1):
            _ingest_day(case, each, adapters, run=run, with_pages=False)
            if progress is not None:
                progress("days before", done, len(missing))
    return _ingest_day(case, day, adapters, run=run, with_pages=True)


def _one_at_a_time(adapters: Adapters, case: UseCase) -> AbstractContextManager[object]:
    """Keep parallel runs of a backfill from reading the same missing days; the lake alone keeps them correct."""
    folder = adapters.lake.root / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{case.name}.lock")


def _missing_days(case: UseCase, day: date, adapters: Adapters) -> tuple[date, ...]:
    """Return the days that the features of `day` look back to and of which a source was never ingested."""
    # One day more than the features need: the leak check builds the day before as well.
    lookback = Window(day - timedelta(days=case.features.lookback_days + 1), day)
    needed = {source.name for source in case.sources if not source.is_reference}
    ingested = adapters.lake.read_or_empty(case.ingested_table, lookback, columns=["day", "source"]).to_pylist()
    found = {(row["day"], row["source"]) for row in ingested}
    return tuple(each for each in lookback.days() if any((each, name) not in found for name in needed))


def _ingest_day(
    case: UseCase, day: date, adapters: Adapters, *, run: str, with_pages: bool
) -> tuple[IngestRecord, ...]:
    sources = [source for source in case.sources if with_pages or not source.is_reference]
    records = tuple(_ingest(case, source, day, adapters, run=run, with_page=with_pages) for source in sources)
    # Written last: a day counts as ingested once every source of it is published.
    book = pa.table({
        "source": pa.array([record.source for record in records]),
        "rows": pa.array([record.rows for record in records], pa.int64()),
        "quarantined": pa.array([record.quarantined for record in records], pa.int64()),
    })  # fmt: skip
    adapters.lake.write_day(case.ingested_table, day, book, metadata={"case": case.name, "run": run})
    return records


def _ingest(case: UseCase, source: Source, day: date, adapters: Adapters, *, run: str, with_page: bool) -> IngestRecord:
    table = case.raw_table(source.name)
    rows = adapters.sources.read_day(case, source, day)
    if source.is_reference and _snapshot_is(rows, table, day, adapters):
        return _record(
            case, source, Commit(table, day, rows.num_rows, adapters.lake.version(table) or 0, changed=False)
        )
    validation = adapters.expectations.check(rows, case.expectations(source.name), name=source.name)
    page = None
    if with_page or validation.critical:
        page = adapters.expectations.keep(validation, case=case.name, source=source.name, day=day)
    _stop_where_critical(source, day, rows, validation)
    metadata = {"case": case.name, "run": run, "spec": case.fingerprint()[:12], **_origin_of(rows)}
    good, bad = _divided(rows, validation.refused)
    # The refused rows first: a crash in between leaves them in the quarantine, and the day to be run again.
    if bad.num_rows or adapters.lake.has_day(case.quarantine_table(source.name), day):
        adapters.lake.write_day(case.quarantine_table(source.name), day, bad, metadata=metadata)
    commit = adapters.lake.write_day(table, day, good, metadata=metadata)
    if with_page:
        _keep_strays(case, source, day, adapters, run=run)
    return _record(case, source, commit, quarantined=bad.num_rows, warnings=validation.warnings, page=page)


def _record(
    case: UseCase, source: Source, commit: Commit, *, quarantined: int = 0, warnings: tuple[str, ...] = (),
    page: str | None = None,
) -> IngestRecord:  # fmt: skip
    return IngestRecord(
        case=case.name, source=source.name, day=commit.day, rows=commit.rows, quarantined=quarantined,
        version=commit.version, changed=commit.changed, warnings=warnings, page=page,
    )  # fmt: skip


def _stop_where_critical(source: Source, day: date, rows: pa.Table, validation: Validation) -> None:
    if validation.critical:
        raise DataError(
            f"Source {source.name!r} fails a critical expectation on {day}: {'; '.join(validation.critical)}. "
            "Nothing was published, the last good partition stays. Correct the source, or the suite, and run again."
        )
    share = len(validation.refused) / max(rows.num_rows, 1)
    if share > source.quarantine_limit:
        reasons = sorted({reason for found in validation.refused.values() for reason in found})
        raise DataError(
            f"Source {source.name!r} has {len(validation.refused)} of {rows.num_rows} rows refused on {day}, a share "
            f"of {share:.3f} with a limit of {source.quarantine_limit}: {'; '.join(reasons)}. Nothing was published."
        )


def _divided(rows: pa.Table, refused: Mapping[int, tuple[str, ...]]) -> tuple[pa.Table, pa.Table]:
    """Return the good rows, and the refused ones with their reasons; each row is in exactly one of them."""
    positions = sorted(refused)
    keep = [position for position in range(rows.num_rows) if position not in refused]
    reasons = pa.array(["; ".join(refused[position]) for position in positions], pa.string())
    bad = rows.take(pa.array(positions, pa.int64())).append_column("reasons", reasons)
    return rows.take(pa.array(keep, pa.int64())), bad


def _snapshot_is(rows: pa.Table, table: str, day: date, adapters: Adapters) -> bool:
    """Tell whether a reference table looks the same in the snapshot that `day` sees already."""
    return bool(adapters.lake.days(table)) and adapters.lake.holds(table, adapters.lake.snapshot_day(table, day), rows)


def _keep_strays(case: UseCase, source: Source, day: date, adapters: Adapters, *, run: str) -> None:
    strays = adapters.sources.read_strays(case, source, day)
    if not strays.num_rows:
        return
    home = day if source.daily_drop else STRAYS
    refused = dict.fromkeys(range(strays.num_rows), (STRAY_REASON,))
    _, bad = _divided(strays, refused)
    table = case.quarantine_table(source.name)
    if source.daily_drop and adapters.lake.has_day(table, home):
        already = adapters.lake.read(table, Window.of_day(home)).select(bad.column_names)
        bad = pa.concat_tables([already.filter(_other_reasons(already)), bad])
    adapters.lake.write_day(table, home, bad, metadata={"case": case.name, "run": run})


def _other_reasons(rows: pa.Table) -> pa.Array:
    return pa.array([STRAY_REASON not in reasons for reasons in rows.column("reasons").to_pylist()])


def _origin_of(rows: pa.Table) -> dict[str, str]:
    if "origin" not in rows.column_names or not rows.num_rows:
        return {}
    return {"origin": "+".join(sorted(rows.column("origin").unique().to_pylist()))}
