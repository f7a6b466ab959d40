"""The simulated shop's tables in PostgreSQL: events with their receipt, and a schema of its own for what is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from perennial.core.clickstream import DAY, MAX_AGE, Events, World, visitors_of
from perennial.errors import DataError, SourceError
from perennial.io.clickstreams import EPOCH, TABLE, hidden_of, rows_of
from perennial.io.tables import Tables

# A schema of its own, so that a role which may read every table of the shop still sees none of it.
HIDDEN_SCHEMA = "clickstream_simulated_hidden"
TRUTH = f'"{HIDDEN_SCHEMA}"."visitors"'
ERAS = f'"{HIDDEN_SCHEMA}"."eras"'
EVENTS = f'"{TABLE}"'
KEY = ("event_id", "copy")
WORLD = TypeAdapter(World)


@dataclass(frozen=True, slots=True)
class Era:
    """From which day of events on a world holds, until the next one begins."""

    since: date
    world: World


def received_at(events: Events) -> np.ndarray:
    """Return microseconds since 1970."""
    return np.asarray(events.at + (events.received - events.at // DAY) * DAY)


def with_receipt(rows: pa.Table, events: Events) -> pa.Table:
    """Add when each row was received, and which copy of its event it is; copies lie beside each other."""
    copy = np.zeros(len(events.event), np.int16)
    copy[1:] = events.event[1:] == events.event[:-1]
    received = pa.array(received_at(events)).cast(pa.timestamp("us", "UTC"))
    return rows.append_column("received_at", received).append_column("copy", pa.array(copy))


def microseconds(at: datetime) -> int:
    """Return microseconds since 1970."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def lock(tables: Tables) -> None:
    """Keep a second writer out for as long as this session lives."""
    if not tables.value("select pg_try_advisory_lock(hashtext($1))", TABLE):
        raise SourceError(f"Another process writes the table {TABLE}. Stop it; this one waits for its end.")


def there(tables: Tables) -> bool:
    """Tell whether there is a table of events."""
    return bool(tables.value("select to_regclass($1) is not null", EVENTS))


def newest(tables: Tables) -> datetime | None:
    """Return when the newest event was received, None where there is none."""
    found: datetime | None = tables.value(f"select max(received_at) from {EVENTS}")
    return found


def prepare(tables: Tables) -> None:
    """Make what is not there yet."""
    make_hidden(tables, anew=False)
    if not there(tables):
        tables.create(TABLE, with_receipt(rows_of(Events.none()), Events.none()).schema)
        add_indexes(tables)
    tables.commit()


def add_indexes(tables: Tables) -> None:
    """Make the key, and what finds a day and the newest event."""
    tables.run(f"alter table {EVENTS} add primary key ({', '.join(KEY)})")
    for column in ("occurred_at", "received_at"):
        tables.run(f"create index on {EVENTS} ({column})")


def make_hidden(tables: Tables, *, anew: bool) -> None:
    """Make the schema and the tables of what is hidden; `anew` empties them."""
    # `if not exists` would ask for the right to make schemas even where the schema is there.
    if not tables.value("select to_regnamespace($1) is not null", f'"{HIDDEN_SCHEMA}"'):
        tables.run(f'create schema "{HIDDEN_SCHEMA}"')
    for table in (TRUTH, ERAS) if anew else ():
        tables.run(f"drop table if exists {table}")
    if not tables.value("select to_regclass($1) is not null", TRUTH):
        tables.create("visitors", _arrivals(World(events_per_day=1), EPOCH).schema, within=HIDDEN_SCHEMA)
        tables.run(f"alter table {TRUTH} add primary key (day, visitor)")
    tables.run(f"create table if not exists {ERAS} (since date primary key, followed boolean not null, world text)")


def next_arrival(tables: Tables, eras: Sequence[Era]) -> date:
    """Return the first day whose arrivals are not written down yet."""
    known: date | None = tables.value(f"select max(day) from {TRUTH}")
    return eras[0].since - timedelta(days=MAX_AGE) if known is None else known + timedelta(days=1)


def write_truth(tables: Tables, world: World, start: date, end: date) -> None:
    """Write down who arrives from `start` to before `end`."""
    for offset in range((end - start).days):
        tables.append("visitors", _arrivals(world, start + timedelta(days=offset)), within=HIDDEN_SCHEMA)


def _arrivals(world: World, day: date) -> pa.Table:
    hidden = hidden_of(visitors_of(world, day))
    return hidden.append_column("day", pa.repeat(pa.scalar(day), hidden.num_rows))


def eras_of(tables: Tables) -> list[Era]:
    """Return which world holds from which day on, oldest first."""
    found = tables.rows(f"select since, world from {ERAS} order by since").to_pylist()
    return [Era(row["since"], WORLD.validate_json(row["world"])) for row in found]


def begin_era(tables: Tables, era: Era, *, followed: bool) -> None:
    """Write an era down; one that has not begun is taken back."""
    tables.run(f"delete from {ERAS} where since >= $1::date", str(era.since))
    world = WORLD.dump_json(era.world).decode()
    tables.run(f"insert into {ERAS} values ($1::date, $2::boolean, $3)", str(era.since), str(followed), world)


def agreed(tables: Tables, world: World, first: date) -> list[Era]:
    """Return which world holds from which day on; one that is new begins behind the days that are written."""
    if tables.value(f"select count(*) from {ERAS} where not followed"):
        raise DataError(
            f"The table {TABLE} was written whole by `perennial simulate --connection`, also what is received later. "
            f'To follow, drop the table and the schema "{HIDDEN_SCHEMA}", or name another database.'
        )
    eras = eras_of(tables)
    if eras and eras[-1].world == world:
        return eras
    place = newest(tables)
    since = min([first, *(era.since for era in eras)]) if place is None else place.date() + timedelta(days=1)
    if eras and place is not None:
        _refuse_other_past(eras[-1].world, Era(since, world))
    begin_era(tables, Era(since, world), followed=True)
    tables.commit()
    return eras_of(tables)


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
