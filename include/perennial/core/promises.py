"""What matured labels say of a model's promises: its metric, its calibration and its money, each with an interval.

Intervals are those of the gates: entities and blocks of days as long as the label's horizon are resampled
(`core.resampling`). A measure is past its limit only where the whole interval is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perennial.core import deviations, metrics
from perennial.core.deviations import FloatArray
from perennial.core.deviations import Measure as Statistic
from perennial.core.evidence import Contender
from perennial.core.metrics import IntArray, Scored
from perennial.core.resampling import LEAST_BLOCKS, estimate, ties
from perennial.modelling import MONEY, Monitoring, Performance, metrics_of
from perennial.records import Concern, Measure

EXPECTED = 20.0  # labels of a day, for their absence to say anything


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its two-sided interval; infinite ends where nothing is known of its spread."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Says how sure figures of some rows are.

    Attributes:
        scored: the rows.
        horizon_days: how many days the label of a day looks at.
        monitoring: has the confidence, the resamples and the limits.
        seed: of the resamples.
    """

    scored: Scored
    horizon_days: int
    monitoring: Monitoring
    seed: int

    @property
    def knows_days(self) -> bool:
        """Tell whether it is known how days differ: not before there are four blocks, where the window holds as many.

        In the first days of a champion one storm would look like a sure decay: entities alone do not show it. Where
        the declared window never holds four blocks, entities are all that there is, as for the gates.
        """
        block = (self.scored.day - self.scored.day.min()) // self.horizon_days
        whole = -(-self.monitoring.performance.window_days // self.horizon_days)
        return whole < LEAST_BLOCKS or np.unique(block).size >= LEAST_BLOCKS

    def interval(self, statistic: Statistic) -> Interval:
        """Return a figure with its interval, which is endless where it is not known how days differ."""
        if not self.knows_days:
            return Interval(float(statistic(np.ones(self.scored.label.size))), -math.inf, math.inf)
        tied = ties(self.scored, horizon_days=self.horizon_days, unit="auto")
        found = estimate(statistic, tied, resamples=self.monitoring.resamples, seed=self.seed)
        side = (1 + self.monitoring.confidence) / 2
        return Interval(found.value, found.lower(side), found.upper(side))

    def described(self) -> str:
        """Return in words which rows, and how sure."""
        days = np.unique(self.scored.day).size
        few = "" if self.knows_days else f" of {days} days, too few to know how days differ"
        return f"{self.scored.label.size:,} matured labels{few}, {self.monitoring.confidence:.0%} interval"


def past(limit: Performance, found: Interval) -> tuple[bool, bool]:
    """Tell whether a metric is past its limit, and whether its whole interval is; at the limit neither is."""
    if limit.at_least is not None:
        return found.value < limit.at_least, found.high < limit.at_least
    most = limit.at_most if limit.at_most is not None else math.inf
    return found.value > most, found.low > most


def limit_of(limit: Performance) -> float | None:
    """Return the number of the limit."""
    return limit.at_least if limit.at_least is not None else limit.at_most


def against_limit(found: Interval, limit: Performance, *, about: Concern, what: str, source: str) -> Measure:
    """Return the measure of a metric; `what` and `source` are the words before and behind its value."""
    beyond, surely = past(limit, found)
    side = "below" if limit.at_least is not None else "above"
    reach = "" if surely else ", which reaches the limit"
    said = (
        f"{limit.metric} {what} is {found.value:.4f}, {side} {limit_of(limit):g} "
        f"({source} {found.low:.4f} to {found.high:.4f}{reach})."
    )
    return Measure(
        about, limit.metric, "value", finite(found.value), finite(found.low), finite(found.high), limit_of(limit),
        over=surely, detail=said if beyond else "",
    )  # fmt: skip


def performance(judge: Judge, contender: Contender) -> Iterator[Measure]:
    """Yield the declared metric with its interval, and every other one as told."""
    limit = judge.monitoring.performance
    found = judge.interval(contender.measure(limit.metric))
    yield against_limit(found, limit, about="performance", what="on matured labels", source=judge.described())
    known = metrics_of(contender.scored.kind, money=contender.value is not None)
    for name in known:
        if name != limit.metric and math.isfinite(contender.metrics.get(name, math.nan)):
            yield Measure("performance", name, "value", contender.metrics[name])


def calibration(judge: Judge) -> Iterator[Measure]:
    """Yield what happened against what was promised.

    Of a binary label `observed / expected = mean label / mean score`, tolerated within `1/ratio .. ratio`, and the
    slope of the reliability diagram; of a number the bias, mean(score - label), and the slope.
    """
    scored, held = judge.scored, judge.monitoring.calibration
    if scored.kind == "binary":
        found = judge.interval(observed_to_expected(scored))
        limits = (1 / held.ratio, held.ratio) if held.ratio else None
        said = f"{scored.label.mean():.2%} of the labels are positive and {scored.score.mean():.2%} were expected"
        yield _within(found, limits, measure="observed / expected", said=said, judge=judge)
    else:
        found = judge.interval(deviations.mean_of(scored.score - scored.label))
        limits = (-held.bias, held.bias) if held.bias else None
        said = f"the scores are {found.value:+.4g} from the labels on average"
        yield _within(found, limits, measure="bias", said=said, judge=judge)
    slope = judge.interval(metrics.reliability_slope(scored.label, scored.score))
    limits = (1 - held.slope, 1 + held.slope) if held.slope else None
    said = "the scores are too extreme" if slope.value < 1 else "the scores are too timid"
    yield _within(slope, limits, measure="slope", said=said, judge=judge)


def observed_to_expected(scored: Scored) -> Statistic:
    """Return `Σ label / Σ score` as a function of row weights; NaN where nothing was expected."""

    def weighted(weights: FloatArray) -> FloatArray:
        return deviations.ratio((weights * scored.label).sum(axis=-1), (weights * scored.score).sum(axis=-1))

    return weighted


def _within(found: Interval, limits: tuple[float, float] | None, *, measure: str, said: str, judge: Judge) -> Measure:
    """Return whether an interval lies wholly outside of what is tolerated."""
    over, limit = False, None
    if limits is not None:
        over = found.high < limits[0] or found.low > limits[1]
        limit = limits[0] if found.value < (limits[0] + limits[1]) / 2 else limits[1]
    told = ""
    if over:
        interval = f"{judge.described()} {found.low:.3g} to {found.high:.3g}"
        told = f"Calibration, {measure}: {found.value:.3g} ({interval}), limit {limit:.3g}: {said}."
    value = finite(found.value)
    return Measure(
        "calibration", "score", measure, value, finite(found.low), finite(found.high), limit, over=over, detail=told
    )


def value(judge: Judge, contender: Contender) -> Iterator[Measure]:
    """Yield realised profit per 1,000 and return on spend, against what the scores promised of the same rows.

    What was expected is the same figure with each score in the place of its label, to which both are linear. Past its
    limit is a profit that is surely below 0, or surely below the declared share of what was expected.
    """
    if contender.value is None:
        return
    scored, share = judge.scored, judge.monitoring.value_share
    promised = Scored(scored.score, scored.score, scored.day, scored.entity, scored.kind)
    ones = np.ones(scored.label.size)
    for name in MONEY:
        realised = contender.measure(name)
        hoped = metrics.measure(name, promised, value=contender.value, share=contender.share)
        found, expected = judge.interval(realised), float(hoped(ones))
        over, limit, said = False, None, ""
        if name == "expected_profit":
            over, limit, said = _profit(judge, found, expected, _short(realised, hoped, share))
        low, high = finite(found.low), finite(found.high)
        yield Measure("value", name, "realised", found.value, low, high, limit, over=over, detail=said)
        yield Measure("value", name, "expected", expected)


def _short(realised: Statistic, hoped: Statistic, share: float | None) -> Statistic | None:
    """Return how far the profit is above the declared share of the promised one, as a function of row weights."""
    if share is None:
        return None
    return lambda weights: np.asarray(realised(weights) - share * hoped(weights))


def _profit(judge: Judge, found: Interval, expected: float, short: Statistic | None) -> tuple[bool, float | None, str]:
    """Return whether a profit is past a limit, the limit, and what is said."""
    share = judge.monitoring.value_share
    interval = f"({judge.described()} {found.low:,.2f} to {found.high:,.2f})"
    whole = f"The realised profit is {found.value:,.2f} per 1,000 {interval}, {expected:,.2f} were expected"
    if found.high < 0:
        return True, 0.0, f"{whole}: contacting costs more than it brings."
    if short is not None and share is not None and judge.interval(short).high < 0:
        return True, share * expected, f"{whole}: less than the declared {share:.0%} of it."
    return False, 0.0 if share is None else share * expected, ""


def finite(end: float) -> float | None:
    """Return a number that JSON can carry, None for one that is not finite."""
    return end if math.isfinite(end) else None


def missing_labels(day: IntArray, expected: FloatArray, came: FloatArray, *, name: str) -> Measure | None:
    """Return that labels of the newest matured days have not come, None where they have.

    A day lacks its labels where none has come and `EXPECTED` or more were: were labels independent chances, that would
    happen with probability `exp(-20)`, about 2e-9. Days are looked at from the newest on, until one has labels.

    Args:
        day: shape (rows,), of each scored row.
        expected: how many labels are expected of the row: its score, or 1 where each row has one.
        came: how many have come.
        name: of the label.
    """
    days, code = np.unique(day, return_inverse=True)
    wanted, found = (np.bincount(code, each, days.size) for each in (expected, came))
    lacking = (found == 0) & (wanted >= EXPECTED)
    late = int(days.size if lacking.all() else np.argmin(lacking[::-1]))
    if late == 0:
        return None
    many = float(wanted[-late:].sum())
    said = f"No label {name} of the newest {late} matured days has come, where {many:,.0f} were expected."
    return Measure("labels", name, "due", float(late), limit=1.0, over=True, detail=said)
