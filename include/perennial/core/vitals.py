"""What is counted of a source by day, and what its days before say is usual.

Each figure is put on a scale on which days differ by about the same, whatever its size: rows and units on that of their
logarithm, shares on that of the arcsine of their root. There the days before say what is usual:

    low  = min(m - max(floor, k · s), least - w · range)
    high = max(m + max(floor, k · s), greatest + w · range)
    s    = sqrt((1.4826 · MAD)² + noise²)

m is their median, MAD the median distance from it, least, greatest and range those of the days themselves, and `noise`
what chance does to a day with so few rows. So a day is out of the usual only where it is far from the middle *and*
beyond every day of the window by a part of their range: one storm or holiday among the days makes the rule careful.

Source:
    Leys, Ley, Klein, Bernard and Licata (2013), J. Exp. Soc. Psychol. 49, 764-766 (median and MAD); Freeman and Tukey
    (1950), Ann. Math. Statist. 21, 607-611 (the scales for counts and shares); Breck, Polyzotis, Roy, Whang and
    Zinkevich (2019), Data Validation for Machine Learning, MLSys (which faults to look for).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from perennial.modelling import Feed
from perennial.records import Concern, Measure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MEMORY = 7  # days that something broken is remembered as broken
NORMAL = 1.4826  # of a normal distribution: the standard deviation in units of the MAD


@dataclass(frozen=True, slots=True)
class Categories:
    """The values of a column by day; all arrays have `days` as their first axis.

    Attributes:
        names: of the categories; none where the column has too many.
        counts: rows of each of them, shape (days, names).
        young: rows whose value is first seen less than `MEMORY` days before.
        settled: whether there are days enough before to tell what is new.
    """

    names: tuple[str, ...]
    counts: IntArray
    young: IntArray
    settled: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was counted of a source; all arrays have the written days, oldest first, as their first axis.

    Attributes:
        source: its name.
        last: the day that is judged: of a plan, as many days later as it is known ahead.
        days: those of the window that were written, with rows or without; `last` where it is one of them.
        rows: published.
        refused: in quarantine.
        nulls: published rows without a value, by column.
        quartiles: of the absolute values that are not 0, by column, shape (days, 3); NaN where a day has none.
        values: how many values those are.
        whole: the columns of whole numbers.
        categories: by column of texts.
        prints: a number for the rows of a day without their times, in any order; None where they say too little.
        changed: how many of the days were written again with other rows.
        sparse: days without rows are normal.
        reference: the days are those of snapshots.
        late_days: so many days late rows may come.
    """

    source: str
    last: date
    days: tuple[date, ...]
    rows: IntArray
    refused: IntArray
    nulls: Mapping[str, IntArray] = field(default_factory=dict)
    quartiles: Mapping[str, FloatArray] = field(default_factory=dict)
    values: Mapping[str, IntArray] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    categories: Mapping[str, Categories] = field(default_factory=dict)
    prints: tuple[int | None, ...] = ()
    changed: int = 0
    sparse: bool = False
    reference: bool = False
    late_days: int = 0

    @property
    def earlier(self) -> NDArray[np.bool_]:
        """Return which days are `MEMORY` days before the judged one, or more; of snapshots else all before it."""
        found = np.array([(self.days[-1] - day).days >= MEMORY for day in self.days])
        if self.reference and not found.any():
            found[:-1] = True
        return found

    @property
    def is_written(self) -> bool:
        """Tell whether the judged day was written."""
        return bool(self.days) and (self.reference or self.days[-1] == self.last)


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual on a transformed scale."""

    middle: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Tell whether a value is usual; the ends are."""
        return self.low <= value <= self.high


def usual(history: FloatArray, *, noise: float, floor: float, limits: Feed, beyond: float | None = None) -> Usual:
    """Return what is usual by the days before; the formula stands at the top.

    Of the last `MEMORY` days each that was out of the usual itself is left out: what broke yesterday is no excuse for
    today. What lasts longer than that becomes the usual.

    Args:
        history: shape (days,), one or more, finite, oldest first.
        noise: standard error of a day's figure by its rows alone.
        floor: a distance from the middle that is never worth a word.
        limits: `spreads` is k, `beyond` is w.
        beyond: another w.
    """
    width = limits.beyond if beyond is None else beyond
    recent = MEMORY if history.size >= limits.least_days + MEMORY else 0
    kept = history[: history.size - recent]
    for value in history[history.size - recent :]:
        if _band(kept, noise, floor, limits.spreads, width).holds(value):
            kept = np.append(kept, value)
    return _band(kept, noise, floor, limits.spreads, width)


def _band(history: FloatArray, noise: float, floor: float, spreads: float, beyond: float) -> Usual:
    middle = float(np.median(history))
    spread = math.hypot(NORMAL * float(np.median(np.abs(history - middle))), noise)
    least, greatest = float(history.min()), float(history.max())
    reach, further = max(floor, spreads * spread), beyond * (greatest - least)
    return Usual(middle, min(middle - reach, least - further), max(middle + reach, greatest + further))


def least_days(vitals: Vitals, limits: Feed) -> int:
    """Return how many days before are needed: of a whole snapshot one says what is usual."""
    return 1 if vitals.reference else limits.least_days


def told(about: Concern, name: str, measure: str, value: float | None, detail: str = "") -> Measure:
    """Return a measure that has no limit."""
    return Measure(about, name, measure, None if value is None else float(value), detail=detail)
