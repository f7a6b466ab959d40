"""The simulated clickstream, written as Parquet files by day; always named as simulated. `io.feeds` writes tables.

Beside the events lies what they were drawn from, in a folder that no use case reads: `truth` gives from it the
probability that was true for each visitor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.core.clickstream import DAY, EVENTS, MAX_AGE, Events, Visitors, World, days, probability, visitors_of
from perennial.errors import DataError

FOLDER = "clickstream_simulated"
TRUTH = "clickstream_simulated_truth"
TABLE = "clickstream_simulated"
MANIFEST = "simulated.json"
EPOCH = date(1970, 1, 1)
HORIZON_DAYS = 15
HIDDEN = ("visitor", "arrived", "returns", "decay", "views", "cart", "buy")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Span:
    """Which days to write, half-open, and as of when: what is received later is not there yet; None for all."""

    start: date
    end: date
    known_at: date | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was written; `sha256` is of the events' values in their order, whatever they are written to."""

    seed: int
    start: date
    end: date
    rows: int
    sha256: str
    place: str


def write_files(world: World, span: Span, data: Path, *, progress: Progress | None = None) -> Simulated:
    """Write a file a day to `data`/clickstream_simulated, each whole or not at all; days that are there are replaced.

    Days outside the span stay, so that a stream can be gone on with; the dials may differ then, the visitors not.

    Raises:
        DataError: days that would stay show other visitors: another seed, or another number of events a day.
    """
    folder = data / FOLDER
    _refuse_other_visitors(world, span, folder)
    digest, rows = hashlib.sha256(), 0
    for day, table in tables(world, span, progress=progress):
        target = folder / f"day={day}" / "events.parquet"
        _write_whole(table, target)
        add_values(digest, table)
        rows += table.num_rows
    for offset in range(-MAX_AGE, (span.end - span.start).days):
        day = span.start + timedelta(days=offset)
        _write_whole(hidden_of(visitors_of(world, day)), data / TRUTH / f"arrived={day}" / "visitors.parquet")
    written = Simulated(world.seed, span.start, span.end, rows, digest.hexdigest(), str(folder))
    (folder / MANIFEST).write_text(
        json.dumps({"simulated": True, **asdict(written), "world": asdict(world)}, indent=2, default=str) + "\n"
    )
    return written


def _refuse_other_visitors(world: World, span: Span, folder: Path) -> None:
    """Keep two worlds from ending up as one stream."""
    if not (folder / MANIFEST).is_file():
        return
    before = json.loads((folder / MANIFEST).read_text())["world"]
    differing = [name for name in ("seed", "events_per_day") if before[name] != getattr(world, name)]
    kept = [path.name for path in folder.glob("day=*") if not str(span.start) <= path.name[4:] < str(span.end)]
    if differing and kept:
        raise DataError(
            f"{folder} holds {len(kept)} days outside {span.start} to {span.end} with {differing[0]} "
            f"{before[differing[0]]}, asked for is {getattr(world, differing[0])}: they would become one stream of "
            "two sets of visitors. Delete the folder, or write to another one with --to."
        )


def tables(world: World, span: Span, *, progress: Progress | None = None) -> Iterator[tuple[date, pa.Table]]:
    """Yield the rows of each day as they are delivered."""
    for day, _, table in deliveries(world, span, progress=progress):
        yield day, table


def deliveries(
    world: World, span: Span, *, progress: Progress | None = None
) -> Iterator[tuple[date, Events, pa.Table]]:
    """Yield each day's events, and the rows that they become under the dials; both in one order."""
    buyers = _buyers(world, span) if world.dials.leak != "none" else None
    for day, events in days(world, span.start, span.end):
        if span.known_at is not None:
            events = events.where(events.received <= (span.known_at - EPOCH).days)
        rows = rows_of(events)
        rows = rows if buyers is None else _leaking(rows, events, buyers, leak=world.dials.leak)
        yield day, events, _changed(world, day, rows)
        if progress is not None:
            progress("simulated days", (day - span.start).days + 1, (span.end - span.start).days)


def truth(world: World, data: Path, day: date, *, horizon_days: int = HORIZON_DAYS) -> pa.Table:
    """Return visitor_id and probability: how likely each was to buy in the days after `day`, given what is hidden.

    Args:
        world: what was simulated; its dials hold the drift.
        data: where `write_files` wrote.
        day: the snapshot; visitors who arrived up to MAX_AGE days before it are in the answer.
        horizon_days: how many days count.

    Raises:
        DataError: the truth of that day was not written.
    """
    parts = [_shown(data, day - timedelta(days=age)) for age in range(MAX_AGE + 1)]
    return chances(world, parts, day, horizon_days=horizon_days)


def chances(world: World, parts: Sequence[Visitors], day: date, *, horizon_days: int = HORIZON_DAYS) -> pa.Table:
    """Return visitor_id and probability of visitors who arrived on several days."""
    return pa.table({
        "visitor_id": np.concatenate([part.visitor for part in parts]),
        "probability": np.concatenate([probability(world, part, day, horizon_days=horizon_days) for part in parts]),
    })  # fmt: skip


def _shown(data: Path, day: date) -> Visitors:
    path = data / TRUTH / f"arrived={day}" / "visitors.parquet"
    if not path.is_file():
        raise DataError(f"The truth of {day} is not below {data}. Run `perennial simulate` for the days around it.")
    read = pq.read_table(path, partitioning=None)
    return visitors_from(day, read)


def visitors_from(day: date, hidden: pa.Table) -> Visitors:
    """Return the visitors that `hidden` was made of."""
    return Visitors(day, *(hidden.column(name).to_numpy() for name in HIDDEN))


def hidden_of(visitors: Visitors) -> pa.Table:
    """Return what no source may read: a row a visitor."""
    return pa.table({name: getattr(visitors, name) for name in HIDDEN})


def rows_of(events: Events) -> pa.Table:
    """Return the events as rows, in their order."""
    kinds = pa.DictionaryArray.from_arrays(pa.array(events.kind), pa.array(EVENTS)).cast(pa.string())
    return pa.table({
        "event_id": events.event, "visitor_id": events.visitor, "visit_id": events.visit, "item_id": events.item,
        "event": kinds, "occurred_at": pa.array(events.at).cast(pa.timestamp("us", "UTC")),
    })  # fmt: skip


def _buyers(world: World, span: Span) -> pa.Table:
    """Return visitor and day of each purchase, up to the horizon after the span."""
    found: list[np.ndarray] = []
    for day, events in days(world, span.start, span.end + timedelta(days=HORIZON_DAYS)):
        visitors = np.unique(events.visitor[events.kind == 2])
        found.append(np.column_stack([visitors, np.full(len(visitors), (day - EPOCH).days)]))
    visitor, day_number = np.concatenate(found).T
    return pa.table({"visitor": visitor, "day": day_number})


def _leaking(table: pa.Table, events: Events, buyers: pa.Table, *, leak: str) -> pa.Table:
    """Add a column that knows what comes after the row: a planted mistake for tests to find."""
    visitor, bought = (buyers.column(name).to_numpy() for name in ("visitor", "day"))
    if leak == "status":
        status = np.where(np.isin(events.visitor, visitor), "buyer", "visitor")
        return table.append_column("visitor_status", pa.array(status))
    today = int(events.at[0] // DAY) if len(events.at) else 0
    soon = np.unique(visitor[(bought > today) & (bought <= today + HORIZON_DAYS)])
    return table.append_column("converts_later", pa.array(np.isin(events.visitor, soon)))


def _changed(world: World, day: date, table: pa.Table) -> pa.Table:
    dials = world.dials
    if dials.schema_change == "none" or dials.schema_from is None or day < dials.schema_from:
        return table
    if dials.schema_change == "new":
        return table.append_column("device", pa.repeat(pa.scalar("unknown"), table.num_rows))
    if dials.schema_change == "missing":
        return table.drop_columns(["item_id"])
    named = pc.binary_join_element_wise("item", table.column("item_id").cast(pa.string()), "-")
    return table.set_column(table.column_names.index("item_id"), "item_id", named)


def _write_whole(table: pa.Table, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".part")
    pq.write_table(table, draft, compression="zstd")
    draft.replace(target)


def add_values(digest: hashlib._Hash, table: pa.Table) -> None:
    """Go on with a digest of rows, whatever they are written to."""
    for column in table.itercolumns():
        values = column.combine_chunks()
        if pa.types.is_string(values.type):
            digest.update("\n".join(values.to_pylist()).encode())
        else:
            digest.update(values.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
