"""One day of a use case's data: its snapshot, its sources and their checks, its refused rows, and its lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.io.lake import Held, Written
from perennial.io.lineage import Behind
from perennial.io.refusals import Refused, by_day, refused
from perennial.io.rows import DISCARDED, QUARANTINE
from perennial.io.validations import Validated, validated
from perennial.records import Json, Record, Window
from perennial.spec import UseCase
from perennial.stages import quarantine
from perennial.stages.quarantine import Chosen
from perennial.views import calendar, daylineage, sourcedays
from perennial.views.asking import Inquiry
from perennial.views.calendar import CalendarDay, Known
from perennial.views.daylineage import DayLineage
from perennial.views.lakeasking import Tables
from perennial.views.sourcedays import Refusals

if TYPE_CHECKING:
    from perennial.adapters import Adapters

SAMPLES = 8  # refused rows shown of a source


@dataclass(frozen=True, slots=True)
class Writing(Record):
    """When the content of a day was written, and by which run: the first time and the last.

    `version` is that of the table which the last time made.
    """

    first: datetime
    first_run: str
    last: datetime
    last_run: str
    times: int
    version: int

    @classmethod
    def of(cls, written: Written | None) -> Writing | None:
        """Return the same as a record; None where the day was never written."""
        if written is None:
            return None
        return cls(*(getattr(written, each.name) for each in fields(cls)))


@dataclass(frozen=True, slots=True)
class SourceOnDay(Record):
    """What a source holds of a day.

    Attributes:
        name: its name.
        reference: whether it is a snapshot as a whole; then `day` is the one that this day sees.
        day: the day that is told of; None where nothing of it is there.
        written: when it was written; None where it was never ingested.
        published: rows that the features can see.
        quarantined: rows refused and kept.
        discarded: rows taken out for good.
        checks: what was kept of its checks; None where nothing was.
        samples: some of the refused rows, as `perennial quarantine show` prints them.
        known: False where its table cannot be read.
    """

    name: str
    reference: bool
    day: date | None
    written: Writing | None
    published: int
    quarantined: int
    discarded: int
    checks: Validated | None
    samples: tuple[Json, ...]
    known: bool = True


@dataclass(frozen=True, slots=True)
class DayView(Record):
    """What the page of one day shows; `before` and `after` are the days beside it.

    `since` is when the first day of all was written: what was due before cannot have been late.
    """

    case: str
    at: datetime
    today: CalendarDay
    before: date
    after: date | None
    due: datetime
    since: datetime | None
    written: Writing | None
    sources: tuple[SourceOnDay, ...]
    refusals: tuple[Refusals, ...]
    lineage: DayLineage
    outages: tuple[str, ...] = ()


def run(case: UseCase, day: date, adapters: Adapters, *, now: datetime) -> DayView:
    """Return what the page of one day shows.

    Args:
        case: whose day.
        day: the day.
        adapters: lake, pages and registry.
        now: the moment at which it is asked.
    """
    tables, inquiry = Tables(), Inquiry()
    found = [_source(case, source, day, adapters, tables=tables, inquiry=inquiry) for source in case.sources]
    sources, bad = [each for each, _ in found], {each.name: rows for each, rows in found}
    behind = _behind(case, day, adapters, tables=tables)
    quarantined = sum(each.quarantined for each in sources)
    known = _known(case, day, behind, adapters, quarantined=quarantined, tables=tables)
    (today,) = calendar.judged(case, [day], known, now=now)
    lineage = daylineage.of(case, day, behind, adapters, tables=tables, inquiry=inquiry)
    return DayView(
        case=case.name,
        at=now,
        today=today,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1) if calendar.ended(day) <= now else None,
        due=calendar.due(case, day),
        since=min((each.first for each in known.written.values()), default=None),
        written=Writing.of(known.written.get(day)),
        sources=tuple(sources),
        refusals=sourcedays.grouped(bad, Window.of_day(day)),
        lineage=lineage,
        outages=(*tables.outages, *inquiry.outages),
    )


def _behind(case: UseCase, day: date, adapters: Adapters, *, tables: Tables) -> Behind | None:
    """Return what the snapshot was built from; None where a source, or what was kept, cannot be read."""
    if tables.failed:
        return None
    return tables.ask(case.features_lineage, lambda: adapters.lineage.behind(case, day), otherwise=None)


def _known(
    case: UseCase, day: date, behind: Behind | None, adapters: Adapters, *, quarantined: int, tables: Tables
) -> Known:  # fmt: skip
    table, lake = case.features_table, adapters.lake
    written: Mapping[date, Written] = tables.ask(table, lambda: lake.written(table), otherwise={})
    held: Mapping[date, Held] = tables.ask(table, lambda: lake.held(table), otherwise={})
    states = {day: behind.state} if behind else {}
    return Known(written, states, {day: held[day].rows if day in held else 0}, {day: quarantined})


def _source(
    case: UseCase, source: Source, day: date, adapters: Adapters, *, tables: Tables, inquiry: Inquiry
) -> tuple[SourceOnDay, Sequence[Refused]]:  # fmt: skip
    table, lake = case.raw_table(source.name), adapters.lake
    written: Mapping[date, Written] = tables.ask(table, lambda: lake.written(table), otherwise={})
    seen = _seen(source, day, written)
    held: Mapping[date, int] = tables.ask(
        table, lambda: {at: each.rows for at, each in lake.held(table).items()}, otherwise={}
    )
    # A reference table's rows are those of the snapshot that the day sees.
    window = Window.of_day(seen or day)
    refusals: Sequence[Refused] = tables.ask(table, lambda: refused(lake, table, window), otherwise=())
    bad = [each for each in refusals if each.day == seen]
    kept, gone = (sum(by_day(bad, place=place).values()) for place in (QUARANTINE, DISCARDED))
    pages = adapters.settings.pages_root
    found = SourceOnDay(
        name=source.name,
        reference=source.is_reference,
        day=seen,
        written=Writing.of(written.get(seen) if seen else None),
        published=held.get(seen, 0) - kept - gone if seen else 0,
        quarantined=kept,
        discarded=gone,
        checks=inquiry.ask(DataError, lambda: validated(pages, case.name, source.name, day), otherwise=None),
        samples=samples(case, adapters, Chosen(source.name, window), tables=tables, limit=SAMPLES) if kept else (),
        known=table not in tables.failed,
    )
    return found, bad


def _seen(source: Source, day: date, written: Mapping[date, Written]) -> date | None:
    """Return the day of a source that is told of a day: itself, or the snapshot that it sees."""
    if not source.is_reference:
        return day if day in written else None
    return max((each for each in written if each <= day), default=min(written, default=None))


def samples(
    case: UseCase, adapters: Adapters, chosen: Chosen, *, tables: Tables, limit: int
) -> tuple[Json, ...]:  # fmt: skip
    """Return some refused rows, none where the table cannot be read.

    Args:
        case: whose rows.
        adapters: the lake.
        chosen: which rows; names a source.
        tables: notes what cannot be read.
        limit: how many at most.
    """
    table = case.raw_table(chosen.source or "")
    return tables.ask(table, lambda: tuple(quarantine.shown(case, adapters, chosen, limit=limit)), otherwise=())
