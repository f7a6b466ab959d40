"""Which days of each source were ingested, what they hold, and which rows were refused for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from perennial.contracts import Source
from perennial.io.refusals import Refused, by_day, refused
from perennial.io.rows import DISCARDED, QUARANTINE, STRAYS
from perennial.records import Record, Window
from perennial.spec import UseCase
from perennial.views.lakeasking import Tables

if TYPE_CHECKING:
    from perennial.adapters import Adapters

Kind = Literal["rows", "empty", "absent"]


@dataclass(frozen=True, slots=True)
class Stretch(Record):
    """Days in a row of a source that are alike: with rows, ingested without rows, or never ingested."""

    kind: Kind
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class SourceDays(Record):
    """The days of a source within a window.

    Attributes:
        name: its name.
        reference: whether it is a snapshot as a whole, of which each day sees the newest.
        oldest: its first ingested day, in the window or not; None where there is none.
        newest: its newest one.
        ingested: how many days of the window were ingested.
        absent: how many of them should have been by now and never were.
        stretches: the window from end to end.
        published: rows that the features can see, by day.
        refused: rows in quarantine, by day.
        known: False where its table cannot be read.
    """

    name: str
    reference: bool
    oldest: date | None
    newest: date | None
    ingested: int
    absent: int
    stretches: tuple[Stretch, ...]
    published: Mapping[date, int]
    refused: Mapping[date, int]
    known: bool = True


@dataclass(frozen=True, slots=True)
class Refusals(Record):
    """Rows of a source that were refused for one reason; a row with several reasons is in each of them.

    Attributes:
        source: its name.
        reason: as the suite says it.
        rows: in quarantine now.
        discarded: taken out of it for good, by a person.
        first: the oldest day that has such rows; None where all belong to no day.
        last: the newest one.
        days: how many days have such rows.
        strays: rows that belong to no day.
        by_day: rows in quarantine on each day of the window, oldest first.
    """

    source: str
    reason: str
    rows: int
    discarded: int
    first: date | None
    last: date | None
    days: int
    strays: int
    by_day: tuple[int, ...]


def of(
    case: UseCase, source: Source, window: Window, adapters: Adapters, *, tables: Tables, now: datetime
) -> tuple[SourceDays, tuple[Refused, ...]]:
    """Return the days of a source, and its refused rows.

    Args:
        case: whose source.
        source: which.
        window: the days to look at.
        adapters: the lake.
        tables: notes what cannot be read.
        now: the moment at which that is asked.
    """
    table, lake = case.raw_table(source.name), adapters.lake
    written: frozenset[date] = tables.ask(table, lambda: frozenset(lake.written(table)), otherwise=frozenset())
    held: Mapping[date, int] = tables.ask(
        table, lambda: {day: each.rows for day, each in lake.held(table).items()}, otherwise={}
    )
    bad: tuple[Refused, ...] = tables.ask(table, lambda: refused(lake, table, window), otherwise=())
    hidden, kept = by_day(bad), by_day(bad, place=QUARANTINE)
    days = tuple(window.days())
    expected = _expected(case, source, written, now=now)
    found = SourceDays(
        name=source.name,
        reference=source.is_reference,
        oldest=min((day for day in written if day != STRAYS), default=None),
        newest=max((day for day in written if day != STRAYS), default=None),
        ingested=sum(day in written for day in days),
        absent=sum(day in expected and day not in written for day in days),
        stretches=_stretches(days, written, held),
        published={day: held.get(day, 0) - hidden[day] for day in days if day in written},
        refused={day: kept[day] for day in days if kept[day]},
        known=table not in tables.failed,
    )
    return found, bad


def _expected(case: UseCase, source: Source, written: Iterable[date], *, now: datetime) -> frozenset[date]:
    """Return the days that should be there by now: from the first ingested one on; none of a reference table."""
    first = min((day for day in written if day != STRAYS), default=None)
    if first is None or source.is_reference:
        return frozenset()
    end = (now - timedelta(hours=case.alerts.deadline_hours)).date() + timedelta(days=source.known_ahead_days)
    return frozenset(Window(first, max(first, end)).days())


def _stretches(
    days: Sequence[date], written: Iterable[date], held: Mapping[date, int]
) -> tuple[Stretch, ...]:  # fmt: skip
    there = frozenset(written)

    def kind(day: date) -> Kind:
        return "absent" if day not in there else "rows" if held.get(day) else "empty"

    grouped = ((name, tuple(each)) for name, each in groupby(days, key=kind))
    return tuple(Stretch(name, each[0], each[-1]) for name, each in grouped)


def grouped(found: Mapping[str, Sequence[Refused]], window: Window) -> tuple[Refusals, ...]:
    """Return the refused rows of all sources by source and reason, the most rows first."""
    groups = []
    for source, rows in found.items():
        reasons = dict.fromkeys(reason for each in rows for reason in each.reasons)
        groups += [
            _group(source, reason, [each for each in rows if reason in each.reasons], window) for reason in reasons
        ]
    return tuple(sorted(groups, key=lambda each: (-each.rows, each.source, each.reason)))


def _group(source: str, reason: str, rows: Sequence[Refused], window: Window) -> Refusals:
    kept = Counter(by_day(rows, place=QUARANTINE))
    days = sorted(day for day in kept if day != STRAYS)
    return Refusals(
        source=source,
        reason=reason,
        rows=sum(kept.values()),
        discarded=sum(by_day(rows, place=DISCARDED).values()),
        first=days[0] if days else None,
        last=days[-1] if days else None,
        days=len(days),
        strays=kept[STRAYS],
        by_day=tuple(kept[day] for day in window.days()),
    )
