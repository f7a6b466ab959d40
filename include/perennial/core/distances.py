"""How far two samples lie apart, told from counts: a value, and the bounds within which the rows' own distance lies.

Evidently's two measures: Wasserstein by the reference's standard deviation, and Jensen-Shannon with the natural
logarithm, both over values that are there and finite. Counts say of each cell how many rows, their mean, the least and
the greatest; what they leave open is how the rows of two samples lie among each other in a cell. That opens the bounds,
so that a limit outside them is decided by counts alone. `decided` says so; where it is not, the rows have to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.records import Record

FloatArray = NDArray[np.float64]
LEAST_SCALE = 0.001  # Evidently divides by no less
ROUNDING = 1e-9  # relative: sums in another order differ by far less


@dataclass(frozen=True, slots=True)
class Cells(Record):
    """The finite values of a numeric column, in cells that lie in ascending order and do not overlap.

    Attributes:
        codes: which cells have rows, ascending; the same cells mean the same interval in two samples of one grid.
        counts: their rows, 1 or more each.
        means: the mean of each.
        least: a lower bound of the values in each, usually the least of them.
        greatest: an upper bound of them.
    """

    codes: tuple[int, ...]
    counts: tuple[int, ...]
    means: tuple[float, ...]
    least: tuple[float, ...]
    greatest: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Distance:
    """A distance as counts tell it: the rows' own lies in `low` .. `high`, and so does `value`."""

    value: float
    low: float
    high: float

    def decided(self, limit: float) -> bool:
        """Tell whether the rows' own distance surely lies on the side of the limit on which `value` is.

        Equal counts as reached. Bounds within a billionth of the limit decide nothing: rounding might have moved them.
        """
        return self.low * (1 - ROUNDING) >= limit or self.high * (1 + ROUNDING) < limit


def wasserstein(reference: Cells, current: Cells, *, scale: float) -> Distance | None:
    """Return the first Wasserstein distance of two samples counted in the same cells, in standard deviations.

    `W = ∫ |F(x) - G(x)| dx / max(scale, 0.001)` with the distribution functions F and G. Between cells both are known.
    Within a cell from l to r, F - G goes from a to b, and its integral I follows from the means: it contributes |I|
    or more, and exactly that where the sign cannot change. Where it can, |I| + 2m at the most, m being the smaller of
    bounds on what lies above and below zero (`_open`). The value puts the rows of each cell on their own mean.

    Args:
        reference: cells with their rows.
        current: of the same grid.
        scale: standard deviation of the reference's finite values.

    Returns:
        None where a side has no finite value, or the numbers are too large for sums.

    Source:
        Ramdas, García Trillos and Cuturi (2017), Entropy 19, 47; the bounds follow from F and G being monotone.
    """
    if not reference.codes or not current.codes:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        both = _Aligned.of(reference, current)
        low, high = (part / max(scale, LEAST_SCALE) for part in both.bounds())
        ulps = 8 * np.finfo(np.float64).eps * both.largest / max(scale, LEAST_SCALE)
        value = both.of_means() / max(scale, LEAST_SCALE)
    if not np.isfinite([low, high, value, scale, ulps]).all():
        return None
    return Distance(min(max(value, low), high), max(low - ulps, 0.0), high + ulps)


def wasserstein_of(reference: FloatArray, current: FloatArray) -> float:
    """Return the same of finite values themselves, as Evidently computes it; each side has one value or more."""
    from scipy import stats

    scale = max(float(np.std(reference)), LEAST_SCALE)
    return float(stats.wasserstein_distance(reference, current)) / scale


def jensen_shannon(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of two counts over the same categories.

    `JS = sqrt(½ Σ pᵢ ln(pᵢ / mᵢ) + ½ Σ qᵢ ln(qᵢ / mᵢ))` with `m = (p + q) / 2` and plain shares; a category that is
    empty on a side adds nothing there.

    Returns:
        0 for equal shares .. sqrt(ln 2) = 0.833 for shares that have no category in common; 0 where either side has
        no rows.

    Source:
        Endres and Schindelin (2003), IEEE Trans. Inf. Theory 49, 1858-1860.
    """
    return _root(_divergence(np.array([reference, current], dtype=np.float64)))


def jensen_shannon_of(
    reference: Sequence[int], current: Sequence[int], *, other: tuple[int, int] = (0, 0)
) -> Distance | None:
    """Return the Jensen-Shannon distance of counts of which some are of several categories together.

    Rows of the others are between all alike (one category) and all apart (none in common), which adds `ln 2 / 2` times
    their share. Where the reference has no others, the day's are new, and apart from it: then the value is exact.

    Args:
        reference: counts of the categories that are known.
        current: counts of the same.
        other: rows of all others, of both sides.

    Returns:
        None where a side has no rows.
    """
    sides = np.array([[*reference, other[0]], [*current, other[1]]], dtype=np.float64)
    if (sides.sum(axis=1) == 0).any():
        return None
    alike = _divergence(sides)
    apart = np.c_[sides[:, :-1], np.diag(sides[:, -1])]
    low, high = _root(alike), _root(_divergence(apart))
    return Distance(low, low, max(low, high))


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Two samples over all cells that one of them has: shares, means, and the range of each cell."""

    p: FloatArray
    q: FloatArray
    of_p: FloatArray
    of_q: FloatArray
    left: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, reference: Cells, current: Cells) -> _Aligned:
        """Return both samples over the same cells."""
        codes = np.union1d(reference.codes, current.codes)
        places = [np.searchsorted(codes, side.codes) for side in (reference, current)]

        def spread(values: Sequence[Any], place: int, empty: float) -> FloatArray:
            found = np.full(codes.size, empty)
            found[places[place]] = values
            return found

        sides = (reference, current)
        left = np.minimum(*(spread(side.least, place, np.inf) for place, side in enumerate(sides)))
        right = np.maximum(*(spread(side.greatest, place, -np.inf) for place, side in enumerate(sides)))
        counts = [spread(side.counts, place, 0.0) for place, side in enumerate(sides)]
        means = [np.clip(spread(side.means, place, 0.0), left, right) for place, side in enumerate(sides)]
        shares = [count / count.sum() for count in counts]
        return cls(shares[0], shares[1], means[0], means[1], left, right)

    @property
    def largest(self) -> float:
        """Return the largest size of a number: means are known to some units in its last place."""
        return float(np.abs(np.r_[self.left, self.right]).max())

    def bounds(self) -> tuple[float, float]:
        """Return the least and the greatest that `∫ |F - G|` can be."""
        p, q, width = self.p, self.q, self.right - self.left
        after = np.cumsum(p) - np.cumsum(q)
        after[-1] = 0.0
        before = np.r_[0.0, after[:-1]]
        between = float((np.abs(after[:-1]) * (self.left[1:] - self.right[:-1])).sum())
        risen, fallen = p * (self.right - self.of_p), q * (self.right - self.of_q)  # ∫ F - F(l), ∫ G - G(l)
        to_rise, to_fall = p * (self.of_p - self.left), q * (self.of_q - self.left)  # ∫ F(r) - F, ∫ G(r) - G
        whole = before * width + risen - fallen
        below = np.minimum.reduce(
            [width * np.maximum(q - before, 0), _open(before, fallen, q, width), _open(after, to_rise, p, width)]
        )
        above = np.minimum.reduce(
            [width * np.maximum(p + before, 0), _open(-before, risen, p, width), _open(-after, to_fall, q, width)]
        )
        smaller = np.where(whole >= 0, np.minimum(below, above - whole), np.minimum(above, below + whole))
        low = between + float(np.abs(whole).sum())
        return low, low + 2 * float(np.maximum(smaller, 0).sum())

    def of_means(self) -> float:
        """Return the distance with the rows of each cell on their own mean."""
        places, steps = np.r_[self.of_p, self.of_q], np.r_[self.p, -self.q]
        order = np.argsort(places, kind="stable")
        gap = np.abs(np.cumsum(steps[order])[:-1])
        return float((gap * np.diff(places[order])).sum())


def _open(start: FloatArray, area: FloatArray, mass: FloatArray, width: FloatArray) -> FloatArray:
    """Return a bound on the area below zero of a curve that starts at `start`.

    The curve falls by a monotone function from 0 to `mass` with the area `area`, and may rise besides. What falls
    g > start is below zero by g - start, which is at most g · (1 - start / mass); from below zero it is g - start.
    """
    share = np.divide(start, mass, out=np.ones_like(start), where=mass > 0)
    return np.where(start >= 0, area * np.maximum(1 - share, 0), area - start * width)


def _divergence(counts: FloatArray) -> float:
    """Return the Jensen-Shannon divergence in nats, 0 where either side has no rows."""
    if not counts.size or (counts.sum(axis=1) == 0).any():
        return 0.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    ratio = np.divide(shares, shares.mean(axis=0), out=np.ones_like(shares), where=shares > 0)
    return float((shares * np.log(ratio)).sum() / 2)


def _root(divergence: float) -> float:
    return float(np.sqrt(min(max(divergence, 0.0), np.log(2))))
