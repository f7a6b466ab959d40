"""The simulated clickstream in PostgreSQL: written whole, or event by event as it is received; the truth beside it.

The newest `received_at` of the table is the place in the stream. A batch is one transaction and never ends between two
events of one microsecond, so whoever goes on behind that place repeats no event and leaves none out.

What a day's events follow from is written down with the first of them: a feed that is started with other dials applies
them from the first day that is not in the table yet, and the days before stay what they are.
"""

from __future__ import annotations

import hashlib
import logging
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from threading import Event

import numpy as np
import pyarrow as pa
import tenacity
from pydantic import TypeAdapter

from perennial.core.clickstream import DAY, MAX_AGE, Events, World, days, visitors_of
from perennial.errors import DataError, SourceError, SpecError
from perennial.io.clickstreams import (
    EPOCH,
    HORIZON_DAYS,
    TABLE,
    Progress,
    Simulated,
    Span,
    add_values,
    chances,
    deliveries,
    hidden_of,
    rows_of,
    visitors_from,
)
from perennial.io.tables import Tables, writing

# A schema of its own, so that a role which may read every table of the shop still sees none of it.
HIDDEN_SCHEMA = "clickstream_simulated_hidden"
TRUTH = f'"{HIDDEN_SCHEMA}"."visitors"'
ERAS = f'"{HIDDEN_SCHEMA}"."eras"'
EVENTS = f'"{TABLE}"'
KEY = ("event_id", "copy")
TRY_AGAIN_SECONDS = 2.0
BATCH_SECONDS = 1.0  # events of one second are one transaction
LOOK_AGAIN_SECONDS = 60.0  # a machine that slept does not count its sleep as waiting
WORLD = TypeAdapter(World)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Era:
    """From which day of events on a world holds, until the next one begins."""

    since: date
    world: World


def utc_now() -> datetime:
    """Return the time of the machine's clock."""
    return datetime.now(UTC)


def write_table(world: World, span: Span, address: str, *, progress: Progress | None = None) -> Simulated:
    """Write the table and what is hidden anew, in one transaction: readers see the old one until the new one is whole.

    Raises:
        SetupError: the address is none of a PostgreSQL, or its role may not write.
        SourceError: the server does not answer, or a feed writes the table.
    """
    digest, rows, made = hashlib.sha256(), 0, False
    with writing(address) as tables:
        _lock(tables)
        _make_hidden(tables, anew=True)
        tables.run(f"drop table if exists {EVENTS}")
        for _, events, table in deliveries(world, span, progress=progress):
            add_values(digest, table)
            rows += table.num_rows
            received = _with_receipt(table, events)
            if not made:
                tables.create(TABLE, received.schema)
                made = True
            tables.append(TABLE, received)
        _index(tables)
        _write_truth(tables, world, span.start - timedelta(days=MAX_AGE), span.end)
        _begin_era(tables, Era(span.start, world), followed=False)
        tables.commit()
    return Simulated(world.seed, span.start, span.end, rows, digest.hexdigest(), TABLE)


def truth(address: str, day: date, *, horizon_days: int = HORIZON_DAYS) -> pa.Table:
    """Return visitor_id and probability: how likely each was to buy in the days after `day`, given what is hidden.

    Args:
        address: of a connection that may read what is hidden.
        day: the snapshot; visitors who arrived up to MAX_AGE days before it are in the answer.
        horizon_days: how many days count.

    Raises:
        DataError: the truth of that day was not written.
    """
    with writing(address) as tables:
        arrived = [day - timedelta(days=age) for age in range(MAX_AGE + 1)]
        known = tables.value("select to_regclass($1) is not null", TRUTH)
        query = f"select * from {TRUTH} where day between $1::date and $2::date"
        found = tables.rows(query, str(arrived[-1]), str(day)) if known else None
        eras = _eras(tables) if known else []
    if found is None or len(found.column("day").unique()) < len(arrived):
        raise DataError(
            f"The truth of {day} is not beside the table {TABLE}. Run `perennial simulate --connection …` for the days "
            "around it."
        )
    parts = [visitors_from(each, found.filter(pa.compute.equal(found.column("day"), each))) for each in arrived]
    return chances(eras[-1].world, parts, day, horizon_days=horizon_days)


def newest(address: str) -> datetime | None:
    """Return when the newest event of the table was received, None where there is none."""
    with writing(address) as tables:
        return _newest(tables) if _there(tables) else None


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Give what SIGTERM and SIGINT set, instead of ending the process in the middle of a batch."""
    stop = Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def follow(
    world: World, first: date, address: str, *, stop: Event, clock: Callable[[], datetime] = utc_now,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Write every event from `first` up to now, then each when it is received, until `stop` is set.

    What is in the table stays and is gone on with. A server that does not answer is asked again until it does.

    Args:
        world: what to simulate; the dials may be others than before, the visitors may not.
        first: the first day of a table that is still empty; later starts go on and do not look at it.
        address: of a connection that may write, and make tables where there are none.
        stop: ends it after the batch that is being written.
        clock: when it is.
        progress: called with "simulated days" and "events of today", how many are written and how many there are.

    Raises:
        SpecError: the world's columns change, which those of a table cannot.
        DataError: the table holds other visitors, or was written whole.
        SetupError: the address is none of a PostgreSQL, or its role may not write.
    """
    if world.dials.schema_change != "none" or world.dials.leak != "none":
        raise SpecError("A table has the same columns on all its days: --schema-change and --leak are for files.")
    feed = _Feed(world, first, address, stop, clock, progress)
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(SourceError), wait=tenacity.wait_fixed(TRY_AGAIN_SECONDS),
        sleep=tenacity.sleep_using_event(stop), stop=tenacity.stop_when_event_set(stop),
        before_sleep=tenacity.before_sleep_log(log, logging.WARNING), retry_error_callback=lambda _: None,
    )  # fmt: skip
    patience(feed.run)


@dataclass(frozen=True, slots=True)
class _Feed:
    """One connection's worth of following."""

    world: World
    first: date
    address: str
    stop: Event
    clock: Callable[[], datetime]
    progress: Progress | None

    def run(self) -> None:
        """Go on where the table ends; ends when it is told to."""
        with writing(self.address) as tables:
            _lock(tables)
            _prepare(tables)
            eras = _agreed(tables, self.world, self.first)
            place = _newest(tables)
            begin = eras[0].since if place is None else place.date()
            log.info("%s: goes on behind %s", TABLE, place or f"nothing, from {begin} on")
            written = -1 if place is None else _microseconds(place)
            for day, events in received_by_day(eras, begin):
                self._write_day(tables, eras, day, events.where(_received_at(events) > written))
                if self.stop.is_set():
                    return

    def _write_day(self, tables: Tables, eras: Sequence[Era], day: date, events: Events) -> None:
        """Write a day's events as they become due, and with the first of them who arrives on that day."""
        due, done = _received_at(events), 0
        while done < len(due) and not self.stop.is_set():
            upto = int(np.searchsorted(due, _microseconds(self.clock()), side="right"))
            if upto > done:
                _write_truth(tables, eras[-1].world, _next_arrival(tables, eras), day + timedelta(days=1))
                batch = events.where(np.arange(done, upto))
                tables.append(TABLE, _with_receipt(rows_of(batch), batch))
                tables.commit()
                done = upto
                self._tell(day, eras, done, len(due))
            if done < len(due):
                self.stop.wait(self._patience(int(due[done])))
        if len(due) and done == len(due):
            log.info("%s: all %s events of %s are written", TABLE, done, day)

    def _patience(self, due: int) -> float:
        seconds = (due - _microseconds(self.clock())) / 1e6
        return min(max(seconds, BATCH_SECONDS), LOOK_AGAIN_SECONDS)

    def _tell(self, day: date, eras: Sequence[Era], done: int, total: int) -> None:
        today = self.clock().date()
        if self.progress is not None:
            self.progress("simulated days", (day - eras[0].since).days + 1, (today - eras[0].since).days + 1)
            if day == today:
                self.progress("events of today", done, total)


def received_by_day(eras: Sequence[Era], begin: date) -> Iterator[tuple[date, Events]]:
    """Yield of each day from `begin` on, without end, the events that are received in it, in the order of that.

    An event that comes days late is received at its own time of those days.
    """
    latest = max(era.world.dials.late_days for era in eras)
    waiting: dict[int, list[Events]] = defaultdict(list)
    for day, events in _happening(eras, max(eras[0].since, begin - timedelta(days=latest))):
        for received in np.unique(events.received):
            waiting[int(received)].append(events.where(events.received == received))
        parts = waiting.pop((day - EPOCH).days, [])
        if day >= begin and parts:
            together = Events(*(np.concatenate([getattr(each, name) for each in parts]) for name in Events.__slots__))
            yield day, together.where(np.lexsort((together.event, _received_at(together))))


def _happening(eras: Sequence[Era], start: date) -> Iterator[tuple[date, Events]]:
    ends = [*(era.since for era in eras[1:]), date.max]
    for era, end in zip(eras, ends, strict=True):
        if start < end:
            yield from days(era.world, max(era.since, start), end)


def _received_at(events: Events) -> np.ndarray:
    """Return microseconds since 1970."""
    return np.asarray(events.at + (events.received - events.at // DAY) * DAY)


def _with_receipt(rows: pa.Table, events: Events) -> pa.Table:
    """Add when each row was received, and which copy of its event it is; copies lie beside each other."""
    copy = np.zeros(len(events.event), np.int16)
    copy[1:] = events.event[1:] == events.event[:-1]
    received = pa.array(_received_at(events)).cast(pa.timestamp("us", "UTC"))
    return rows.append_column("received_at", received).append_column("copy", pa.array(copy))


def _microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _lock(tables: Tables) -> None:
    """Keep a second writer out for as long as this session lives."""
    if not tables.value("select pg_try_advisory_lock(hashtext($1))", TABLE):
        raise SourceError(f"Another process writes the table {TABLE}. Stop it; this one waits for its end.")


def _there(tables: Tables) -> bool:
    return bool(tables.value("select to_regclass($1) is not null", EVENTS))


def _newest(tables: Tables) -> datetime | None:
    found: datetime | None = tables.value(f"select max(received_at) from {EVENTS}")
    return found


def _prepare(tables: Tables) -> None:
    """Make what is not there yet."""
    _make_hidden(tables, anew=False)
    if not _there(tables):
        numbers = np.zeros(0, np.int64)
        nothing = Events(numbers, numbers, numbers, numbers, numbers.astype(np.int8), numbers, numbers)
        tables.create(TABLE, _with_receipt(rows_of(nothing), nothing).schema)
        _index(tables)
    tables.commit()


def _index(tables: Tables) -> None:
    tables.run(f"alter table {EVENTS} add primary key ({', '.join(KEY)})")
    for column in ("occurred_at", "received_at"):
        tables.run(f"create index on {EVENTS} ({column})")


def _make_hidden(tables: Tables, *, anew: bool) -> None:
    # `if not exists` would ask for the right to make schemas even where the schema is there.
    if not tables.value("select to_regnamespace($1) is not null", f'"{HIDDEN_SCHEMA}"'):
        tables.run(f'create schema "{HIDDEN_SCHEMA}"')
    for table in (TRUTH, ERAS) if anew else ():
        tables.run(f"drop table if exists {table}")
    if not tables.value("select to_regclass($1) is not null", TRUTH):
        tables.create("visitors", _arrivals(World(events_per_day=1), EPOCH).schema, within=HIDDEN_SCHEMA)
        tables.run(f"alter table {TRUTH} add primary key (day, visitor)")
    tables.run(f"create table if not exists {ERAS} (since date primary key, followed boolean not null, world text)")


def _next_arrival(tables: Tables, eras: Sequence[Era]) -> date:
    """Return the first day whose arrivals are not written down yet."""
    known: date | None = tables.value(f"select max(day) from {TRUTH}")
    return eras[0].since - timedelta(days=MAX_AGE) if known is None else known + timedelta(days=1)


def _write_truth(tables: Tables, world: World, start: date, end: date) -> None:
    for offset in range((end - start).days):
        tables.append("visitors", _arrivals(world, start + timedelta(days=offset)), within=HIDDEN_SCHEMA)


def _arrivals(world: World, day: date) -> pa.Table:
    hidden = hidden_of(visitors_of(world, day))
    return hidden.append_column("day", pa.repeat(pa.scalar(day), hidden.num_rows))


def _eras(tables: Tables) -> list[Era]:
    found = tables.rows(f"select since, world from {ERAS} order by since").to_pylist()
    return [Era(row["since"], WORLD.validate_json(row["world"])) for row in found]


def _begin_era(tables: Tables, era: Era, *, followed: bool) -> None:
    """Write an era down; one that has not begun is taken back."""
    tables.run(f"delete from {ERAS} where since >= $1::date", str(era.since))
    world = WORLD.dump_json(era.world).decode()
    tables.run(f"insert into {ERAS} values ($1::date, $2::boolean, $3)", str(era.since), str(followed), world)


def _agreed(tables: Tables, world: World, first: date) -> list[Era]:
    """Return which world holds from which day on; one that is new begins behind the days that are written."""
    if tables.value(f"select count(*) from {ERAS} where not followed"):
        raise DataError(
            f"The table {TABLE} was written whole by `perennial simulate --connection`, also what is received later. "
            f'To follow, drop the table and the schema "{HIDDEN_SCHEMA}", or name another database.'
        )
    eras = _eras(tables)
    if eras and eras[-1].world == world:
        return eras
    place = _newest(tables)
    since = min([first, *(era.since for era in eras)]) if place is None else place.date() + timedelta(days=1)
    if eras and place is not None:
        _refuse_other_past(eras[-1].world, Era(since, world))
    _begin_era(tables, Era(since, world), followed=True)
    tables.commit()
    return _eras(tables)


def _refuse_other_past(before: World, era: Era) -> None:
    """Keep two sets of visitors from becoming one stream, and a drift from beginning in days that are written."""
    for name in ("seed", "events_per_day"):
        if getattr(before, name) != getattr(era.world, name):
            raise DataError(
                f"The table {TABLE} holds visitors of {name} {getattr(before, name)}, asked for is "
                f"{getattr(era.world, name)}: they would become one stream of two sets of visitors. "
                "Name another database."
            )
    drifts = [(each.drift_from, each.drift_views, each.drift_carts, each.drift_visitors) for each in
              (before.dials, era.world.dials)]  # fmt: skip
    begins = [each[0] for each in drifts if each[0] is not None]
    if drifts[0] != drifts[1] and begins and min(begins) < era.since:
        raise DataError(
            f"A drift from {min(begins)} on would change days of {TABLE} that are written. Let it begin on "
            f"{era.since} or later, or name another database."
        )
