"""Windowed aggregates by entity for many days in one pass.

The days are walked in order. Each day's changes are applied to a state of each entity: rows that come, rows that
leave a window. When something leaves is worked out beforehand for all days at once, so a step only adds or sets.
All arithmetic is on integers, so that the state of a day is the same whichever day the walk began with: a long range
and a single day give equal results, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32 | np.int64]
BoolArray = npt.NDArray[np.bool_]
GROUND_DAYS = 8
BITS = 63  # of a row that is sorted as one number
NEVER = -(10**9)  # a day number before all others
ONE = np.int32(1)  # of the states' own type: numpy adds another one thirty times more slowly


@dataclass(frozen=True)
class Rows:
    """Rows that count for some columns, in the order of their days.

    Attributes:
        day: shape (n,), ascending day numbers.
        entity: shape (n,), the place of each row's entity, 0 or more.
    """

    day: IntArray
    entity: IntArray

    @property
    def bits_left(self) -> int:
        """Return how many bits an item may have to be sorted together with entity and day."""
        return BITS - sum(_bits(column, _lowest(column)) for column in (self.entity, self.day))

    @cached_property
    def days_of_entities(self) -> tuple[IntArray, IntArray]:
        """Return entity and day of the different days of each entity, sorted by both."""
        entity, day = in_order(self.entity, self.day)
        new = np.ones(entity.size, bool)
        new[1:] = (entity[1:] != entity[:-1]) | (day[1:] != day[:-1])
        return entity[new], day[new]


@dataclass(frozen=True, slots=True)
class Items:
    """The items of rows, such as the product that each is about; columns that share them are worked out together.

    Attributes:
        rows: the rows.
        item: shape (n,), a number of each row's item, 0 or more.
    """

    rows: Rows
    item: IntArray


def in_order(*columns: IntArray) -> tuple[IntArray, ...]:
    """Return columns of whole numbers with their rows sorted by the first, then the second, and so on.

    A row travels as one number: sorting these is faster than finding an order and applying it.

    Raises:
        ValueError: the ranges of the columns are too wide to make one number of a row.
    """
    lowest = [_lowest(column) for column in columns]
    bits = [_bits(column, low) for column, low in zip(columns, lowest, strict=True)]
    if sum(bits) > BITS:
        raise ValueError(f"ranges of {' and '.join(map(str, bits))} bits are too wide to sort by: take fewer rows.")
    rows = np.zeros(columns[0].size, np.int64)
    for column, low, width in zip(columns, lowest, bits, strict=True):
        rows = (rows << width) | (column.astype(np.int64) - low)
    rows.sort()
    found: list[IntArray] = []
    for column, low, width in zip(reversed(columns), reversed(lowest), reversed(bits), strict=True):
        found.append(((rows & ((1 << width) - 1)) + low).astype(column.dtype))
        rows >>= width
    return tuple(reversed(found))


def _lowest(column: IntArray) -> int:
    return int(column.min()) if column.size else 0


def _bits(column: IntArray, lowest: int) -> int:
    return (int(column.max(initial=lowest)) - lowest).bit_length()


@dataclass(frozen=True, slots=True)
class Column:
    """One aggregate over the rows that count for it.

    Attributes:
        kind: what is computed.
        days: length of the window, 1 or more; it ends with the asked day, which is in it.
        rows: what counts.
        value: what `sum` adds up, shape (n,), or the items that `distinct` counts; None for the others.
    """

    kind: Literal["count", "sum", "distinct", "since_last", "since_first"]
    days: int
    rows: Rows
    value: IntArray | Items | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """One aggregate of some entities: int64 of a sum, else int32; `absent` tells which have none, None if all do."""

    numbers: IntArray
    absent: BoolArray | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The entities with a row in the longest window of one day, ascending, and the aggregates of each.

    `since_*` is absent where the entity has no such row in the window.
    """

    day: int
    entities: IntArray
    columns: Mapping[str, Values]


def sweep(presence: Column, columns: Mapping[str, Column], *, entities: int, days: Sequence[int]) -> Iterator[Snapshot]:
    """Return an iterator that gives a snapshot for each of `days`; it needs the columns no more.

    Args:
        presence: counts the rows that make an entity appear, over the longest window.
        columns: the aggregates by name; their rows are some of those.
        entities: how many places the state needs.
        days: asked day numbers, ascending.
    """
    states = _states(columns)
    # What was added has to be taken away: the walk begins with the first row.
    first = min([days[0], *presence.rows.day[:1].tolist()])
    return _walk(_state(presence), states, _Ground(presence, entities), range(first, days[-1] + 1), set(days))


def _walk(
    seen: _Sum | _Since, states: Mapping[str, _Sum | _Since], ground: _Ground, days: range, asked: set[int]
) -> Iterator[Snapshot]:
    for day in days:
        if ground.ends_before(day):
            kept = ground.move(day)
            for state in (seen, *states.values()):
                state.move(ground.live.size, *kept)
        for state in (seen, *states.values()):
            state.step(day, ground.position)
        if day in asked:
            present = np.flatnonzero(seen.state != 0)
            found = {name: state.at(day, present) for name, state in states.items()}
            yield Snapshot(day, ground.live[present], found)


class _Ground:
    """The entities that may have a state on some days to come: few of all, so that their states lie close together."""

    def __init__(self, presence: Column, entities: int) -> None:
        self.rows, self.longest = presence.rows, presence.days
        self.live: IntArray = np.empty(0, np.int64)
        self.position: IntArray = np.empty(entities, np.int32)
        self._end = NEVER

    def ends_before(self, day: int) -> bool:
        """Tell whether it does not reach to a day."""
        return day >= self._end

    def move(self, day: int) -> tuple[IntArray, IntArray]:
        """Reach GROUND_DAYS further from `day` on; return where the entities that stay are now, and were before."""
        before, self._end = self.live, day + GROUND_DAYS
        # A row of `day - longest` leaves on `day`.
        part = slice(*np.searchsorted(self.rows.day, [day - self.longest, self._end]))
        here = np.zeros(self.position.size, bool)
        here[self.rows.entity[part]] = True
        self.live = np.flatnonzero(here)
        stays = here[before]
        were = np.flatnonzero(stays)
        self.position[self.live] = np.arange(self.live.size)
        return self.position[before[stays]], were


class _Changes:
    """Changes of a state in the order of the days on which they happen: of which entity, and by or to what."""

    def __init__(self, day: IntArray, entity: IntArray, value: IntArray | np.int32) -> None:
        self.entity, self.value = entity, value
        self.first = int(day[0]) if day.size else 0
        last = int(day[-1]) if day.size else -1
        self._starts = np.searchsorted(day, np.arange(self.first, last + 2)).tolist()

    def of(self, day: int) -> tuple[IntArray, IntArray | np.int32]:
        """Return the entities that change on a day, and their values."""
        at = day - self.first
        known = 0 <= at < len(self._starts) - 1
        part = slice(self._starts[at], self._starts[at + 1]) if known else slice(0, 0)
        return self.entity[part], self.value if isinstance(self.value, np.int32) else self.value[part]


class _State:
    """A number of each entity on the ground."""

    def __init__(self, nothing: int, kind: type[np.int32 | np.int64] = np.int32) -> None:
        self.nothing = nothing
        self.state: IntArray = np.empty(0, kind)

    def move(self, size: int, are: IntArray, were: IntArray) -> None:
        """Take the entities that stay to another ground."""
        moved = np.full(size, self.nothing, self.state.dtype)
        moved[are] = self.state[were]
        self.state = moved


class _Sum(_State):
    """Adds a value when its day comes, and takes it away when it leaves the window."""

    def __init__(self, come: _Changes, leave: _Changes) -> None:
        super().__init__(0, np.int32 if isinstance(come.value, np.int32) else np.int64)
        self.come, self.leave = come, leave

    def step(self, day: int, position: IntArray) -> None:
        """Move the window's end to `day`."""
        for change, (entities, values) in ((np.subtract, self.leave.of(day)), (np.add, self.come.of(day))):
            change.at(self.state, position.take(entities), values)

    def at(self, _day: int, positions: IntArray) -> Values:
        """Return the state of some entities."""
        return Values(self.state.take(positions))


class _Since(_State):
    """Remembers a day of each entity, and how long ago it was."""

    def __init__(self, changes: _Changes, days: int) -> None:
        super().__init__(NEVER)
        self.changes, self.days = changes, days

    def step(self, day: int, position: IntArray) -> None:
        """Move the window's end to `day`."""
        entities, remembered = self.changes.of(day)
        self.state[position.take(entities)] = remembered

    def at(self, day: int, positions: IntArray) -> Values:
        """Return the days since then, absent where they reach the window's length."""
        age = day - self.state.take(positions)
        return Values(age, age >= self.days)


def _states(columns: Mapping[str, Column]) -> dict[str, _Sum | _Since]:
    """Return the state of each column; items are sorted one after the other, and let go when their columns are done."""
    counted = {name: column for name, column in columns.items() if isinstance(column.value, Items)}
    states = {name: _state(column) for name, column in columns.items() if name not in counted}
    for items in {id(column.value): column.value for column in counted.values()}.values():
        assert isinstance(items, Items)  # noqa: S101 - so they were chosen
        entity, item, day = in_order(items.rows.entity, items.item, items.rows.day)
        own = {name: column for name, column in counted.items() if column.value is items}
        states |= {name: _Sum(*_coverage(entity, item, day, column.days)) for name, column in own.items()}
    return {name: states[name] for name in columns}


def _state(column: Column) -> _Sum | _Since:
    rows, days = column.rows, column.days
    if column.kind == "since_last":
        return _Since(_Changes(rows.day, rows.entity, rows.day), days)
    if column.kind == "since_first":
        return _Since(_oldest(rows, days), days)
    value = ONE if column.value is None else column.value
    assert not isinstance(value, Items)  # noqa: S101 - only distinct columns have items
    return _Sum(_Changes(rows.day, rows.entity, value), _Changes(rows.day + days, rows.entity, value))


def _oldest(rows: Rows, days: int) -> _Changes:
    """Return when a day becomes the oldest in its entity's window: once it has come and the one before has left."""
    entity, day = rows.days_of_entities
    begins = day.copy()
    same = entity[1:] == entity[:-1]
    begins[1:][same] = np.maximum(day[1:], day[:-1] + days)[same]
    order = _order_of(begins)
    return _Changes(begins[order], entity[order], day[order])


def _coverage(entity: IntArray, item: IntArray, day: IntArray, days: int) -> tuple[_Changes, _Changes]:
    """Return when sorted items enter the window of their entity, and when they leave it for lack of a newer row."""
    enters = np.ones(entity.size, bool)
    enters[1:] = (entity[1:] != entity[:-1]) | (item[1:] != item[:-1]) | (day[1:] - day[:-1] >= days)
    leaves = np.roll(enters, -1)  # the first row enters, so the last leaves
    return _one_each(day[enters], entity[enters]), _one_each(day[leaves] + days, entity[leaves])


def _one_each(day: IntArray, entity: IntArray) -> _Changes:
    order = _order_of(day)
    return _Changes(day[order], entity[order], ONE)


def _order_of(day: IntArray) -> npt.NDArray[np.intp]:
    """Return the order of some days: numbers that fit into two bytes are sorted by counting them."""
    near = day - day.min(initial=2**31 - 1)
    return np.argsort(near.astype(np.int16) if near.max(initial=0) < 2**15 else near, kind="stable")
