"""Twelve kinds of faults, each as a change of a day's rows or of its labels; seeded, so that they repeat exactly.

A fault of a feed lasts some days and is mended then, as people would: the days are read and built again. A change of
the world, of labels or of what features mean lasts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.errors import DataError
from perennial.incidents import DayKind

Part = Literal["rows", "labels"]
Earlier = Callable[[date], pa.Table]
LASTS = 4  # days that a broken feed stays so
FOREVER = 10_000
SEASON = timedelta(days=182)  # whole weeks, so that weekdays stay weekdays


@dataclass(frozen=True, slots=True)
class Told:
    """What a fault knows of the day that it changes.

    Attributes:
        source: the one that it breaks.
        entity: column of the use case's entity.
        day: the day.
        start: the first broken day.
        seed: of what is drawn.
        earlier: gives the source's real rows of another day.
    """

    source: Source
    entity: str
    day: date
    start: date
    seed: int
    earlier: Earlier

    @property
    def days(self) -> int:
        """Return how many days the fault lasts already, 0 on the first."""
        return (self.day - self.start).days


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: as the issue of monitoring names it.
        expects: what the triage should say; any of them is right.
        change: makes the broken rows, or labels (day, entity, label of all rows), of the real ones.
        part: what it changes.
        lasts: for how many days; what is broken for good is never mended.
        lived: how many days are lived from its first on.
        needs: what the source that it breaks has to have: rows every day, or texts that repeat.
    """

    name: str
    expects: tuple[DayKind, ...]
    change: Callable[[pa.Table, Told], pa.Table]
    part: Part = "rows"
    lasts: int = LASTS
    lived: int = 9
    needs: Literal["rows", "texts"] = "rows"

    def is_on(self, day: date, start: date) -> bool:
        """Tell whether a day is broken by it."""
        return 0 <= (day - start).days < self.lasts

    @property
    def is_mended(self) -> bool:
        """Tell whether people mend it: the broken days are read again."""
        return self.part == "rows" and self.lasts < FOREVER


def faults() -> tuple[Fault, ...]:
    """Return the twelve kinds."""
    feed: tuple[DayKind, ...] = ("feed broken",)
    world: tuple[DayKind, ...] = ("world changed",)
    decay: tuple[DayKind, ...] = ("model decayed",)
    long = {"lasts": FOREVER, "lived": 21}
    return (
        Fault("feed stops", feed, _stops),
        Fault("duplicate day", feed, _duplicate, lasts=1, lived=6),
        Fault("unit change", feed, _unit),
        Fault("category renamed", feed, _renamed, needs="texts"),
        Fault("nulls rise", feed, _nulls),
        Fault("gradual drift", world, _gradual, lasts=FOREVER, lived=28),
        Fault("sudden drift", world, _sudden, **long),  # type: ignore[arg-type]
        Fault("seasonal shift", world, _season, **long),  # type: ignore[arg-type]
        Fault("label delay", ("labels late",), _delay, part="labels", lasts=10, lived=14),
        Fault("label flip", decay, _flip, part="labels", **long),  # type: ignore[arg-type]
        Fault("concept change", decay, _concept, part="labels", **long),  # type: ignore[arg-type]
        Fault("schema change", feed, _schema),
    )


def _stops(_rows: pa.Table, told: Told) -> pa.Table:
    raise DataError(f"Source {told.source.name!r} has no rows for {told.day} and none later: the day has not arrived.")


def _schema(_rows: pa.Table, told: Told) -> pa.Table:
    column = _number(_rows, told)
    raise DataError(f"Source {told.source.name!r} of {told.day} lacks the column {column!r}, which the contract names.")


def _duplicate(_rows: pa.Table, told: Told) -> pa.Table:
    before = told.day - timedelta(days=1)
    return _moved(told.earlier(before), told, days=1)


def _season(_rows: pa.Table, told: Told) -> pa.Table:
    return _moved(told.earlier(told.day - SEASON), told, days=SEASON.days)


def _unit(rows: pa.Table, told: Told) -> pa.Table:
    return _with(rows, _number(rows, told), lambda values: pc.multiply(values, 100))


def _nulls(rows: pa.Table, told: Told) -> pa.Table:
    chosen = pa.array(_draws(rows.num_rows, told, "nulls") < 0.4)
    column = _number(rows, told)
    return _with(rows, column, lambda values: pc.if_else(chosen, pa.scalar(None, values.type), values))


def _renamed(rows: pa.Table, told: Told) -> pa.Table:
    """Give the most frequent value of the text with the fewest another spelling."""
    column = category(rows, told.source, entity=told.entity)
    if column is None:
        raise DataError(f"Source {told.source.name!r} has no text that could be spelt otherwise.")
    counts = rows[column].value_counts().to_pylist()
    old = max((each for each in counts if each["values"] is not None), key=lambda each: each["counts"])["values"]
    is_old = pc.fill_null(pc.equal(rows[column], old), fill_value=False)
    return _with(rows, column, lambda values: pc.if_else(is_old, f"{old} (new)", values))


def _gradual(rows: pa.Table, told: Told) -> pa.Table:
    return _gathered(rows, told, share=min(0.04 * (told.days + 1), 0.7))


def _sudden(rows: pa.Table, told: Told) -> pa.Table:
    return _gathered(rows, told, share=0.7)


def _gathered(rows: pa.Table, told: Told, *, share: float) -> pa.Table:
    """Let a share of the entities vanish, and what they did be done by the others: as many rows, other people.

    Who vanishes is the same every day. Where the source does not know the entity, rows with large numbers take the
    place of those with small ones.
    """
    if told.entity not in rows.column_names:
        return _larger(rows, told, share=share)
    known = rows[told.entity].combine_chunks()
    place = np.array([_place(value, told.seed) for value in pc.unique(known).to_pylist()])
    names = pc.unique(known)
    stay, gone = np.flatnonzero(place >= share), np.flatnonzero(place < share)
    if not stay.size or not gone.size:
        return rows
    target = np.arange(len(names))
    target[gone] = stay[(place[gone] * 1e6).astype(np.int64) % stay.size]
    codes = pc.index_in(known, value_set=names).to_numpy(zero_copy_only=False)
    return _with(rows, told.entity, lambda _: names.take(pa.array(target[codes])))


def _larger(rows: pa.Table, told: Told, *, share: float) -> pa.Table:
    column = _number(rows, told)
    values = np.nan_to_num(pc.cast(rows[column], pa.float64()).to_numpy(zero_copy_only=False))
    large = np.argsort(-values)[: max(rows.num_rows // 4, 1)]
    chosen = np.where(
        _draws(rows.num_rows, told, "larger") < share,
        large[np.arange(rows.num_rows) % large.size],
        np.arange(rows.num_rows),
    )
    taken = rows.take(pa.array(chosen))
    for key in told.source.keys:
        taken = taken.set_column(taken.schema.get_field_index(key), key, rows[key])
    return taken


def _delay(labels: pa.Table, told: Told) -> pa.Table:
    """Leave out what should have come since the first broken day."""
    return labels.slice(0, 0) if told.days >= 0 else labels


def _flip(labels: pa.Table, _told: Told) -> pa.Table:
    """Turn ones to zeros and zeros to ones; numbers are mirrored at the middle of their range."""
    name = labels.column_names[-1]
    values = labels[name]
    ends = pc.min_max(values)
    total = pc.add(ends["min"], ends["max"]).cast(values.type)
    mirrored = pc.subtract(pa.scalar(1, values.type) if pa.types.is_integer(values.type) else total, values)
    return labels.set_column(labels.schema.get_field_index(name), name, mirrored)


def _concept(labels: pa.Table, told: Told) -> pa.Table:
    """Give each entity the label of another one of its day: the features have come to mean nothing."""
    name = labels.column_names[-1]
    order = np.argsort(_draws(labels.num_rows, told, "concept"))
    return labels.set_column(labels.schema.get_field_index(name), name, labels[name].take(pa.array(order)))


def _with(rows: pa.Table, column: str, change: Callable[[Any], Any]) -> pa.Table:
    """Return the rows with a column changed, of the same type."""
    place = rows.schema.get_field_index(column)
    changed = change(rows[column])
    return rows.set_column(place, column, changed.cast(rows.schema.field(place).type))


def _moved(rows: pa.Table, told: Told, *, days: int) -> pa.Table:
    """Return rows as if they were of so many days later."""
    if told.source.time_column is None:
        return rows
    column = told.source.time_column
    kind = rows.schema.field(column).type
    shift = pa.scalar(timedelta(days=days), pa.duration("us"))
    return _with(rows, column, lambda values: pc.add(pc.cast(values, pa.timestamp("us")), shift).cast(kind, safe=False))


def _number(rows: pa.Table, told: Told) -> str:
    """Return the number of the contract that is most often other than zero; keys are not looked at."""
    names = [name for name, kind in told.source.columns.items() if kind == "number" and name in rows.column_names]
    names = names or [
        name for name, kind in told.source.columns.items()
        if kind == "integer" and name in rows.column_names and name not in told.source.keys and name != told.entity
    ]  # fmt: skip
    if not names:
        raise DataError(f"Source {told.source.name!r} has no number whose unit could change.")
    return max(names, key=lambda name: int(pc.sum(pc.not_equal(pc.fill_null(rows[name], 0), 0)).as_py() or 0))


def category(rows: pa.Table, source: Source, *, entity: str) -> str | None:
    """Return the text of the contract with the fewest values, two or more, that repeat; None where there is none."""
    names = [name for name, kind in source.columns.items() if kind == "string" and name in rows.column_names]
    counted = {name: pc.count_distinct(rows[name]).as_py() for name in names if name not in {entity, *source.keys}}
    several = {name: count for name, count in counted.items() if 1 < count <= max(rows.num_rows // 5, 2)}
    return min(several, key=lambda name: (several[name], name)) if several else None


def _draws(count: int, told: Told, what: str) -> Any:
    """Return numbers between 0 and 1 that are the same for the same seed, day and purpose."""
    return np.random.default_rng([told.seed, told.day.toordinal(), zlib.crc32(what.encode())]).random(count)


def _place(value: Any, seed: int) -> float:
    """Return a number between 0 and 1 that belongs to an entity, every day the same."""
    return zlib.crc32(f"{seed} {value}".encode()) / 2**32
