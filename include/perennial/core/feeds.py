"""A source's day against its days before: rows, missing values, units, categories, copies and age.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from perennial.modelling import Feed
from perennial.records import Concern, Measure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NORMAL = 1.4826  # of a normal distribution: the standard deviation in units of the MAD
MEDIAN_ERROR, IQR = 1.2533, 1.349  # its median's standard error by its own; its quartiles' distance
WEEK = 7
WEEKDAYS_NEEDED = 3  # days of a weekday that say what is usual on it
NOT_BY_CHANCE = 20.0  # rows of a category to be expected, of which there is none
DISTINCT = 50  # different rows that a day has to hold for its repetition to be no accident


@dataclass(frozen=True, slots=True)
class Categories:
    """The values of a column by day; all arrays have `days` as their first axis.

    `unseen` counts the rows whose value is on that day alone. `counts` has a column for each of `names`; both are empty
    where the column has too many values to name.
    """

    names: tuple[str, ...]
    counts: IntArray
    unseen: IntArray


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
    categories: Mapping[str, Categories] = field(default_factory=dict)
    prints: tuple[int | None, ...] = ()
    changed: int = 0
    sparse: bool = False
    reference: bool = False
    late_days: int = 0

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


def usual(history: FloatArray, *, noise: float, floor: float, limits: Feed) -> Usual:
    """Return what is usual by the days before; the formula stands at the top.

    Args:
        history: shape (days,), one or more, finite.
        noise: standard error of a day's figure by its rows alone.
        floor: a distance from the middle that is never worth a word.
        limits: `spreads` is k, `beyond` is w.
    """
    middle = float(np.median(history))
    spread = math.hypot(NORMAL * float(np.median(np.abs(history - middle))), noise)
    least, greatest = float(history.min()), float(history.max())
    reach, further = max(floor, limits.spreads * spread), limits.beyond * (greatest - least)
    return Usual(middle, min(middle - reach, least - further), max(middle + reach, greatest + further))


def judge(vitals: Vitals, *, limits: Feed, about: Concern) -> tuple[Measure, ...]:
    """Return what can be said of a source's day; never raises, whatever the day holds.

    Edge cases have verdicts of their own: no table or no snapshot yet and fewer than `least_days` days before are told
    without a limit; a day that was never written, and one without rows where its weekday has some, are past it.
    """
    if not vitals.days:
        return (_told(about, vitals.source, "rows", None, f"{vitals.source} holds no day yet."),)
    found = [*_rows(vitals, limits, about), *_age(vitals, limits, about)]
    if vitals.is_written and vitals.rows[-1] + vitals.refused[-1] > 0:
        found += [*_refused(vitals, limits, about), *_copy(vitals, about)]
        for name in vitals.nulls:
            found += _nulls(vitals, name, limits, about)
        for name in vitals.quartiles:
            found += _scale(vitals, name, limits, about)
        for name in vitals.categories:
            found += _categories(vitals, name, limits, about)
    return tuple(_silenced(each, limits) for each in found)


def _silenced(found: Measure, limits: Feed) -> Measure:
    """Return a measure that the spec only wants told as one that is not past its limit, with the reason."""
    reason = limits.told.get(found.name) or limits.told.get(found.name.partition(".")[0])
    if not found.over or reason is None:
        return found
    said = f"{found.detail} Only told: {reason}"
    return Measure(found.about, found.name, found.measure, found.value, found.low, found.high, None, detail=said)


def _rows(vitals: Vitals, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield whether a day has none, far too few or far too many rows, against its weekday where weekdays differ."""
    name, day = vitals.source, vitals.last
    if not vitals.is_written:
        yield Measure(about, name, "rows", None, over=True, detail=f"{name} of {day} was never ingested.")
        return
    rows, before = int(vitals.rows[-1]), vitals.rows[:-1]
    if vitals.sparse:
        before = before[before > 0]
    if before.size < _least(vitals, limits) or (vitals.sparse and rows == 0):
        yield _told(about, name, "rows", rows, "")
        return
    if rows == 0:
        alike = _same_weekday(vitals)
        empty = alike.size > 0 and 2 * int((alike == 0).sum()) >= alike.size
        said = "" if empty else f"{name} of {day} has no rows, where {float(np.median(before)):,.0f} are usual."
        yield Measure(about, name, "rows", 0.0, limit=None if empty else 1.0, over=not empty, detail=said)
        return
    history, value = _by_weekday(vitals) if not vitals.sparse else (np.log(before), math.log(rows))
    held = usual(history, noise=1 / math.sqrt(max(math.exp(float(np.median(history))), 1.0)),
                 floor=math.log(limits.rows_factor), limits=limits)  # fmt: skip
    shift = math.log(rows) - value
    low, high = math.exp(held.low + shift), math.exp(held.high + shift)
    low = 0.0 if vitals.sparse else low
    over = value > held.high or (value < held.low and not vitals.sparse)
    side = "far too many" if value > held.high else "far too few"
    said = f"{name} of {day} has {rows:,} rows, {side}: {low:,.0f} to {high:,.0f} are usual." if over else ""
    limit = high if value > held.high else low
    yield Measure(about, name, "rows", float(rows), low, high, limit if over else None, over=over, detail=said)


def _by_weekday(vitals: Vitals) -> tuple[FloatArray, float]:
    """Return the logarithms of the days' rows, and of the judged day's, moved to what is usual on any weekday.

    Each weekday with `WEEKDAYS_NEEDED` days before is moved by its median's distance from that of all. What is left
    between n days of a weekday is stretched by n / (n - 1): they have shaped their own median.
    """
    logs = np.log(np.maximum(vitals.rows.astype(np.float64), 0.5))
    if vitals.reference:
        return logs[:-1], float(logs[-1])
    weekday = np.array([day.weekday() for day in vitals.days])
    middle = float(np.median(logs[:-1]))
    moved = logs.copy()
    for each in np.unique(weekday):
        known = np.flatnonzero(weekday[:-1] == each)
        if known.size >= WEEKDAYS_NEEDED:
            own = float(np.median(logs[known]))
            moved[known] = middle + (logs[known] - own) * known.size / (known.size - 1)
            if weekday[-1] == each:
                moved[-1] = middle + logs[-1] - own
    return moved[:-1], float(moved[-1])


def _same_weekday(vitals: Vitals) -> IntArray:
    """Return the rows of the days before that are the same day of the week; of a snapshot all."""
    if vitals.reference:
        return vitals.rows[:-1]
    same = [at for at, day in enumerate(vitals.days[:-1]) if day.weekday() == vitals.last.weekday()]
    return vitals.rows[same]


def _age(vitals: Vitals, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield how old the newest rows are, and how many days came again with other rows."""
    filled = [day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0]
    name = vitals.source
    if not filled:
        yield _told(about, name, "age", None, f"{name} has no rows in the {limits.days} days before {vitals.last}.")
        return
    age, unusual = (vitals.last - filled[-1]).days, missing(vitals)
    limit = None if vitals.reference else longest(vitals, limits)
    over = limit is not None and age > limit
    said = f"The newest rows of {name} are of {filled[-1]}, {age} days before {vitals.last}" if over else ""
    said += f"; {limit:g} is usual, and {len(unusual)} days are missing." if over else ""
    yield Measure(about, name, "age", float(age), limit=limit, over=over, detail=said)
    if not vitals.reference:
        yield _told(about, name, "lateness", float(vitals.changed), "")


def longest(vitals: Vitals, limits: Feed) -> float | None:
    """Return how old the newest rows usually are at most: the longest time without rows, or the declared lateness.

    Twice as long where a source is sparse: its longest time is seldom seen in one window. None where too few days have
    rows.
    """
    filled = [day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0]
    if len(filled) < _least(vitals, limits):
        return None
    gap = max(((after - before).days - 1 for before, after in zip(filled, filled[1:], strict=False)), default=0)
    return float(max(gap * (2 if vitals.sparse else 1), vitals.late_days))


def missing(vitals: Vitals) -> tuple[date, ...]:
    """Return the days up to the judged one that have no rows, where half or more of their weekday before have some.

    Days within the declared lateness may still come. Of a sparse source and of snapshots none is missing.
    """
    if vitals.sparse or vitals.reference or not vitals.days:
        return ()
    rows = dict(zip(vitals.days, vitals.rows.tolist(), strict=True))
    first, found = vitals.days[0], []
    for offset in range((vitals.last - first).days - vitals.late_days + 1):
        day = date.fromordinal(first.toordinal() + offset)
        back = [date.fromordinal(day.toordinal() - WEEK * weeks) for weeks in range(1, 5)]
        known = [rows[each] > 0 for each in back if each in rows]
        if rows.get(day, 0) == 0 and (2 * sum(known) >= len(known) if known else offset > 0):
            found.append(day)
    return tuple(found)


def _refused(vitals: Vitals, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield the share of a day's rows that went to quarantine."""
    whole = vitals.rows + vitals.refused
    share = np.divide(vitals.refused, whole, out=np.zeros(whole.size), where=whole > 0)
    yield _share(vitals, "quarantine share", vitals.source, share, whole, floor=limits.quarantine_share,
                 limits=limits, about=about, what="in quarantine")  # fmt: skip


def _nulls(vitals: Vitals, name: str, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield the share of a day's published rows without a value in a column; a fall is as telling as a rise."""
    share = np.divide(vitals.nulls[name], vitals.rows, out=np.zeros(vitals.rows.size), where=vitals.rows > 0)
    yield _share(vitals, "null share", f"{vitals.source}.{name}", share, vitals.rows, floor=limits.null_share,
                 limits=limits, about=about, what="null", both=True)  # fmt: skip


def _share(
    vitals: Vitals, measure: str, name: str, share: FloatArray, rows: IntArray,
    *, floor: float, limits: Feed, about: Concern, what: str, both: bool = False,
) -> Measure:  # fmt: skip
    """Return whether a share of a day is out of the usual: above it, with `both` also below.

    The floor is in the share itself: as many points away from the median are never worth a word.
    """
    before, value, size = rows[:-1] > 0, float(share[-1]), int(rows[-1])
    if size < limits.least_rows or int(before.sum()) < _least(vitals, limits):
        return _told(about, name, measure, value if size else None, "")
    history = np.arcsin(np.sqrt(share[:-1][before]))
    held = usual(history, noise=1 / (2 * math.sqrt(size)), floor=0.0, limits=limits)
    middle = math.sin(held.middle) ** 2
    low = min(math.sin(max(held.low, 0.0)) ** 2, middle - floor)
    high = max(math.sin(min(held.high, math.pi / 2)) ** 2, middle + floor)
    over = value > high or (both and value < low)
    low, high = max(low, 0.0), min(high, 1.0)
    said = f"{value:.1%} of {name} on {_day(vitals)} are {what}, {middle:.1%} are usual" if over else ""
    said += f" ({low:.1%} to {high:.1%})." if over else ""
    return Measure(about, name, measure, value, low, high, (high if value > high else low) if over else None,
                   over=over, detail=said)  # fmt: skip


def _scale(vitals: Vitals, name: str, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield by which factor a column's values have moved: the least of its three quartiles' factors, if all agree."""
    column, label = vitals.quartiles[name], f"{vitals.source}.{name}"
    values, size = vitals.values[name], int(vitals.values[name][-1])
    known = values[:-1] >= limits.least_rows
    if size < limits.least_rows or int(known.sum()) < _least(vitals, limits):
        yield _told(about, label, "scale", None, "")
        return
    logs = np.log(column)
    middle = np.median(logs[:-1][known], axis=0)
    history, value = agreed(logs[:-1][known] - middle), float(agreed(logs[-1:] - middle)[0])
    within = float(np.median(logs[:-1][known][:, 2] - logs[:-1][known][:, 0])) / IQR
    held = usual(history, noise=MEDIAN_ERROR * within / math.sqrt(size), floor=math.log(limits.scale_factor),
                 limits=limits)  # fmt: skip
    over, ratio = not held.holds(value), math.exp(value)
    low, high = math.exp(held.low), math.exp(held.high)
    said = ""
    if over:
        said = (
            f"The values of {label} on {_day(vitals)} are {ratio:.3g} times the usual ones (median {column[-1][1]:.4g}, "
            f"usually {math.exp(middle[1]):.4g}; {low:.2f} to {high:.2f} times is usual): another unit?"
        )
    yield Measure(about, label, "scale", ratio, low, high, (high if value > held.high else low) if over else None,
                  over=over, detail=said)  # fmt: skip


def agreed(moves: FloatArray) -> FloatArray:
    """Return, a row, the smallest of some moves where all have one direction, else 0.

    A unit moves every quartile by the same factor; a change of what is sold or flown seldom does.

    >>> agreed(np.array([[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0], [-3.0, -2.0, -4.0]]))
    array([ 1.,  0., -2.])
    """
    least, greatest = moves.min(axis=1), moves.max(axis=1)
    return np.where(least > 0, least, np.where(greatest < 0, greatest, 0.0))


def _categories(vitals: Vitals, name: str, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield the share of rows whose category is new, or the share that categories had that are gone, if that is more."""
    column, label, rows = vitals.categories[name], f"{vitals.source}.{name}", vitals.rows
    known, size = rows[:-1] > 0, int(rows[-1])
    if size < limits.least_rows or int(known.sum()) < _least(vitals, limits):
        yield _told(about, label, "categories", None, "")
        return
    unseen = np.divide(column.unseen, rows, out=np.zeros(rows.size), where=rows > 0)
    held = usual(np.arcsin(np.sqrt(unseen[:-1][known])), noise=1 / (2 * math.sqrt(size)), floor=0.0, limits=limits)
    high = min(max(math.sin(min(held.high, math.pi / 2)) ** 2, math.sin(held.middle) ** 2 + limits.category_share), 1.0)
    new, gone = float(unseen[-1]), _gone(column, rows, known)
    lost = sum(gone.values())
    over = new > high or lost > limits.category_share
    said = _said_of(label, _day(vitals), gone, _newcomers(column, rows), new) if over else ""
    limit = high if new > high else limits.category_share
    yield Measure(about, label, "categories", max(new, lost), 0.0, high, limit if over else None, over=over,
                  detail=said)  # fmt: skip


def _gone(column: Categories, rows: IntArray, known: NDArray[np.bool_]) -> dict[str, float]:
    """Return the usual share of each category that every day before has and the judged one has not, most first.

    One of which fewer than `NOT_BY_CHANCE` rows are to be expected may be missing by chance.
    """
    shares = column.counts[:-1][known] / rows[:-1][known][:, None]
    found = {
        name: float(np.median(shares[:, at]))
        for at, name in enumerate(column.names)
        if column.counts[-1, at] == 0 and shares[:, at].min() > 0
    }
    lost = {name: share for name, share in found.items() if share * float(rows[-1]) >= NOT_BY_CHANCE}
    return dict(sorted(lost.items(), key=lambda pair: -pair[1]))


def _newcomers(column: Categories, rows: IntArray) -> dict[str, float]:
    """Return the share of each category that only the judged day has, most first."""
    found = {
        name: float(column.counts[-1, at] / rows[-1])
        for at, name in enumerate(column.names)
        if column.counts[-1, at] > 0 and not column.counts[:-1, at].any()
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _said_of(label: str, day: date, gone: Mapping[str, float], new: Mapping[str, float], share: float) -> str:
    """Return what happened to the categories: renamed where one that came has half to twice the share of one gone."""
    for old, had in gone.items():
        for name, has in new.items():
            if had / 2 <= has <= had * 2:
                return f"{old!r} of {label} ({had:.1%} of the rows) is gone on {day}, {name!r} is new ({has:.1%}): renamed?"
    lost = ", ".join(repr(name) for name in list(gone)[:3])
    parts = [f"{share:.1%} of {label} on {day} are of categories never seen in the days before"] if share else []
    parts += [f"{lost} of {label}, usually {sum(gone.values()):.1%} of the rows, are gone on {day}"] if gone else []
    return "; ".join(parts) + "."


def _copy(vitals: Vitals, about: Concern) -> Iterator[Measure]:
    """Yield whether a day repeats the rows of one before; a source of which days often do is left alone."""
    if vitals.reference or not vitals.prints or vitals.prints[-1] is None:
        return
    before = [each for each in vitals.prints[:-1] if each is not None]
    same = [day for day, each in zip(vitals.days[:-1], vitals.prints[:-1], strict=True) if each == vitals.prints[-1]]
    over = bool(same) and len(set(before)) == len(before)
    said = f"{vitals.source} of {vitals.last} repeats the {int(vitals.rows[-1]):,} rows of {same[-1]}." if over else ""
    yield Measure(about, vitals.source, "copy", float(bool(same)), limit=1.0 if over else None, over=over, detail=said)


def _least(vitals: Vitals, limits: Feed) -> int:
    """Return how many days before are needed: of a whole snapshot one says what is usual."""
    return 1 if vitals.reference else limits.least_days


def _day(vitals: Vitals) -> date:
    return vitals.days[-1]


def _told(about: Concern, name: str, measure: str, value: float | None, detail: str) -> Measure:
    return Measure(about, name, measure, None if value is None else float(value), detail=detail)


def due(sources: Sequence[Vitals], *, case: str, limits: Feed, since: date) -> tuple[Measure, ...]:
    """Return, for each source of the label, how many days that labels need since a day are missing.

    A day is missing where `missing` says so; of a sparse source, where its newest rows are older than they ever are.

    Args:
        sources: that `label.sql` reads.
        case: whose labels.
        limits: as for `judge`.
        since: the first day whose rows the labels need.
    """
    found = []
    for vitals in sources:
        gone = [day for day in missing(vitals) if day >= since]
        limit, old = longest(vitals, limits), _newest(vitals)
        if vitals.sparse and limit is not None and old is not None and (vitals.last - old).days > limit:
            gone = [date.fromordinal(old.toordinal() + 1 + each) for each in range((vitals.last - old).days)]
        said = ""
        if gone:
            said = f"Labels of {case} are late: {vitals.source} lacks {len(gone)} days from {gone[0]} to {gone[-1]}."
        found.append(
            Measure("labels", vitals.source, "due", float(len(gone)), limit=1.0 if gone else None, over=bool(gone),
                    detail=said)  # fmt: skip
        )
    return tuple(found)


def _newest(vitals: Vitals) -> date | None:
    return max((day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0), default=None)
