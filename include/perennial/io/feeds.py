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
from itertools import islice
from threading import Event
from time import monotonic, sleep

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tenacity

from perennial.core.clickstream import MAX_AGE, Events, World, days
from perennial.errors import DataError, SetupError, SourceError, SpecError
from perennial.io import shoptables
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
    rows_of,
    visitors_from,
)
from perennial.io.shoptables import Era
from perennial.io.tables import Tables, writing

TRY_AGAIN_SECONDS = 2.0
BATCH_SECONDS = 1.0  # events of one second are one transaction
LOOK_AGAIN_SECONDS = 60.0  # a machine that slept does not count its sleep as waiting
log = logging.getLogger(__name__)


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
        shoptables.lock(tables)
        shoptables.make_hidden(tables, anew=True)
        tables.run(f"drop table if exists {shoptables.EVENTS}")
        for _, events, table in deliveries(world, span, progress=progress):
            add_values(digest, table)
            rows += table.num_rows
            received = shoptables.with_receipt(table, events)
            if not made:
                tables.create(TABLE, received.schema)
                made = True
            tables.append(TABLE, received)
        shoptables.add_indexes(tables)
        shoptables.write_truth(tables, world, span.start - timedelta(days=MAX_AGE), span.end)
        shoptables.begin_era(tables, Era(span.start, world), followed=False)
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
        known = tables.value("select to_regclass($1) is not null", shoptables.TRUTH)
        query = f"select * from {shoptables.TRUTH} where day between $1::date and $2::date"
        found = tables.rows(query, str(arrived[-1]), str(day)) if known else None
        eras = shoptables.eras_of(tables) if known else []
    if found is None or len(found.column("day").unique()) < len(arrived):
        raise DataError(
            f"The truth of {day} is not beside the table {TABLE}. Run `perennial simulate --connection …` for the days "
            "around it."
        )
    parts = [visitors_from(each, found.filter(pc.equal(found.column("day"), each))) for each in arrived]
    return chances(eras[-1].world, parts, day, horizon_days=horizon_days)


def newest(address: str) -> datetime | None:
    """Return when the newest event of the table was received, None where there is none."""
    with writing(address) as tables:
        return shoptables.newest(tables) if shoptables.there(tables) else None


def last_due(world: World, first: date, at: datetime) -> datetime:
    """Return when the last event is received that a feed from `first` on has written by `at`.

    Raises:
        DataError: there is none yet.
    """
    for back in range((at.date() - first).days + 1):
        day = at.date() - timedelta(days=back)
        for _, events in islice(received_by_day([Era(first, world)], day), 1):
            received = shoptables.received_at(events)
            due = received[received <= shoptables.microseconds(at)]
            if len(due):
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(due[-1]))
    raise DataError(f"No event is received from {first} to {at}. Begin on an earlier day.")


def await_place(address: str, place: datetime, *, seconds: float, told: Callable[[datetime], None]) -> None:
    """Wait until a feed has come to a place in its stream; `told` is called with where it is.

    Raises:
        SetupError: it has not come there in time.
    """
    deadline = monotonic() + seconds
    while True:
        there = newest(address)
        if there is not None:
            told(there)
        if there is not None and there >= place:
            return
        if monotonic() > deadline:
            raise SetupError(
                f"The table {TABLE} ends at {there}, not at {place}, after {seconds:.0f} s. Look into the feed's log."
            )
        sleep(0.5)


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
            shoptables.lock(tables)
            shoptables.prepare(tables)
            eras = shoptables.agreed(tables, self.world, self.first)
            place = shoptables.newest(tables)
            tables.commit()  # or it would wait for the first event within a transaction
            begin = eras[0].since if place is None else place.date()
            log.info("%s: goes on behind %s", TABLE, place or f"nothing, from {begin} on")
            written = -1 if place is None else shoptables.microseconds(place)
            for day, events in received_by_day(eras, begin):
                self._write_day(tables, eras, day, events.where(shoptables.received_at(events) > written))
                if self.stop.is_set():
                    return

    def _write_day(self, tables: Tables, eras: Sequence[Era], day: date, events: Events) -> None:
        """Write a day's events as they become due, and with the first of them who arrives on that day."""
        due, done = shoptables.received_at(events), 0
        while done < len(due) and not self.stop.is_set():
            upto = int(np.searchsorted(due, shoptables.microseconds(self.clock()), side="right"))
            if upto > done:
                shoptables.write_truth(
                    tables, eras[-1].world, shoptables.next_arrival(tables, eras), day + timedelta(days=1)
                )
                batch = events.where(np.arange(done, upto))
                tables.append(TABLE, shoptables.with_receipt(rows_of(batch), batch))
                tables.commit()
                done = upto
                self._tell(day, eras, done, len(due))
            if done < len(due):
                self.stop.wait(self._patience(int(due[done])))
        if len(due) and done == len(due):
            log.info("%s: all %s events of %s are written", TABLE, done, day)

    def _patience(self, due: int) -> float:
        seconds = (due - shoptables.microseconds(self.clock())) / 1e6
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
            yield day, together.where(np.lexsort((together.event, shoptables.received_at(together))))


def _happening(eras: Sequence[Era], start: date) -> Iterator[tuple[date, Events]]:
    ends = [*(era.since for era in eras[1:]), date.max]
    for era, end in zip(eras, ends, strict=True):
        if start < end:
            yield from days(era.world, max(era.since, start), end)
