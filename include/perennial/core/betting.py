"""Bounds on a mean that hold at every look: blocks of dependent days, bet on one after another.

Day d's figure is known at d + horizon only, so figures of neighbouring days share label days and a day is no news
about the next. Days are put into blocks as long as the horizon, and blocks into *streams*, such that whatever a
block's figure is made of is known before the next block of its stream begins. In a stream the bet

    `M(m) = Π exp φ(λ (x - m)) / (1 + λ² σ² / 2)`,  `φ(z) = sign(z) · ln(1 + |z| + z² / 2)`

is a nonnegative supermartingale for every mean that is m or less, whatever the distribution, as long as λ and the
bound σ² on the variance of a block come from days before it: `exp φ(z) ≤ 1 + z + z² / 2`, and φ rises. By Ville it
reaches `1 / alpha` with probability `alpha` or less *ever*. Of s streams any may reach `s / alpha`. Their average
must not be looked at daily, though it would do at a time fixed beforehand: between two settlements of one stream the
others tell what is coming.

Source:
    Catoni (2012), Ann. Inst. H. Poincaré B 48, 1148-1185; Wang and Ramdas (2023), Stoch. Proc. Appl. 163, 168-202
    (means of bounded variance at all times); Howard, Ramdas, McAuliffe and Sekhon (2021), Ann. Statist. 49,
    1055-1080, and Waudby-Smith and Ramdas (2024), J. R. Statist. Soc. B 86, 1-27 (confidence sequences, by betting);
    Vovk and Wang (2021), Ann. Statist. 49, 1736-1754 (averages at a fixed time); Henzi and Ziegel (2022), Biometrika
    109, 647-663, and their correction on 1181-1182 (why not at a random one).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from perennial.core.deviations import FloatArray
from perennial.core.metrics import IntArray

SURE = 0.8  # of the bound on a block's variance
WEIGHTS: FloatArray = np.array([0.5, 0.25, 0.25])  # of the three stakes; the first is for the size that is declared
STEPS = 50  # halvings of an interval


@dataclass(frozen=True, slots=True)
class Series:
    """One figure a day; `day` counts days and rises."""

    day: IntArray
    value: FloatArray

    def until(self, day: int) -> Series:
        """Return the days up to this one, itself included."""
        known = self.day <= day
        return Series(self.day[known], self.value[known])


@dataclass(frozen=True, slots=True)
class Bet:
    """A settled block: the day on which it is complete, its mean, the bound on its variance, and what was staked.

    `last` is the last day of the block; its label is known a horizon later. `stakes` are the λ.
    """

    stream: int
    last: int
    mean: float
    variance: float
    stakes: tuple[float, ...]


def streams(horizon_days: int) -> int:
    """Return how many streams the blocks make: one where a day's label is known before the next day, else two.

    A block of h days from day a on is known on day a + 2h - 1, before the block after the next begins.
    """
    return 1 if horizon_days == 1 else 2


def settle(own: Series, before: Series, *, start: int, through: int, horizon_days: int, size: float) -> list[Bet]:
    """Return the bets on all blocks that are complete, oldest first.

    Args:
        own: the days to judge.
        before: the same figure of days before them, which tell how much it varies.
        start: the first day of the first block.
        through: the newest day whose figure is final.
        horizon_days: how many days the figure of a day looks ahead; also the length of a block.
        size: the mean that is to be found.
    """
    length, bets = horizon_days, []
    for number in range((through - start + 1) // length):
        first = start + number * length
        inside = (own.day >= first) & (own.day < first + length)
        variance = spread((before, own.until(first - horizon_days)), length=length, horizon_days=horizon_days)
        # A day without rows counts as 0: neither better nor worse, and no more uncertain than a day with them.
        mean = float(own.value[inside].sum()) / length
        bets.append(Bet(number % streams(horizon_days), first + length - 1, mean, variance, stakes(size, variance)))
    return bets


def stakes(size: float, variance: float) -> tuple[float, ...]:
    """Return the three λ: the best for half of `size`, the best for what cannot be missed, and one between them.

    `mean / sd²` makes the logarithm of the bet grow fastest for a small mean, `1 / sd` for a large one. Half, because
    the other half may be the room for other entities. Nothing is staked where the variance is unknown.
    """
    if not math.isfinite(variance) or variance <= 0:
        return (0.0,) * WEIGHTS.size
    most = 1 / math.sqrt(variance)
    least = min(size / 2 / variance, most)
    return (least, math.sqrt(least * most), most)


def lower(bets: Sequence[Bet], *, alpha: float, count: int) -> FloatArray:
    """Return the bound above which the mean lies after each bet; that any of them errs has probability `alpha` or less.

    It is the largest mean m that some stream rules out by then: `M(m) = count / alpha`, which falls in m. Minus
    infinity before anything is staked.

    Args:
        bets: of all streams, in the order in which they are settled.
        alpha: the probability to err.
        count: how many streams there are.
    """
    found = np.full((count, len(bets)), -math.inf)
    for stream in range(count):
        own = [number for number, bet in enumerate(bets) if bet.stream == stream]
        refuted = _largest_refuted([bets[number] for number in own], math.log(count / alpha))
        for number, bound in zip(own, refuted, strict=True):
            found[stream, number:] = bound
    return np.asarray(found.max(axis=0))


def upper(bets: Sequence[Bet], *, alpha: float, count: int) -> FloatArray:
    """Return the bound below which the mean lies after each bet, by the same bets on the opposite."""
    return -lower([replace(bet, mean=-bet.mean) for bet in bets], alpha=alpha, count=count)


def wealth(bets: Sequence[Bet], mean: FloatArray) -> FloatArray:
    """Return ln M of one stream after each of its bets, each against a mean of its own, shape (bets,).

    M is the average of the three stakes' M by `WEIGHTS`.
    """
    x, variance = (np.array([getattr(bet, name) for bet in bets]) for name in ("mean", "variance"))
    stake = np.array([bet.stakes for bet in bets])
    settled = np.tri(len(bets))[:, :, None]  # the row says after which bet, the column which one
    known = np.where(np.isfinite(variance), variance, 0.0)[:, None]  # nothing is staked where it is not
    return _average((settled * _gained(stake * (x - mean[:, None])[:, :, None], stake, known)).sum(axis=1))


def steady(distance: float, *, variance: float, size: float, times: int) -> float:
    """Return ln M after so many bets of one stream, each of which lay `distance` above what it is held against."""
    stake = np.array(stakes(size, variance))
    return float(_average(times * _gained(stake * distance, stake, np.array(variance)))) if stake[0] > 0 else 0.0


def _gained(reach: FloatArray, stake: FloatArray, variance: FloatArray) -> FloatArray:
    """Return the logarithm of bets: φ of what was reached, less their cost."""
    return np.sign(reach) * np.log1p(np.abs(reach) + reach**2 / 2) - np.log1p(stake**2 * variance / 2)


def _average(total: FloatArray) -> FloatArray:
    """Return the logarithm of the average of the three stakes' M, which lie along the last axis as logarithms."""
    most = total.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log((WEIGHTS * np.exp(total - most)).sum(axis=-1)))


def _largest_refuted(bets: Sequence[Bet], needed: float) -> FloatArray:
    """Return the m at which ln M falls below `needed` after each bet, by halving."""
    if not bets:
        return np.zeros(0)
    staked = np.cumsum([bet.stakes[0] > 0 for bet in bets]) > 0
    high = np.full(len(bets), max(bet.mean for bet in bets))  # against the best of them nothing is gained
    width = np.full(len(bets), max([math.sqrt(bet.variance) for bet in bets if bet.stakes[0] > 0], default=1.0))
    while (short := staked & (wealth(bets, high - width) < needed)).any():
        width[short] *= 2
    low = high - width
    for _ in range(STEPS):
        middle = (low + high) / 2
        enough = wealth(bets, middle) >= needed
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return np.where(staked, low, -math.inf)


def spread(parts: tuple[Series, ...], *, length: int, horizon_days: int) -> float:
    """Return an upper bound, `SURE`, on the variance of the mean of `length` days; infinite where days are too few.

    The means of all spans of so many days are held against the mean of their part, `Q = x'Mx`. For days with the
    covariances `σ² Γ` its mean is `σ² tr(MΓ)`, its degrees of freedom are `tr(MΓ)² / tr(MΓMΓ)`, and the variance of a
    span is the mean `w'Γw`. Γ is that of days that are all new, or of days whose labels overlap; the larger bound
    counts.
    """
    from scipy.special import chdtri

    forms = [_form(part.day, length=length) for part in parts]
    if not sum(len(form[1]) for form in forms):
        return math.inf
    total = sum(float(part.value @ form[0] @ part.value) for part, form in zip(parts, forms, strict=True))
    bounds = []
    for shared in {1, horizon_days}:
        gammas = [np.maximum(0.0, 1 - np.abs(part.day[:, None] - part.day[None, :]) / shared) for part in parts]
        spreads = [form[0] @ gamma for form, gamma in zip(forms, gammas, strict=True)]
        mean = sum(float(np.trace(each)) for each in spreads)
        twice = sum(float((each * each.T).sum()) for each in spreads)
        own = [((form[1] @ gamma) * form[1]).sum(axis=1) for form, gamma in zip(forms, gammas, strict=True)]
        if mean <= 0 or twice <= 0:
            return math.inf
        freedom = mean**2 / twice
        bounds.append(total / mean * float(np.concatenate(own).mean()) * freedom / float(chdtri(freedom, SURE)))
    return max(bounds)


def _form(day: IntArray, *, length: int) -> tuple[FloatArray, FloatArray]:
    """Return the matrix M of `spread`, and the weights of the days in each span, shape (spans, days)."""
    if day.size < 2 or day[-1] - day[0] + 1 <= length:
        return np.zeros((day.size, day.size)), np.zeros((0, day.size))
    first = day[day + length - 1 <= day[-1]]
    inside = ((day >= first[:, None]) & (day < first[:, None] + length)).astype(np.float64)
    weights = inside / inside.sum(axis=1, keepdims=True)
    against = weights - 1 / day.size
    return against.T @ against, weights
