"""The columns of a source's day against its days before: missing values, units and categories; and refused rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from perennial.core.vitals import Categories, FloatArray, IntArray, Vitals, least_days, told, usual
from perennial.modelling import Feed
from perennial.records import Concern, Measure

MEDIAN_ERROR, IQR = 1.2533, 1.349  # its median's standard error by its own; its quartiles' distance
ALIKE = 1.5  # between the moves of quartiles that a unit has moved
ROUNDED = 12**-0.5  # standard deviation of what rounding to whole numbers takes
NOT_BY_CHANCE = 20.0  # rows of a category to be expected, of which there is none


@dataclass(frozen=True, slots=True)
class _Share:
    """A share by day, and how it is told: as which measure of what, with which floor in the share itself."""

    about: Concern
    name: str
    measure: str
    values: FloatArray
    rows: IntArray
    floor: float
    what: str
    both: bool


def judge(vitals: Vitals, *, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield what the day's columns hold, for a day with rows; the share of refused rows first."""
    whole = vitals.rows + vitals.refused
    refused = _Share(
        about, vitals.source, "quarantine share", _of(vitals.refused, whole), whole, limits.quarantine_share,
        "in quarantine", both=False,
    )  # fmt: skip
    yield _share(vitals, refused, limits)
    for name, nulls in vitals.nulls.items():
        label, values = f"{vitals.source}.{name}", _of(nulls, vitals.rows)
        share = _Share(about, label, "null share", values, vitals.rows, limits.null_share, "null", both=True)
        yield _share(vitals, share, limits)
    for name in vitals.quartiles:
        yield from _scale(vitals, name, limits, about)
    for name in vitals.categories:
        yield from _categories(vitals, name, limits, about)


def _of(part: IntArray, whole: IntArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros(whole.size), where=whole > 0)


def _share(vitals: Vitals, share: _Share, limits: Feed) -> Measure:
    """Return whether a share of a day is out of the usual: above it, with `both` also below.

    A share that is fewer points from the median than the floor is never worth a word.
    """
    before, value, size = share.rows[:-1] > 0, float(share.values[-1]), int(share.rows[-1])
    if size < limits.least_rows or int(before.sum()) < least_days(vitals, limits):
        return told(share.about, share.name, share.measure, value if size else None)
    history = np.arcsin(np.sqrt(share.values[:-1][before]))
    held = usual(history, noise=1 / (2 * math.sqrt(size)), floor=0.0, limits=limits)
    middle = _back(held.middle)
    low = max(min(_back(held.low), middle - share.floor), 0.0)
    high = min(max(_back(held.high), middle + share.floor), 1.0)
    over, limit, said = value > high or (share.both and value < low), None, ""
    if over:
        limit = high if value > high else low
        said = (
            f"{value:.1%} of {share.name} on {vitals.days[-1]} are {share.what}, {middle:.1%} are usual ({low:.1%} to "
            f"{high:.1%})."
        )
    return Measure(share.about, share.name, share.measure, value, low, high, limit, over=over, detail=said)


def _back(angle: float) -> float:
    """Return the share whose root has this arcsine; beyond 0 and 1 there is none."""
    return math.sin(min(max(angle, 0.0), math.pi / 2)) ** 2


def _scale(vitals: Vitals, name: str, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield by which factor a column's values have moved: the least of its three quartiles' factors, if all agree."""
    column, label = vitals.quartiles[name], f"{vitals.source}.{name}"
    values, size = vitals.values[name], int(vitals.values[name][-1])
    known = values[:-1] >= limits.least_rows
    if size < limits.least_rows or int(known.sum()) < least_days(vitals, limits):
        yield told(about, label, "scale", None)
        return
    logs = np.log(column)
    middle = np.median(logs[:-1][known], axis=0)
    history, value = agreed(logs[:-1][known] - middle), float(agreed(logs[-1:] - middle)[0])
    within = float(np.median(logs[:-1][known][:, 2] - logs[:-1][known][:, 0])) / IQR
    whole = ROUNDED / math.exp(float(middle[0])) if name in vitals.whole else 0.0
    noise = math.hypot(MEDIAN_ERROR * within / math.sqrt(size), whole)
    held = usual(history, noise=noise, floor=math.log(limits.scale_factor), limits=limits)
    over, ratio, limit, said = not held.holds(value), math.exp(value), None, ""
    low, high = math.exp(held.low), math.exp(held.high)
    if over:
        limit = high if value > held.high else low
        said = (
            f"The values of {label} on {vitals.days[-1]} are {ratio:.3g} times the usual ones (median "
            f"{column[-1][1]:.4g}, usually {math.exp(middle[1]):.4g}; {low:.2f} to {high:.2f} times is usual): another "
            "unit?"
        )
    yield Measure(about, label, "scale", ratio, low, high, limit, over=over, detail=said)


def agreed(moves: FloatArray) -> FloatArray:
    """Return, a row, the smallest of some moves where all are about the same, else 0.

    A unit moves every quartile by the same factor; a change of what is sold or flown seldom does. About the same is: in
    one direction, and the largest is at most half as large again as the smallest.

    >>> agreed(np.array([[1.0, 1.2, 1.5], [1.0, 1.2, 1.6], [-1.0, 1.0, 1.0], [-3.0, -2.0, -2.5]]))
    array([ 1.,  0.,  0., -2.])
    """
    least, greatest = moves.min(axis=1), moves.max(axis=1)
    up = np.where((least > 0) & (greatest <= ALIKE * least), least, 0.0)
    return np.where((greatest < 0) & (least >= ALIKE * greatest), greatest, up)


def _categories(vitals: Vitals, name: str, limits: Feed, about: Concern) -> Iterator[Measure]:
    """Yield the share of rows of new categories, or what categories had that are gone, whichever is more.

    New is a category that is first seen less than `MEMORY` days before: so that a rename is not forgotten the next day.
    """
    column, label, rows = vitals.categories[name], f"{vitals.source}.{name}", vitals.rows
    known, size = (rows[:-1] > 0) & column.settled[:-1], int(rows[-1])
    if size < limits.least_rows or int(known.sum()) < least_days(vitals, limits):
        yield told(about, label, "categories", None)
        return
    young = _of(column.young, rows)
    held = usual(np.arcsin(np.sqrt(young[:-1][known])), noise=1 / (2 * math.sqrt(size)), floor=0.0, limits=limits)
    high = min(max(_back(held.high), _back(held.middle) + limits.category_share), 1.0)
    new, gone = float(young[-1]), _gone(vitals, column)
    lost = sum(gone.values())
    over, limit, said = new > high or lost > limits.category_share, None, ""
    if over:
        limit = high if new > high else limits.category_share
        said = _said_of(label, vitals.days[-1], gone, _newcomers(vitals, column), new)
    yield Measure(about, label, "categories", max(new, lost), 0.0, high, limit, over=over, detail=said)


def _gone(vitals: Vitals, column: Categories) -> dict[str, float]:
    """Return the usual share of each category that every earlier day has and the judged one has not, most first.

    Earlier is `MEMORY` days before or more. A category of which fewer than `NOT_BY_CHANCE` rows are to be expected may
    be missing by chance.
    """
    known = vitals.earlier & (vitals.rows > 0)
    if not known.any():
        return {}
    shares = column.counts[known] / vitals.rows[known][:, None]
    found = {
        name: float(np.median(shares[:, at]))
        for at, name in enumerate(column.names)
        if column.counts[-1, at] == 0 and shares[:, at].min() > 0
    }
    lost = {name: share for name, share in found.items() if share * float(vitals.rows[-1]) >= NOT_BY_CHANCE}
    return dict(sorted(lost.items(), key=lambda pair: -pair[1]))


def _newcomers(vitals: Vitals, column: Categories) -> dict[str, float]:
    """Return the share of each category that the judged day has and no earlier one, most first."""
    found = {
        name: float(column.counts[-1, at] / vitals.rows[-1])
        for at, name in enumerate(column.names)
        if column.counts[-1, at] > 0 and not column.counts[vitals.earlier, at].any()
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _said_of(label: str, day: date, gone: Mapping[str, float], new: Mapping[str, float], share: float) -> str:
    """Return what happened to the categories: renamed where one that came has half to twice the share of one gone."""
    for old, had in gone.items():
        for name, has in new.items():
            if had / 2 <= has <= had * 2:
                return (
                    f"{old!r} of {label}, usually {had:.1%} of the rows, is gone on {day}, and {name!r} is new "
                    f"({has:.1%}): renamed?"
                )
    lost = ", ".join(repr(name) for name in list(gone)[:3])
    parts = [f"{share:.1%} of {label} on {day} are of categories not seen before"] if share else []
    parts += [f"{lost} of {label}, usually {sum(gone.values()):.1%} of the rows, are gone on {day}"] if gone else []
    return "; ".join(parts) + "."
