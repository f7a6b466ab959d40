"""Commits: what is told to a table's log, and what it says of the days that were written.

Each commit names its days in its own metadata, and holds an application transaction for each of them with the day's
revision: how often its content was written. Two writers of one day conflict by it instead of mixing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlparse
from uuid import uuid4

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction

from perennial.io.datafiles import DataFile
from perennial.io.partitions import DAY, SPAN


@dataclass(frozen=True, slots=True)
class Written:
    """When the content of a day was written, and by which run: the first time and the last; a run may be unknown.

    `version` is that of the table which the last time made.
    """

    first: datetime
    first_run: str
    last: datetime
    last_run: str
    times: int
    version: int


FEW_DAYS = 3  # up to so many, asking for each day's transaction is faster than one walk over all commits


def replace_days(
    delta: DeltaTable, days: Mapping[date, int], files: Sequence[DataFile], schema: pa.Schema, metadata: dict[str, str]
) -> int:
    """Let the log name the files as all that `days` hold, which get these revisions; return the version it makes."""
    before: int = delta.version()
    name = str(uuid4())
    delta.create_write_transaction(
        [_added(file) for file in files],
        mode="overwrite",
        schema=schema,
        partition_by=[DAY],
        partition_filters=[(DAY, "in", [day.isoformat() for day in days])],
        commit_properties=CommitProperties(
            custom_metadata={
                **metadata,
                DAY: ",".join(day.isoformat() for day in days),
                "rows": str(sum(file.rows for file in files)),
                "commit": name,
            },
            app_transactions=[Transaction(_marker(day), revision) for day, revision in days.items()],
        ),
    )
    # Others may have written before or behind it; the history of a moving table would be numbered wrongly.
    log = Path(unquote(urlparse(delta.table_uri).path)) / "_delta_log"
    return next(number for number in count(before + 1) if name in (log / f"{number:020d}.json").read_text())


def _added(file: DataFile) -> AddAction:
    # No column's least and greatest values: a log is no place for what the rows say.
    stats = json.dumps({"numRecords": file.rows})
    return AddAction(file.path, file.bytes, {DAY: file.day.isoformat()}, file.modified, data_change=True, stats=stats)


def _history(delta: DeltaTable) -> list[dict[str, object]]:
    """Return the commits up to the version that was opened, newest first."""
    # deltalake lists the commits behind it too, under wrong numbers.
    return list(delta.history()[-(delta.version() + 1) :])


def revisions(delta: DeltaTable | None, days: Iterable[date]) -> dict[date, int]:
    """Return how many commits wrote each of `days`, from what the commits say about themselves.

    One walk over the log for many days; a day's application transaction says the same of that day alone. Where a
    commit of an earlier release names a span of days instead of each, only the transactions know.
    """
    asked = list(days)
    named = [] if delta is None or len(asked) <= FEW_DAYS else [str(each.get(DAY, "")) for each in _history(delta)]
    if delta is not None and (len(asked) <= FEW_DAYS or any(SPAN in each for each in named)):
        return {day: delta.transaction_version(_marker(day)) or 0 for day in asked}
    counted = Counter(day for written in named for day in written.split(","))
    return {day: counted[day.isoformat()] for day in asked}


def written(delta: DeltaTable | None) -> dict[date, Written]:
    """Return when each day was written, from what the commits say about themselves; one walk over the log."""
    found: dict[date, Written] = {}
    for version, commit in enumerate(reversed([] if delta is None else _history(delta))):
        at = datetime.fromtimestamp(int(str(commit["timestamp"])) / 1000, UTC)
        run = str(commit.get("run", ""))
        for day in _named(str(commit.get(DAY, ""))):
            known = found.get(day) or Written(at, run, at, run, 0, version)
            found[day] = replace(known, last=at, last_run=run, times=known.times + 1, version=version)
    return found


def _named(text: str) -> Iterator[date]:
    """Yield the days that a commit names: each by itself, or in an earlier release the first and the last of a span."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition(SPAN)
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
        yield from (start + timedelta(days=offset) for offset in range((end - start).days + 1))


def _marker(day: date) -> str:
    return f"{DAY}:{day.isoformat()}"
