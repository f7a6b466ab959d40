"""A source's day against its days before: rows, copies, age, and what its columns hold (`core.columns`).

What is usual is said by `core.vitals.usual`. Every rule is quiet about what it cannot know: too few days before, too
few rows, a source that is sparse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

import numpy as np

from perennial.core import columns
from perennial.core.vitals import FloatArray, IntArray, Vitals, least_days, told, usual
from perennial.modelling import Feed
from perennial.records import Concern, Measure

WEEK = 7
FEW = 10  # rows more or less are never worth a word
WEEKDAYS_NEEDED = 3  # days of a weekday that say what is usual on it


def judge(vitals: Vitals, *, limits: Feed, about: Concern) -> tuple[Measure, ...]:
    """Return what can be said of a source's day; never raises, whatever the day holds.

    Edge cases have verdicts of their own: no table or no snapshot yet and fewer than `least_days` days before are told
    without a limit; a day that was never written, and one without rows where its weekday has some, are past it.
    """
    if not vitals.days:
        return (told(about, vitals.source, "rows", None, f"{vitals.source} holds no day yet."),)
    found = [*_rows(vitals, limits, about), *_age(vitals, limits, about)]
    if vitals.is_written and vitals.rows[-1] + vitals.refused[-1] > 0:
        found += [*columns.judge(vitals, limits=limits, about=about), *_copy(vitals, about)]
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
    name, day, before = vitals.source, vitals.last, vitals.rows[:-1]
    if not vitals.is_written:
        yield Measure(about, name, "rows", None, over=True, detail=f"{name} of {day} was never ingested.")
        return
    rows, filled = int(vitals.rows[-1]), before[before > 0]
    if filled.size < least_days(vitals, limits) or (vitals.sparse and rows == 0):
        yield told(about, name, "rows", rows)
        return
    if rows == 0:
        alike = _same_weekday(vitals)
        empty = alike.size > 0 and 2 * int((alike == 0).sum()) >= alike.size
        said = "" if empty else f"{name} of {day} has no rows, where {float(np.median(filled)):,.0f} are usual."
        yield Measure(about, name, "rows", 0.0, limit=None if empty else 1.0, over=not empty, detail=said)
        return
    low, high = _usual_rows(vitals, limits)
    over, limit, said = rows > high or rows < low, None, ""
    if over:
        side, limit = ("far too many", high) if rows > high else ("far too few", low)
        said = f"{name} of {day} has {rows:,} rows, {side}: {low:,.0f} to {high:,.0f} are usual."
    yield Measure(about, name, "rows", float(rows), low, high, limit, over=over, detail=said)


def _usual_rows(vitals: Vitals, limits: Feed) -> tuple[float, float]:
    """Return between how many rows a day usually has: on the scale of the logarithm, days without rows left out.

    Where weekdays differ the day is held against what its weekday does. A sparse source may have any few.
    """
    filled = vitals.rows > 0
    filled[-1] = True
    days = [day for day, there in zip(vitals.days, filled, strict=True) if there]
    logs = np.log(vitals.rows[filled].astype(np.float64))
    steady = vitals.reference or vitals.sparse
    history, shift = (logs[:-1], 0.0) if steady else _by_weekday(logs, days)
    few = math.log1p(FEW / math.exp(float(np.median(history)) + shift))
    floor = max(math.log(limits.rows_factor), few)
    held = usual(history, noise=0.0, floor=floor, limits=limits, beyond=limits.rows_beyond)
    low, high = math.exp(held.low + shift), math.exp(held.high + shift)
    return 0.0 if vitals.sparse else low, high


def _by_weekday(logs: FloatArray, days: Sequence[date]) -> tuple[FloatArray, float]:
    """Return what days before were, moved to any weekday, and how far the last day's weekday is from that.

    A weekday with `WEEKDAYS_NEEDED` days before is moved by its median's distance from that of all. What is left
    between n days of a weekday is stretched by n / (n - 1): they have shaped their own median.
    """
    weekday = np.array([day.weekday() for day in days])
    middle, moved, shift = float(np.median(logs[:-1])), logs[:-1].copy(), 0.0
    for each in np.unique(weekday):
        known = np.flatnonzero(weekday[:-1] == each)
        if known.size >= WEEKDAYS_NEEDED:
            own = float(np.median(logs[known]))
            moved[known] = middle + (logs[known] - own) * known.size / (known.size - 1)
            shift = own - middle if weekday[-1] == each else shift
    return moved, shift


def _same_weekday(vitals: Vitals) -> IntArray:
    """Return the rows of the days before that are the same day of the week; of a snapshot all."""
    if vitals.reference:
        return vitals.rows[:-1]
    same = [at for at, day in enumerate(vitals.days[:-1]) if day.weekday() == vitals.last.weekday()]
    return vitals.rows[same]


def _age(vitals: Vitals, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield how old the newest rows are, and how many days came again with other rows.

    The age has a limit where a source is sparse; elsewhere a day without rows is told by its rows.
    """
    filled = [day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0]
    name = vitals.source
    if not filled:
        yield told(about, name, "age", None, f"{name} has no rows in the {limits.days} days before {vitals.last}.")
        return
    age, limit = (vitals.last - filled[-1]).days, longest(vitals, limits) if vitals.sparse else None
    over = limit is not None and age > limit
    said = f"The newest rows of {name} are of {filled[-1]}, {age} days before {vitals.last}" if over else ""
    said += f"; {limit:g} would be usual." if over else ""
    yield Measure(about, name, "age", float(age), limit=limit, over=over, detail=said)
    if not vitals.reference:
        yield told(about, name, "lateness", float(vitals.changed), "")


def longest(vitals: Vitals, limits: Feed) -> float | None:
    """Return how old the newest rows usually are at most: the longest time without rows, or the declared lateness.

    Of a sparse source three times as long and a week: its longest time is seldom seen in one window. None where too few
    days have rows.
    """
    filled = [day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0]
    if len(filled) < least_days(vitals, limits):
        return None
    gap = max(((after - before).days - 1 for before, after in pairwise(filled)), default=0)
    return float(max(3 * gap + WEEK if vitals.sparse else gap, vitals.late_days))


def missing(vitals: Vitals) -> tuple[date, ...]:
    """Return the days up to the judged one that have not come.

    These are days that were never written, and the newest ones without rows where half or more of their weekday before
    have some: a day that came empty and was followed by others is what the source says. Days within the declared
    lateness may still come. Of a sparse source and of snapshots none is missing.
    """
    if vitals.sparse or vitals.reference or not vitals.days:
        return ()
    rows = dict(zip(vitals.days, vitals.rows.tolist(), strict=True))
    newest, found = newest_rows(vitals) or vitals.days[0], []
    for offset in range((vitals.last - vitals.days[0]).days - vitals.late_days + 1):
        day = date.fromordinal(vitals.days[0].toordinal() + offset)
        back = [date.fromordinal(day.toordinal() - WEEK * weeks) for weeks in range(1, 5)]
        known = [rows[each] > 0 for each in back if each in rows]
        empty = day > newest and bool(known) and 2 * sum(known) >= len(known)
        if day not in rows or (empty and rows[day] == 0):
            found.append(day)
    return tuple(found)


def _copy(vitals: Vitals, about: Concern) -> Iterator[Measure]:
    """Yield whether a day repeats the rows of one before; a source of which days often do is left alone."""
    if vitals.reference or not vitals.prints or vitals.prints[-1] is None:
        return
    before = [each for each in vitals.prints[:-1] if each is not None]
    same = [day for day, each in zip(vitals.days[:-1], vitals.prints[:-1], strict=True) if each == vitals.prints[-1]]
    over = bool(same) and len(set(before)) == len(before)
    said = f"{vitals.source} of {vitals.last} repeats the {int(vitals.rows[-1]):,} rows of {same[-1]}." if over else ""
    yield Measure(about, vitals.source, "copy", float(bool(same)), limit=1.0 if over else None, over=over, detail=said)


def due(sources: Sequence[Vitals], *, case: str, limits: Feed, since: date) -> tuple[Measure, ...]:
    """Return, for each source of a label, how many of the days that it needs are missing.

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
        limit, old = longest(vitals, limits), newest_rows(vitals)
        if vitals.sparse and limit is not None and old is not None and (vitals.last - old).days > limit:
            gone = [date.fromordinal(old.toordinal() + 1 + each) for each in range((vitals.last - old).days)]
        said = ""
        if gone:
            said = f"Labels of {case} are late: {vitals.source} lacks {len(gone)} days from {gone[0]} to {gone[-1]}."
        late, limit = bool(gone), 1.0 if gone else None
        found.append(Measure("labels", vitals.source, "due", float(len(gone)), limit=limit, over=late, detail=said))
    return tuple(found)


def newest_rows(vitals: Vitals) -> date | None:
    """Return the newest day that has rows."""
    return max((day for day, rows in zip(vitals.days, vitals.rows, strict=True) if rows > 0), default=None)
