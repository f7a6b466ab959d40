"""The data of a use case over some months: a calendar of its days, its sources, row counts and refused rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from perennial.changes import DayState
from perennial.io.lake import Written
from perennial.records import Record, Window
from perennial.spec import UseCase
from perennial.views import calendar, sourcedays
from perennial.views.calendar import CalendarDay, Known, Month, Span
from perennial.views.charts import Chart, Panel, Trace
from perennial.views.lakeasking import Tables
from perennial.views.sourcedays import Refusals, SourceDays

if TYPE_CHECKING:
    from perennial.adapters import Adapters

MONTHS = 4
TONES: tuple[Any, ...] = ("bad", "warn", "other", "third", "dim")


@dataclass(frozen=True, slots=True)
class DataView(Record):
    """What the Data page shows.

    Attributes:
        case: the use case.
        at: when it was asked.
        first: first day shown, the first of a month.
        last: last day shown, the last of a month.
        older: the day to ask for to see the months before; None where there are none.
        newer: the same of the months behind.
        oldest: the first day with a snapshot; None where there is none.
        newest: the last day with a snapshot.
        due: when the next snapshot has to be there.
        days: all days shown.
        spans: those that need work.
        counted: days by state, and those with rows in quarantine.
        sources: in the order of the spec.
        counts: rows by day.
        refusals: refused rows of the days shown, by source and reason.
        outages: what cannot be read, a sentence each.
    """

    case: str
    at: datetime
    first: date
    last: date
    older: date | None
    newer: date | None
    oldest: date | None
    newest: date | None
    due: datetime
    days: tuple[CalendarDay, ...]
    spans: tuple[Span, ...]
    counted: Mapping[str, int]
    sources: tuple[SourceDays, ...]
    counts: Chart
    refusals: tuple[Refusals, ...]
    outages: tuple[str, ...] = ()

    @property
    def months(self) -> tuple[Month, ...]:
        """Return the days as months of weeks."""
        return calendar.months(self.days)

    @property
    def window(self) -> Window:
        """Return the days shown."""
        return Window(self.first, self.last + timedelta(days=1))


def run(case: UseCase, adapters: Adapters, *, now: datetime, until: date | None = None) -> DataView:
    """Return what the Data page shows.

    Args:
        case: whose data.
        adapters: the lake.
        now: the moment at which it is asked.
        until: a day of the last month to show; by default that of `now`.
    """
    window, tables = shown(until or now.date()), Tables()
    read = [sourcedays.of(case, source, window, adapters, tables=tables, now=now) for source in case.sources]
    sources = tuple(found for found, _ in read)
    known = _known(case, adapters, window, sources, tables=tables)
    days = calendar.judged(case, window.days(), known, now=now)
    newest = max(known.written, default=None)
    oldest = min([*known.written, *(each.oldest for each in sources if each.oldest)], default=None)
    return DataView(
        case=case.name,
        at=now,
        first=window.start,
        last=window.end - timedelta(days=1),
        older=window.start - timedelta(days=1) if oldest and oldest < window.start else None,
        newer=_months_later(window.end, MONTHS - 1) if window.end <= now.date() else None,
        oldest=min(known.written, default=None),
        newest=newest,
        due=calendar.due(case, newest + timedelta(days=1) if newest else now.date()),
        days=days,
        spans=calendar.needing_work(days),
        counted=calendar.counted(days),
        sources=sources,
        counts=_counts(days, sources),
        refusals=sourcedays.grouped({found.name: bad for found, bad in read}, window),
        outages=tables.outages,
    )


def shown(until: date) -> Window:
    """Return the whole months of which the last is that of a day.

    >>> str(shown(date(2026, 3, 9)).start), str(shown(date(2026, 3, 9)).end)
    ('2025-12-01', '2026-04-01')
    """
    return Window(_months_later(until, 1 - MONTHS), _months_later(until, 1))


def _months_later(day: date, months: int) -> date:
    """Return the first of the month so many months after that of `day`."""
    at = day.year * 12 + day.month - 1 + months
    return date(at // 12, at % 12 + 1, 1)


def _known(
    case: UseCase, adapters: Adapters, window: Window, sources: Sequence[SourceDays], *, tables: Tables
) -> Known:  # fmt: skip
    """Return what the lake says of the snapshots of a window."""
    table, lake = case.features_table, adapters.lake
    written: Mapping[date, Written] = tables.ask(table, lambda: lake.written(table), otherwise={})
    rows: Mapping[date, int] = tables.ask(
        table, lambda: {day: each.rows for day, each in lake.held(table).items()}, otherwise={}
    )
    asked = [day for day in window.days() if day in written]
    states: tuple[DayState, ...] = ()
    if asked and not tables.failed:  # a source that cannot be read would make every day look changed
        states = tables.ask(case.features_lineage, lambda: adapters.lineage.features(case, asked), otherwise=())
    refused = {day: sum(each.refused.get(day, 0) for each in sources) for day in window.days()}
    return Known(written, {each.day: each for each in states}, rows, refused)


def _counts(days: Sequence[CalendarDay], sources: Sequence[SourceDays]) -> Chart:
    """Return rows by day: of the snapshots, of each source that has days, and of the quarantine."""
    over = [each for each in days if each.state != "open"]
    x = tuple(each.day.isoformat() for each in over)
    built = Trace("snapshot", x, tuple(float(each.rows) if each.written else None for each in over))
    panels = [Panel("Rows of the features", (built,))]
    for source in (each for each in sources if not each.reference):
        y = tuple(_value(source.published.get(each.day)) for each in over)
        if any(y):
            panels.append(Panel(f"{source.name}, published", (Trace(source.name, x, y, tone="other"),)))
    refused = [each for each in sources if each.refused]
    if refused:
        traces = tuple(
            Trace(each.name, x, tuple(float(each.refused.get(day.day, 0)) for day in over), kind="bar", tone=tone)
            for each, tone in zip(refused, TONES, strict=False)
        )
        panels.append(Panel("Refused", traces))
    return Chart("rows", "Rows by day", "day", tuple(panels))


def _value(rows: int | None) -> float | None:
    return None if rows is None else float(rows)
