"""A new champion on probation: is it worse than the former one on the labels that mature, day after day?

The former champion keeps scoring. Each day's figure is the mean *paired* loss, that of the new champion minus that of
the former one on the same rows: what makes a day hard for both cancels. `core.betting` bounds its mean at every look.
The entities are the same each day and few, so the bound moves down by what other entities would have said: a new
champion is rolled back for being worse, not for these customers' chance likings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from perennial.core.betting import Series, lower, settle, spread, steady, streams, upper
from perennial.core.contacts import HOUSEHOLDS, Contacts
from perennial.core.deviations import FloatArray
from perennial.core.metrics import LEAST_PROBABILITY, IntArray, Scored
from perennial.errors import DataError, nearest
from perennial.records import Record
from perennial.spec import Value

LONGEST = 365  # days; a probation that needs more is none

Verdict = Literal["going on", "survived", "decayed"]


@dataclass(frozen=True, slots=True)
class Terms(Record):
    """What a probation is held to; exactly one of `days` and `labels` is given.

    Attributes:
        loss: the mean paired loss a day that must be found, in the unit of the loss.
        horizon_days: how many days the label of a day looks at.
        days: how many days with matured labels end the probation.
        labels: how many matured labels do.
        alpha: how likely a new champion that is no worse may be rolled back, at all looks together.
    """

    loss: float
    horizon_days: int
    days: int | None = None
    labels: int | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse terms that cannot be held."""
        if (self.days is None) == (self.labels is None):
            raise ValueError(f"a probation has either days or labels, got days={self.days}, labels={self.labels}.")
        if not (self.loss > 0 and 0 < self.alpha < 1 and self.horizon_days >= 1):
            raise ValueError(f"a probation needs loss > 0, 0 < alpha < 1 and horizon_days >= 1, got {self}.")


@dataclass(frozen=True, slots=True)
class Paired:
    """Rows that both champions scored, with matured labels; all arrays have the shape (rows,).

    `day` counts days; `entity` is a code: equal numbers mean the same entity. `difference` is the loss of the new
    champion minus that of the former one: above 0 the new one is worse.
    """

    day: IntArray
    entity: IntArray
    difference: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths and differences that are no numbers."""
        sizes = {array.size for array in (self.day, self.entity, self.difference)}
        if len(sizes) != 1:
            raise DataError(f"paired rows need arrays of one length, got {sorted(sizes)}.")
        bad = int((~np.isfinite(self.difference)).sum())
        if bad:
            raise DataError(f"paired losses must be finite numbers, got {bad} of {self.difference.size} that are not.")

    def between(self, first: int, last: int) -> Paired:
        """Return the rows of these days, both included."""
        rows = (self.day >= first) & (self.day <= last)
        return Paired(self.day[rows], self.entity[rows], self.difference[rows])

    def daily(self) -> Series:
        """Return the mean difference of each day."""
        days, code, rows = np.unique(self.day, return_inverse=True, return_counts=True)
        return Series(days, np.bincount(code, self.difference, days.size) / rows)


@dataclass(frozen=True, slots=True)
class ProbationRecord(Record):
    """What one look at a probation says.

    Attributes:
        verdict: "decayed" where `low` is above 0, at this look or an earlier one, else "survived" where the days or
            labels of the terms have been looked at, else "going on".
        through: the newest day whose labels have matured, as a count of days.
        loss: mean paired loss of the days looked at; None before the first.
        low: the mean paired loss lies above it; None where nothing can be said yet. It holds at all looks together with
            probability `1 - alpha`, and so does `high` by itself.
        high: the mean paired loss lies below it.
        days: with matured labels.
        labels: matured, of rows that both scored.
        entities: among them.
        blocks: how many blocks of days are complete; only they move the bounds.
        reason: the verdict in words.
    """

    verdict: Verdict
    through: int
    loss: float | None
    low: float | None
    high: float | None
    days: int
    labels: int
    entities: int
    blocks: int
    reason: str


def look(paired: Paired, before: Paired, *, terms: Terms, start: int, through: int) -> ProbationRecord:
    """Return what today's look says; looks may be left out or repeated, the verdict is the same.

    Args:
        paired: rows with matured labels; those outside `start` to `through` are left out.
        before: the same of days before the promotion, such as the holdout on which the gates compared both: how much
            the days vary. None of its rows counts for or against the new champion.
        terms: what was declared when the probation began.
        start: the first day the new champion scored.
        through: the newest day whose labels have matured.
    """
    rows = paired.between(start, through)
    series, path = rows.daily(), bounds(paired, before, terms=terms, start=start, through=through)
    low = max((step.low for step in path), default=-math.inf)
    high = min((step.high for step in path), default=math.inf)
    record = ProbationRecord(
        verdict=_verdict(low, series.day.size, rows.day.size, terms=terms),
        through=through,
        loss=float(series.value.mean()) if series.day.size else None,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        days=int(series.day.size),
        labels=int(rows.day.size),
        entities=int(np.unique(rows.entity).size),
        blocks=len(path),
        reason="",
    )
    return _told(record, terms)


def last_day(paired: Paired, terms: Terms) -> int | None:
    """Return the day with whose labels the terms are met, None where they are not yet.

    Looks that end there have the same verdict however late they come.
    """
    days, rows = np.unique(paired.day, return_counts=True)
    if terms.days is not None:
        return int(days[terms.days - 1]) if days.size >= terms.days else None
    enough = np.flatnonzero(np.cumsum(rows) >= (terms.labels or 0))
    return int(days[enough[0]]) if enough.size else None


@dataclass(frozen=True, slots=True)
class Step:
    """The bounds as they were when the block that ends with the day `last` was complete."""

    last: int
    low: float
    high: float


def bounds(paired: Paired, before: Paired, *, terms: Terms, start: int, through: int) -> list[Step]:
    """Return the bounds at the end of each complete block, oldest first.

    Half of `alpha` is the betting's, half that of the entities, so that both together err with `alpha` or less.
    """
    rows, earlier = paired.between(start, through), before.daily().until(start - terms.horizon_days)
    horizon, alpha = terms.horizon_days, terms.alpha / 2
    bets = settle(rows.daily(), earlier, start=start, through=through, horizon_days=horizon, size=terms.loss)
    low, high = (side(bets, alpha=alpha, count=streams(horizon)) for side in (lower, upper))
    allowed = allowances(rows, alpha=alpha)
    steps = []
    for bet, under, over in zip(bets, low, high, strict=True):
        room = allowed[max(seen)] if (seen := [day for day in allowed if day <= bet.last]) else math.inf
        steps.append(Step(bet.last, float(under) - room, float(over) + room))
    return steps


def foreseen_days(before: Paired, *, terms: Terms) -> int | None:
    """Return after how many days of a probation a loss of the declared size will probably be found.

    Those at which the bound would pass 0 if every block lost just that much and days and entities varied as those
    before the promotion: about the median where they do, later where the new champion's errors vary more or some
    customers bear most of the loss. The wait for the last labels is included. None where `LONGEST` days would not do:
    the loss is too small for these entities and days, and a probation for it promises nothing.
    """
    horizon, alpha, count = terms.horizon_days, terms.alpha / 2, streams(terms.horizon_days)
    variance = spread((before.daily(),), length=horizon, horizon_days=horizon)
    rooms = list(allowances(before, alpha=alpha).values())
    for number in range(LONGEST // horizon if rooms else 0):
        days, times = (number + 1) * horizon, number // count + 1
        distance = terms.loss - rooms[min(days, len(rooms)) - 1]
        if steady(distance, variance=variance, size=terms.loss, times=times) >= math.log(count / alpha):
            return days + horizon
    return None


def allowances(rows: Paired, *, alpha: float) -> dict[int, float]:
    """Return, by day, how far the mean of the days so far may lie from that of other entities, one-sided.

    `t(1 - alpha, N - 1) · sqrt(N / (N - 1) · Σ_i u_i²)` for N entities, where u_i is the mean over the days of what the
    entity i adds to each: the sum of its differences from the day's mean, over the day's rows. Infinite for one entity.

    Source:
        Liang and Zeger (1986), Biometrika 73, 13-22 (sums of squares of whole clusters).
    """
    from scipy.special import stdtrit

    known, code = np.unique(rows.entity, return_inverse=True)
    series, added, seen = rows.daily(), np.zeros(known.size), np.zeros(known.size, dtype=bool)
    found: dict[int, float] = {}
    for number, (day, mean) in enumerate(zip(series.day, series.value, strict=True), start=1):
        today = rows.day == day
        added += np.bincount(code[today], rows.difference[today] - mean, known.size) / today.sum()
        seen[code[today]] = True
        count = int(seen.sum())
        error = math.sqrt(float((added**2).sum()) * count / (count - 1)) / number if count > 1 else math.inf
        found[int(day)] = float(stdtrit(count - 1, 1 - alpha)) * error if count > 1 else math.inf
    return found


def losses(name: str, scored: Scored, *, value: Value | None = None, share: float | None = None) -> FloatArray:
    """Return the loss of each row, whose mean over the rows of a day is the day's metric, shape (rows,).

    `log_loss`, `brier_score` and `mae` as they are; `rmse` as the squared error; `expected_profit` as what was not
    earned, minus the profit per 1,000 households and day, at the share.

    Raises:
        DataError: the metric is no mean over rows, such as a ranking, or has no money.
    """
    if name == "expected_profit" and value is not None:
        chance = Contacts(scored.score, scored.day, share=share or 0.0).chances()
        return -HOUSEHOLDS * chance * (value.conversion * scored.label - value.contact)
    if name not in _LOSSES:
        raise DataError(f"a probation cannot be held on {name!r}: no loss a row. {nearest(name, _LOSSES)}")
    return _LOSSES[name](scored.label, scored.score)


def _log_loss(label: FloatArray, score: FloatArray) -> FloatArray:
    p = np.clip(score, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(-(label * np.log(p) + (1 - label) * np.log(1 - p)))


_LOSSES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "log_loss": _log_loss,
    "brier_score": lambda label, score: (score - label) ** 2,
    "mae": lambda label, score: np.abs(score - label),
    "rmse": lambda label, score: (score - label) ** 2,
}


def _verdict(low: float, days: int, labels: int, *, terms: Terms) -> Verdict:
    """Return the verdict; a bound of exactly 0 is no decay, exactly the days or labels of the terms are enough."""
    if low > 0:
        return "decayed"
    over = days >= terms.days if terms.days is not None else labels >= (terms.labels or 0)
    return "survived" if over else "going on"


def _told(record: ProbationRecord, terms: Terms) -> ProbationRecord:
    """Return the record with its reason."""
    looked = f"{record.days} days and {record.labels:,} labels looked at, {record.blocks} blocks complete"
    if record.loss is None or record.low is None or record.high is None:
        why = f"Too little to bound the loss: {looked}."
    elif record.verdict == "decayed":
        why = (
            f"Worse than the former champion by {record.loss:+.4g} a row, surely by more than {record.low:.2g} "
            f"(false alarms at all looks together: {terms.alpha:.0%} at most); {looked}."
        )
    else:
        rest = "is ruled out" if record.high < terms.loss else "is not ruled out"
        why = (
            f"Mean paired loss {record.loss:+.4g}, between {record.low:.2g} and {record.high:.2g}; the declared loss "
            f"of {terms.loss:g} {rest}; {looked}."
        )
    return replace(record, reason=why)
