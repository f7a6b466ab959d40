"""Windowed aggregates by entity for many days in one pass.

The days are walked in order. Each adds its rows to a state with one place an entity, and takes the rows away that
leave a window. All arithmetic is on integers, so that the state of a day is the same whichever day the walk began
with: a long range and a single day give equal results, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
NEVER = -(2**31)  # a day number before all others


@dataclass(frozen=True, slots=True)
class Column:
    """One aggregate over the rows that count for it.

    Attributes:
        kind: what is computed.
        days: length of the window, 1 or more; it ends with the asked day, which is in it.
        day: shape (n,), ascending day numbers of the rows.
        entity: shape (n,), the place of each row's entity, 0 or more.
        value: shape (n,), what `sum` adds up, or the place of the item for `distinct`; None for the others.
    """

    kind: Literal["count", "sum", "distinct", "since_last", "since_first"]
    days: int
    day: IntArray
    entity: IntArray
    value: IntArray | None = None

    def since(self, first: int) -> Column:
        """Return the column without the rows before a day."""
        start = int(np.searchsorted(self.day, first))
        value = None if self.value is None else self.value[start:]
        return Column(self.kind, self.days, self.day[start:], self.entity[start:], value)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The entities with a row in the longest window of one day, ascending, and the aggregates of each.

    A column is a masked array: `since_*` is masked where the entity has no such row in the window.
    """

    day: int
    entities: IntArray
    columns: Mapping[str, np.ma.MaskedArray[Any, np.dtype[np.int64]]]


def sweep(presence: Column, columns: Mapping[str, Column], *, entities: int, days: Sequence[int]) -> Iterator[Snapshot]:
    """Yield a snapshot for each of `days`.

    Args:
        presence: counts the rows that make an entity appear, over the longest window.
        columns: the aggregates by name.
        entities: how many places the state needs.
        days: asked day numbers, ascending.
    """
    # What was never added must not be taken away: the walk knows no row before its first day.
    first = days[0] - presence.days + 1
    walked = {name: _STATES[column.kind](column.since(first), entities) for name, column in columns.items()}
    seen = _Sum(presence.since(first), entities)
    asked = set(days)
    for day in range(first, days[-1] + 1):
        for state in (seen, *walked.values()):
            state.step(day)
        if day in asked:
            present = np.flatnonzero(seen.state)
            yield Snapshot(day, present, {name: state.at(day, present) for name, state in walked.items()})


class _Rows:
    """The rows of a column by day."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.first = int(column.day[0]) if column.day.size else 0
        last = int(column.day[-1]) if column.day.size else -1
        self._starts = np.searchsorted(column.day, np.arange(self.first, last + 2))

    def of(self, day: int) -> slice:
        """Return where the rows of `day` stand."""
        at = day - self.first
        if not 0 <= at < self._starts.size - 1:
            return slice(0, 0)
        return slice(int(self._starts[at]), int(self._starts[at + 1]))


class _Sum:
    """Adds each row's value when its day comes, and takes it away when it leaves the window."""

    def __init__(self, column: Column, entities: int) -> None:
        self.rows, self.column = _Rows(column), column
        self.state = np.zeros(entities, np.int64)

    def step(self, day: int) -> None:
        """Move the window's end to `day`."""
        self._add(self.rows.of(day - self.column.days), -1)
        self._add(self.rows.of(day), 1)

    def _add(self, rows: slice, sign: int) -> None:
        value = self.column.value
        np.add.at(self.state, self.column.entity[rows], sign if value is None else sign * value[rows])

    def at(self, _day: int, entities: IntArray) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """Return the state of some entities."""
        return np.ma.MaskedArray(self.state[entities])


class _Distinct:
    """Counts the items whose last row lies in the window."""

    def __init__(self, column: Column, entities: int) -> None:
        assert column.value is not None  # noqa: S101 - the caller makes distinct columns with items
        self.days = column.days
        items = int(column.value.max(initial=-1)) + 1
        keys, pair = np.unique(column.entity * items + column.value, return_inverse=True)
        self.owner = keys // max(items, 1)
        self.rows = _Rows(Column("distinct", column.days, column.day, pair))
        self.pair = pair
        self.last = np.full(keys.size, NEVER, np.int64)
        self.state = np.zeros(entities, np.int64)

    def step(self, day: int) -> None:
        """Move the window's end to `day`; what leaves goes first, so that an item may come back the same day."""
        left = np.unique(self.pair[self.rows.of(day - self.days)])
        left = left[self.last[left] == day - self.days]
        np.add.at(self.state, self.owner[left], -1)
        self.last[left] = NEVER
        come = np.unique(self.pair[self.rows.of(day)])
        np.add.at(self.state, self.owner[come[self.last[come] == NEVER]], 1)
        self.last[come] = day

    def at(self, _day: int, entities: IntArray) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """Return the state of some entities."""
        return np.ma.MaskedArray(self.state[entities])


class _SinceLast:
    """Remembers the day of each entity's newest row."""

    def __init__(self, column: Column, entities: int) -> None:
        self.rows, self.column = _Rows(column), column
        self.state = np.full(entities, NEVER, np.int64)

    def step(self, day: int) -> None:
        """Move the window's end to `day`."""
        self.state[self.column.entity[self.rows.of(day)]] = day

    def at(self, day: int, entities: IntArray) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """Return the days since then, masked where they reach the window's length."""
        age = day - self.state[entities]
        return np.ma.MaskedArray(age, age >= self.column.days)


class _SinceFirst:
    """Remembers the day of each entity's oldest row in the window."""

    def __init__(self, column: Column, entities: int) -> None:
        self.days = column.days
        order = np.lexsort((column.day, column.entity))
        entity, day = column.entity[order], column.day[order]
        new = np.ones(entity.size, bool)
        new[1:] = (entity[1:] != entity[:-1]) | (day[1:] != day[:-1])
        entity, day = entity[new], day[new]
        following = np.full(entity.size, NEVER, np.int64)
        same = entity[1:] == entity[:-1]
        following[:-1][same] = day[1:][same]
        by_day = np.argsort(day, kind="stable")
        self.entity, self.following = entity[by_day], following[by_day]
        self.rows = _Rows(Column("since_first", column.days, day[by_day], self.entity))
        self.state = np.full(entities, NEVER, np.int64)

    def step(self, day: int) -> None:
        """Move the window's end to `day`: the row after the one that leaves becomes the oldest, if it has come."""
        left = self.rows.of(day - self.days)
        following = self.following[left]
        self.state[self.entity[left]] = np.where(following < day, following, NEVER)
        come = self.entity[self.rows.of(day)]
        self.state[come[self.state[come] == NEVER]] = day

    def at(self, day: int, entities: IntArray) -> np.ma.MaskedArray[Any, np.dtype[np.int64]]:
        """Return the days since then, masked where there is none."""
        first = self.state[entities]
        return np.ma.MaskedArray(day - first, first == NEVER)


_STATES: dict[str, type[_Sum | _Distinct | _SinceLast | _SinceFirst]] = {
    "count": _Sum,
    "sum": _Sum,
    "distinct": _Distinct,
    "since_last": _SinceLast,
    "since_first": _SinceFirst,
}
