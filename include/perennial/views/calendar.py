"""What became of each day of the features: built, late, stale, missing - and what each of these words means.

| state | a day of which |
|---|---|
| built | the snapshot is there and agrees with the sources and the definition of now |
| late | the same, but it was not there when it was due: the first commit that wrote it came later |
| stale | the snapshot is there, and its sources or its definition have changed since it was built |
| missing | no snapshot is there, though it was due; days before the first snapshot are not missing |
| waiting | no snapshot is there, and it is not due yet |
| before | no snapshot is there, and none of the days before it has one |
| open | the day is not over |

A day is due `alerts.deadline_hours` after the midnight that ends it. Whatever was due before the first commit of the
table cannot have been late: it is history that a backfill has built. A day is of the first state that fits, from
missing over stale and late to built; that rows of it were refused is told beside its state.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Literal

from perennial.changes import DayState
from perennial.io.lake import Written
from perennial.io.pages import moment
from perennial.records import Record
from perennial.spec import UseCase

State = Literal["built", "late", "stale", "missing", "waiting", "before", "open"]
NEEDS_WORK = ("missing", "stale")


@dataclass(frozen=True, slots=True)
class CalendarDay(Record):
    """One day.

    Attributes:
        day: the day.
        state: as the module's table says.
        reason: why; empty where the state says all.
        rows: of its snapshot.
        refused: rows of all sources that lie in this day's quarantine.
        written: when its snapshot was first written.
    """

    day: date
    state: State
    reason: str = ""
    rows: int = 0
    refused: int = 0
    written: datetime | None = None


@dataclass(frozen=True, slots=True)
class Span(Record):
    """Days in a row that need work for the same kind of reason."""

    state: State
    first: date
    last: date
    days: int
    reason: str


@dataclass(frozen=True, slots=True)
class Month:
    """A month as weeks of seven days from Monday on; a day of another month is None."""

    name: str
    weeks: tuple[tuple[CalendarDay | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What the lake says of the snapshots.

    Attributes:
        written: when each day was written.
        states: whether each day agrees with what it was made from; empty where that is not known.
        rows: of each day.
        refused: rows in the quarantine of each day.
    """

    written: Mapping[date, Written]
    states: Mapping[date, DayState]
    rows: Mapping[date, int]
    refused: Mapping[date, int]


def ended(day: date) -> datetime:
    """Return the moment at which a day is over."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def due(case: UseCase, day: date) -> datetime:
    """Return by when the snapshot of a day has to be there."""
    return ended(day) + timedelta(hours=case.alerts.deadline_hours)


def judged(case: UseCase, days: Iterable[date], known: Known, *, now: datetime) -> tuple[CalendarDay, ...]:
    """Return what became of each day.

    Args:
        case: whose days.
        days: which.
        known: what the lake says.
        now: the moment at which that is asked.
    """
    first, since = min(known.written, default=None), min((each.first for each in known.written.values()), default=None)
    found = []
    for day in days:
        written = known.written.get(day)
        if written is None or since is None:
            state, reason = _absent(case, day, first=first, now=now)
        else:
            state, reason = _there(case, day, written, known.states.get(day), since=since)
        found.append(
            CalendarDay(
                day,
                state,
                reason,
                known.rows.get(day, 0),
                known.refused.get(day, 0),
                written.first if written else None,
            )
        )
    return tuple(found)


def _absent(case: UseCase, day: date, *, first: date | None, now: datetime) -> tuple[State, str]:
    if now < ended(day):
        return "open", "the day is not over"
    if first is None or day < first:
        return "before", "never built; no day before it is, either"
    if now < due(case, day):
        return "waiting", f"due by {moment(due(case, day))}"
    return "missing", f"was due by {moment(due(case, day))}, and is not there"


def _there(
    case: UseCase, day: date, written: Written, found: DayState | None, *, since: datetime
) -> tuple[State, str]:  # fmt: skip
    if found is not None and found.state == "stale":
        return "stale", found.reason
    if since <= due(case, day) < written.first:
        return "late", f"was due by {moment(due(case, day))}, and first written at {moment(written.first)}"
    return "built", ""


def counted(days: Iterable[CalendarDay]) -> dict[str, int]:
    """Return how many days have each state, and how many have rows in quarantine."""
    listed = tuple(days)
    return dict(Counter(each.state for each in listed)) | {"quarantined": sum(each.refused > 0 for each in listed)}


def needing_work(days: Sequence[CalendarDay]) -> tuple[Span, ...]:
    """Return the days that are missing or stale, those in a row with the same kind of reason as one, newest first."""
    spans = []
    for (state, _kind), each in groupby(days, key=lambda day: (day.state, _kind_of(day))):
        group = tuple(each)
        if state in NEEDS_WORK:
            spans.append(Span(state, group[0].day, group[-1].day, len(group), group[-1].reason))
    return tuple(reversed(spans))


def _kind_of(day: CalendarDay) -> str:
    """Return a reason without its days: those of neighbours differ in them."""
    return "; ".join(part.split(" of ")[0] for part in day.reason.split("; ")) if day.state == "stale" else ""


def months(days: Sequence[CalendarDay]) -> tuple[Month, ...]:
    """Return whole months as weeks; `days` are without a gap, and begin with the first day of a month."""
    by_day = {each.day: each for each in days}
    named = dict.fromkeys((each.day.year, each.day.month) for each in days)
    return tuple(
        Month(f"{calendar.month_name[month]} {year}", tuple(_weeks(year, month, by_day))) for year, month in named
    )


def _weeks(year: int, month: int, by_day: Mapping[date, CalendarDay]) -> Iterator[tuple[CalendarDay | None, ...]]:
    for week in calendar.Calendar().monthdatescalendar(year, month):
        yield tuple(by_day.get(day) if day.month == month else None for day in week)
