"""How large a PSI is on calm days: the null distribution of one reference, and the limits that it gives.

**What is drawn.** Days are the unit: the rows of a day share its weekday, its season and its mood, and the same
entities come back on many days, so that rows are no sample of independent ones. One draw holds one day of the reference
out and measures it against the days on one side of it that lie at least `lag` days away, on the side where there are
more. `lag` is how far the day to judge lies after the reference: a block of days is left out between both, as long as
the one that really lies between them, so that features that look back for weeks differ as much as they will. Only days
that find a third of the reference's days there are held out, and the block is a third of the reference's span at the
most. All features of a draw are of the same rows, so what hangs together stays so.

**Season.** Half a reference is nearer to a held-out day than the whole one is to the day to judge. So each draw is
moved to the real distance, the mean number of days between the day and its reference's, along a line through the draws'
cube roots: that of all draws, or that of those which have their reference before them, whichever is steeper, and never
downwards. A season that turns only after the reference has ended is nothing that its days can tell.

**Rows.** A held-out day with more rows than the day to judge is thinned to as many, by drawing without replacement:
rows that are a sample stay one, of the size wanted. This is done anew for each feature. A day with fewer rows is taken
as it is, which errs on the side of silence.

**The limit** at a rate r of false alarms is the larger of two. The first is the order statistic of rank
`⌈(1-r)(days + 1)⌉`, or the largest where there are fewer days than that: where days are exchangeable, the next one
exceeds it no more often than r. Fewer than 1/r - 1 days cannot say so much; hence the second, the prediction bound
`(m + t·s·sqrt(1 + (1 + e)/n))³` of the cube roots, which for sums of squares, as the PSI nearly is one, are nearly
normal. There e is how far the real distance lies beyond that of the draws, as the variance of a regression has it, and
n what the days are worth: their number, less by as much as means of blocks of days vary more than independent days
would. Blocks are a week long or as long as the lag, and four at least.

Source:
    Künsch (1989), Ann. Statist. 17, 1217-1241 (blocks of dependent days); Wilson and Hilferty (1931), PNAS 17, 684-688
    (cube roots); Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World, Springer (the rank);
    Yurdakul and Naranjo (2020), J. Risk Model Validation 14(4) (the PSI's distribution depends on the rows).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from perennial.core.deviations import FloatArray
from perennial.core.drift import psis
from perennial.core.metrics import IntArray

LEAST_DAYS = 14
LEAST_PSI = 0.01
WEEK = 7
LEAST_BLOCKS = 4
PART = 3  # a third of the days is the least to be compared with, and of their span the longest lag


@dataclass(frozen=True, slots=True)
class Null:
    """Draws of calm days.

    Attributes:
        psi: shape (times, days, columns): each held-out day's PSI of each column, several times where days are thinned.
        block: the block of each held-out day, shape (days,).
        beyond: the square of how far the real distance lies beyond the mean of the draws', in units of their variance.
    """

    psi: FloatArray
    block: IntArray
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Limits at one rate of false alarms.

    Attributes:
        psi: of each column, reached by a calm day with that rate; 0.01 at the least, shape (columns,).
        share: of columns that reach theirs, reached by a calm day with that rate; 1 at the most.
    """

    psi: FloatArray
    share: float


def draw(counts: IntArray, days: IntArray, *, rows: int, lag: int, resamples: int = 500, seed: int = 0) -> Null | None:
    """Return the PSI of calm days of `rows` rows that lie `lag` days after their reference.

    Args:
        counts: of each reference day and column the rows in each bin, shape (days, columns, bins).
        days: days since 1970, ascending, shape (days,).
        rows: how many rows the day to judge has, nulls included.
        lag: how many days it lies after the last of the reference; 1 is the day after.
        resamples: how many draws there are at least, where days have to be thinned.
        seed: of the thinning; equal seeds give equal draws.

    Returns:
        The draws; None where the reference has fewer than 14 days that can be held out.
    """
    if days.size < LEAST_DAYS:
        return None
    span = int(days[-1] - days[0]) + 1
    apart = min(lag, span // PART)
    side = _sides(days, apart)
    if side.held.size < LEAST_DAYS:
        return None
    until = np.concatenate([np.zeros_like(counts[:1]), np.cumsum(counts, axis=0)])
    times = -(-resamples // side.held.size) if (counts[side.held].sum(axis=2) > rows).any() else 1
    current = _thinned(counts[side.held], rows=rows, times=times, seed=seed)
    psi = psis((until[side.stop] - until[side.start])[None], current)
    further = max(0.0, lag + float(days[-1] - days.mean()) - float(side.distance.mean()))
    length = max(1, min(max(WEEK, apart), span // LEAST_BLOCKS))
    return Null(
        psi=_moved(psi, side, further=further),
        block=(days[side.held] - days[0]) // length,
        beyond=further**2 / max(1.0, float(side.distance.var())),
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """The held-out days by their places, and which days each is measured against: from `start` to before `stop`."""

    held: IntArray
    start: IntArray
    stop: IntArray
    distance: FloatArray

    @property
    def later(self) -> NDArray[np.bool_]:
        """Tell of each held-out day whether it is measured against days before it, as the day to judge is."""
        return np.asarray(self.start == 0)


def _sides(days: IntArray, apart: int) -> _Sides:
    """Return the days that have a third of all at least `apart` days away on one side, and that side."""
    before = np.searchsorted(days, days - apart, side="right")
    after = np.searchsorted(days, days + apart, side="left")
    held = np.flatnonzero(np.maximum(before, days.size - after) >= days.size / PART)
    earlier = before[held] >= days.size - after[held]
    start, stop = np.where(earlier, 0, after[held]), np.where(earlier, before[held], days.size)
    summed = np.r_[0, np.cumsum(days)]
    distance = np.abs(days[held] - (summed[stop] - summed[start]) / (stop - start))
    return _Sides(held, start, stop, distance)


def _moved(psi: FloatArray, side: _Sides, *, further: float) -> FloatArray:
    """Return the draws at the real distance, along the steeper line of both."""
    roots, steepest = np.cbrt(psi), np.zeros((psi.shape[0], 1, psi.shape[2]))
    for chosen in (np.ones_like(side.later), side.later):
        away = side.distance[chosen] - side.distance[chosen].mean() if chosen.any() else np.zeros(1)
        if away @ away > 0:
            slope = np.einsum("d,tdc->tc", away, roots[:, chosen]) / (away @ away)
            steepest = np.maximum(steepest, slope[:, None])
    missing = np.maximum(0.0, further + side.distance.mean() - side.distance)
    return np.asarray((roots + steepest * missing[:, None]) ** 3)


def calibrate(null: Null, *, false_alarms: float) -> Calibrated:
    """Return the limits that calm days reach no more often than with the rate `false_alarms`, one column and day each.

    The share's comes from the same draws: it is the smallest j of the columns for which the j-th largest PSI, each in
    units of its own limit, has a limit of 1 or less. So columns that move together are counted as they do. The units of
    a block's days come from the other blocks: limits that had seen these days would fit them better than days to come.
    """
    psi, columns = _limits(null, false_alarms=false_alarms), null.psi.shape[2]
    ratio = np.empty_like(null.psi)
    for block in np.unique(null.block):
        inside = null.block == block
        others = replace(null, psi=null.psi[:, ~inside], block=null.block[~inside])
        units = psi if others.block.size < LEAST_DAYS // 2 else _limits(others, false_alarms=false_alarms)
        ratio[:, inside] = null.psi[:, inside] / units
    ranked = np.sort(ratio, axis=2)[:, :, ::-1]
    enough = limit(replace(null, psi=ranked), false_alarms=false_alarms) <= 1
    return Calibrated(psi, (int(np.argmax(enough)) + 1) / columns if enough.any() else 1.0)


def _limits(null: Null, *, false_alarms: float) -> FloatArray:
    """Return the limit of each column, 0.01 at the least."""
    return np.maximum(limit(null, false_alarms=false_alarms), LEAST_PSI)


def limit(null: Null, *, false_alarms: float) -> FloatArray:
    """Return the limit of each column, shape (columns,), as the module says; the mean over all times."""
    from scipy.special import stdtrit

    days = null.psi.shape[1]
    rank = min(days, math.ceil((1 - false_alarms) * (days + 1)))
    ordered = np.partition(null.psi, rank - 1, axis=1)[:, rank - 1]
    roots = np.cbrt(null.psi)
    spread, worth = roots.std(axis=1, ddof=1), _worth(roots, null.block)
    reach = stdtrit(worth - 1, 1 - false_alarms) * spread * np.sqrt(1 + (1 + null.beyond) / worth)
    return np.asarray(np.maximum(ordered, (roots.mean(axis=1) + reach) ** 3).mean(axis=0))


def _worth(values: FloatArray, block: IntArray) -> FloatArray:
    """Return how many independent days these are worth, shape (times, columns): their blocks, two, or more."""
    _, code, size = np.unique(block, return_inverse=True, return_counts=True)
    days = block.size
    centred = values - values.mean(axis=1, keepdims=True)
    sums = np.einsum("tdc,db->tbc", centred, np.eye(size.size)[code])
    inside = (centred**2).sum(axis=1) / (days - 1)
    between = (sums**2 / size[None, :, None]).sum(axis=1) / max(1, size.size - 1)
    inflation = np.divide(between, inside, out=np.ones_like(inside), where=inside > 0)
    return np.asarray(days / np.clip(inflation, 1.0, days / max(2, size.size)))


def _thinned(counts: IntArray, *, rows: int, times: int, seed: int) -> IntArray:
    """Return the days `times` times, those of more than `rows` rows thinned, shape (times, days, columns, bins)."""
    many = np.broadcast_to(counts, (times, *counts.shape))
    if times == 1 and (counts.sum(axis=2) <= rows).all():
        return many
    generator = np.random.default_rng(seed)
    left = many.sum(axis=3)
    wanted = np.minimum(left, rows)
    drawn = np.empty_like(many)
    for place in range(counts.shape[2]):
        here = many[..., place]
        left = left - here
        drawn[..., place] = generator.hypergeometric(here, left, wanted)
        wanted = wanted - drawn[..., place]
    return drawn
