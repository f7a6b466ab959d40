"""Quarantine: list, show, re-drive and discard the rows that a day went on without.

A refused row lies in its day of `raw/<case>/<source>`, marked with its place. Each of these steps rewrites the days it
changes in one commit; where another writer was faster the step is done again on what that one left. So a row is
re-driven once, whoever else tries, and a crash leaves it where it was.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial.changes import QuarantineRecord, RedriveRecord
from perennial.contracts import Source
from perennial.errors import DataError, nearest
from perennial.io import rows as lake_rows
from perennial.io.rows import (
    DISCARDED,
    PAYLOAD,
    PLACE,
    PUBLISHED,
    QUARANTINE,
    REASONS,
    RUN,
    STRAYS,
    SUITE,
    TRACE,
    in_order,
)
from perennial.records import Commit, Json, Window, plain
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

FOREVER = Window(date(1900, 1, 1), date(9999, 1, 1))
Verb = Literal["redriven", "discarded"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which refused rows are meant; what is None is not asked for.

    Attributes:
        source: name of a source; all of them by default.
        days: half-open span of days; rows that belong to no day lie in 1970-01-01.
        rows: ids as `show` prints them.
        reason: part of one of a row's reasons.
    """

    source: str | None = None
    days: Window | None = None
    rows: frozenset[str] | None = None
    reason: str | None = None

    def means(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row is in quarantine and asked for."""
        if row[PLACE] != QUARANTINE or (self.rows is not None and lake_rows.row_id(row) not in self.rows):
            return False
        return self.reason is None or any(self.reason in each for each in json.loads(row[REASONS]))


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides about rows, when, why, and in which run."""

    who: str
    at: datetime
    reason: str
    run: str


def listed(case: UseCase, adapters: Adapters, chosen: Chosen | None = None) -> tuple[QuarantineRecord, ...]:
    """Return how many rows are in quarantine, by source, day and reasons; oldest first."""
    chosen = chosen or Chosen()
    counted: Counter[tuple[str, date, str, str]] = Counter()
    for source in _sources(case, chosen):
        for row in _refused(case, source, adapters, chosen):
            counted[source.name, row["day"], row[REASONS], row[SUITE]] += 1
    return tuple(
        QuarantineRecord(case.name, source, day, tuple(json.loads(reasons)), suite, rows)
        for (source, day, reasons, suite), rows in sorted(counted.items())
    )


def shown(case: UseCase, adapters: Adapters, chosen: Chosen, *, limit: int = 100) -> list[Json]:
    """Return refused rows whole: id, source, day, reasons, version of the suite, run, and what the source said."""
    return list(islice(_told(case, adapters, chosen), limit))


def _told(case: UseCase, adapters: Adapters, chosen: Chosen) -> Iterator[Json]:
    for source in _sources(case, chosen):
        for row in _refused(case, source, adapters, chosen):
            content = {name: value for name, value in lake_rows.content(row).items() if name != PAYLOAD}
            yield {
                "id": lake_rows.row_id(row),
                "source": source.name,
                "day": row["day"].isoformat(),
                "reasons": json.loads(row[REASONS]),
                "suite": row[SUITE],
                "run": row[RUN],
                "row": plain(content) if row[PAYLOAD] is None else row[PAYLOAD],
            }


def redrive(case: UseCase, adapters: Adapters, chosen: Chosen, decision: Decision) -> tuple[RedriveRecord, ...]:
    """Hold refused rows against the suite as it is now; those that pass are published in their day.

    A row is judged beside the published rows of its day, so that a key stays unique. What the source never typed, or
    what belongs to no day, cannot pass: correct the source and ingest its day again.

    Raises:
        SpecError: an expectation cannot be used.
        LakeError: a day could not be written; its rows are where they were.
    """

    def passing(source: Source, refused: list[dict[str, Any]], published: pa.Table) -> set[int]:
        asked = [at for at, row in enumerate(refused) if chosen.means(row) and _can_pass(source, row)]
        candidates = pa.Table.from_pylist([refused[at] for at in asked], schema=published.schema)
        together = pa.concat_tables([published, candidates]).drop_columns(["day", *lake_rows.BOOKKEEPING])
        found = adapters.expectations.check(together, case.expectations(source.name), name=source.name).refused
        return {at for position, at in enumerate(asked, start=published.num_rows) if position not in found}

    return _decide(case, adapters, chosen, decision, "redriven", passing)


def days_to_read_again(case: UseCase, adapters: Adapters, chosen: Chosen) -> dict[str, tuple[date, ...]]:
    """Return, by source, the days to ingest again once a source was corrected.

    A row that belonged to no day may belong to any of them then: so all days that were ever ingested are read.
    """
    again = {}
    for source in _sources(case, chosen):
        days = {row["day"] for row in _refused(case, source, adapters, chosen)}
        if STRAYS in days:
            days |= set(adapters.lake.days(case.raw_table(source.name)))
        if days - {STRAYS}:
            again[source.name] = tuple(sorted(days - {STRAYS}))
    return again


def discard(case: UseCase, adapters: Adapters, chosen: Chosen, decision: Decision) -> tuple[RedriveRecord, ...]:
    """Take refused rows out of the quarantine for good; they stay in the lake with who discarded them and why.

    The same row stays discarded when its day is ingested again.

    Raises:
        DataError: no reason was given.
        LakeError: a day could not be written; its rows are where they were.
    """
    if not decision.reason.strip():
        raise DataError("Discarding rows needs a reason, which is kept with them: --reason 'test order'.")

    def all_meant(_source: Source, refused: list[dict[str, Any]], _published: pa.Table) -> set[int]:
        return {at for at, row in enumerate(refused) if chosen.means(row)}

    return _decide(case, adapters, chosen, decision, "discarded", all_meant)


Picker = Callable[[Source, list[dict[str, Any]], pa.Table], set[int]]


def _decide(
    case: UseCase, adapters: Adapters, chosen: Chosen, decision: Decision, verb: Verb, picked: Picker
) -> tuple[RedriveRecord, ...]:
    """Move the picked rows of each day to their new place, a day a commit."""
    records = []
    for source in _sources(case, chosen):
        days = sorted({row["day"] for row in _refused(case, source, adapters, chosen)})
        move = _Move(chosen, decision, verb, picked)
        records += [_decide_day(case, source, day, adapters, move) for day in days]
    return tuple(records)


@dataclass(frozen=True, slots=True)
class _Move:
    chosen: Chosen
    decision: Decision
    verb: Verb
    picked: Picker


def _decide_day(case: UseCase, source: Source, day: date, adapters: Adapters, move: _Move) -> RedriveRecord:
    counts: dict[str, int] = {}

    def change(stored: Mapping[date, pa.Table]) -> dict[date, pa.Table]:
        rows = stored[day]
        in_quarantine = pc.equal(rows.column(PLACE), QUARANTINE)
        refused, rest = rows.filter(in_quarantine).to_pylist(), rows.filter(pc.invert(in_quarantine))
        moved = move.picked(source, refused, rest.filter(pc.equal(rest.column(PLACE), PUBLISHED)))
        counts["asked"] = sum(move.chosen.means(row) for row in refused)
        counts["moved"], counts["in_quarantine"] = len(moved), len(refused) - len(moved)
        new = [_moved(row, move) if at in moved else row for at, row in enumerate(refused)]
        whole = pa.concat_tables([rest, pa.Table.from_pylist(new, schema=rows.schema)])
        return {day: in_order(whole, source.keys)}

    metadata = {"case": case.name, "run": move.decision.run, move.verb: move.decision.who}
    (commit,) = adapters.lake.update_days(case.raw_table(source.name), [day], change, metadata=metadata)
    return _record(case, source, commit, counts)


def _moved(row: dict[str, Any], move: _Move) -> dict[str, Any]:
    """Return a row in its new place, with the trace of where it was and who moved it."""
    before = {"reasons": json.loads(row[REASONS]), "suite": row[SUITE], "run": row[RUN]}
    decision = move.decision
    trace = {
        move.verb: {"by": decision.who, "at": decision.at.isoformat(), "why": decision.reason, "run": decision.run},
        "before": before,
    }
    if move.verb == "redriven":
        return row | {PLACE: PUBLISHED, REASONS: None, SUITE: None, RUN: None, TRACE: json.dumps(trace)}
    return row | {PLACE: DISCARDED, TRACE: json.dumps(trace)}


def _record(case: UseCase, source: Source, commit: Commit, counts: Mapping[str, int]) -> RedriveRecord:
    return RedriveRecord(
        case=case.name,
        source=source.name,
        day=commit.day,
        version=commit.version,
        **counts,
    )


def _sources(case: UseCase, chosen: Chosen) -> Sequence[Source]:
    if chosen.source is None:
        return case.sources
    names = [source.name for source in case.sources]
    if chosen.source not in names:
        raise DataError(f"{case.name!r} has no source {chosen.source!r}. {nearest(chosen.source, names)}")
    return [case.source(chosen.source)]


def _refused(case: UseCase, source: Source, adapters: Adapters, chosen: Chosen) -> Iterator[dict[str, Any]]:
    """Yield the rows that are meant; who stops early has read little more than that."""
    table = case.raw_table(source.name)
    if adapters.lake.version(table) is None:
        return
    window = chosen.days or FOREVER
    days = [("day", ">=", str(window.start)), ("day", "<", str(window.end))]
    dataset = adapters.lake.dataset(table, only=days)
    if PLACE not in dataset.schema.names:
        return  # written before rows had places
    wanted = pc.field(PLACE) == QUARANTINE
    wanted &= (pc.field("day") >= window.start) & (pc.field("day") < window.end)
    for batch in dataset.to_batches(filter=wanted):
        yield from (row for row in batch.to_pylist() if chosen.means(row))


def _can_pass(source: Source, row: Mapping[str, Any]) -> bool:
    """Tell whether a row has types and lies in the day that its time names."""
    if row[PAYLOAD] is not None or row["day"] == STRAYS:
        return False
    time = row[source.time_column] if source.time_column else row["day"]
    day = time.date() if isinstance(time, datetime) else time
    return bool(day == row["day"])
