"""Days as bars: successive days in the same state are one stretch, and a bar has its place on a line in per cent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from perennial.changes import DayState, Effect
from perennial.records import Record, Window

State = Literal["missing", "stale", "fresh"]
DAY = timedelta(days=1)
MOST_TICKS = 7
LAST_TICK = 90.0  # per cent; the name of a later one would stand beyond the line


@dataclass(frozen=True, slots=True)
class Stretch(Record):
    """Successive days in the same state for the same reason; `first` and `last` are in it."""

    first: date
    last: date
    state: State = "missing"
    reason: str = ""

    @property
    def days(self) -> int:
        """Return how many days it has."""
        return (self.last - self.first).days + 1

    def __str__(self) -> str:
        """Return its days as people write them."""
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Lane(Record):
    """The days of one product: how they are, and which of them would be built."""

    name: str
    days: tuple[Stretch, ...]
    building: tuple[Stretch, ...] = ()

    def told(self) -> str:
        """Return in words what the bar shows."""
        counts = {state: sum(each.days for each in self.days if each.state == state) for state in ORDER}
        found = [f"{count} {state}" for state, count in counts.items() if count]
        building = sum(each.days for each in self.building)
        return ", ".join([*found, *([f"{building} to do"] if building else [])]) or "no days"


ORDER: tuple[State, ...] = ("missing", "stale", "fresh")


@dataclass(frozen=True, slots=True)
class Tick(Record):
    """A name below a line of days, at a place in per cent."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Calendar(Record):
    """Lanes of days on one line of time; `first` and `last` are its ends, both in it."""

    first: date
    last: date
    lanes: tuple[Lane, ...]

    def at(self, stretch: Stretch) -> float:
        """Return where a stretch begins, in per cent of the line.

        >>> line = Calendar(date(2026, 1, 1), date(2026, 1, 10), ())
        >>> stretch = Stretch(date(2026, 1, 3), date(2026, 1, 4))
        >>> line.at(stretch), line.width(stretch)
        (20.0, 20.0)
        """
        return round(100 * (stretch.first - self.first).days / self._days, 3)

    def width(self, stretch: Stretch) -> float:
        """Return how long a stretch is, in per cent of the line."""
        return round(100 * stretch.days / self._days, 3)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Return the first days of months or weeks in it, few enough to be read; else its own first day."""
        days = list(Window(self.first, self.last + DAY).days())
        months = [day for day in days if day.day == 1]
        marks, form = (months, "%b %Y") if len(months) > 1 else ([day for day in days if day.weekday() == 0], "%d %b")
        marks = marks[:: max(1, -(-len(marks) // MOST_TICKS))] or days[:1]
        ticks = (Tick(self.at(Stretch(day, day)), f"{day:{form}}") for day in marks)
        return tuple(tick for tick in ticks if tick.at <= LAST_TICK)

    @property
    def _days(self) -> int:
        return (self.last - self.first).days + 1


def stretches(states: Iterable[DayState]) -> tuple[Stretch, ...]:
    """Return days as stretches, oldest first; a day that is left out ends one."""
    found: list[Stretch] = []
    for each in sorted(states, key=lambda state: state.day):
        newest = found[-1] if found else None
        same = newest and (newest.state, newest.reason, newest.last + DAY) == (each.state, each.reason, each.day)
        if newest and same:
            found[-1] = Stretch(newest.first, each.day, newest.state, newest.reason)
        else:
            found.append(Stretch(each.day, each.day, each.state, each.reason))
    return tuple(found)


def of_days(days: Iterable[date], state: State = "missing") -> tuple[Stretch, ...]:
    """Return days that are all in one state as stretches."""
    return stretches(DayState(day, state, "") for day in days)


def lane(effect: Effect, window: Window) -> Lane:
    """Return an effect as a lane; of a source, whose needed days nobody has listed, fresh days are left out."""
    known: Mapping[date, DayState] = {
        **{day: DayState(day, "missing", "") for day in effect.missing}, **{state.day: state for state in effect.stale},
    }  # fmt: skip
    fresh = () if effect.product == "raw" else tuple(day for day in window.days() if day not in known)
    states = [*known.values(), *(DayState(day, "fresh", "") for day in fresh)]
    return Lane(name_of(effect), stretches(states), of_days(effect.todo))


def name_of(effect: Effect) -> str:
    """Return what an effect is about: a source by its name."""
    return f"{effect.product} {effect.source}" if effect.source else effect.product


def calendar(effects: Iterable[Effect], window: Window) -> Calendar:
    """Return the bars of a plan, from the oldest day that it looks at to the newest."""
    lanes = tuple(lane(effect, window) for effect in effects)
    named = [day for each in lanes for stretch in (*each.days, *each.building) for day in (stretch.first, stretch.last)]
    days = [*named, window.start, window.end - DAY]
    return Calendar(min(days), max(days), lanes)
