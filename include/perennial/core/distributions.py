"""Two counted distributions beside each other, for people to look at: shares by bin, steps, and a few numbers.

All of it is read from counts in the bins and cells of a reference (`core.drift`): no row is needed. What lies within a
cell is not known; a quantile is therefore told by the least and the greatest value of its cell, on a line between.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perennial.core.distances import Cells
from perennial.core.drift import CategoricalCounts, CategoricalProfile, Counts, NumericCounts, NumericProfile, Profile
from perennial.core.drift import psi_terms as terms
from perennial.records import Record

QUARTERS = (0.25, 0.5, 0.75)
STEPS = 60
SHOWN = 12  # categories; further ones are told together


@dataclass(frozen=True, slots=True)
class Bin(Record):
    """One bin: the shares of the rows in it, and what it adds to the PSI.

    Of a number it holds `low < x <= high`, None where it is open; `text` is a category, or what stands for several.
    """

    reference: float
    current: float
    adds: float
    low: float | None = None
    high: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Steps(Record):
    """Two distribution functions at the same places: the shares of the values that are `x` or less."""

    x: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Summary(Record):
    """A column in a few numbers; the measures are of its finite values, None where there are none or it is text."""

    rows: int
    missing: float
    mean: float | None = None
    least: float | None = None
    lower: float | None = None
    median: float | None = None
    upper: float | None = None
    greatest: float | None = None


MISSING, OTHER = "missing", "all others"


def bins(reference: Profile, current: Counts) -> tuple[Bin, ...]:
    """Return the bins that the PSI compares, without those that are empty on both sides; none where the kinds differ.

    Of categories the `SHOWN` that have most rows on a side stand for themselves, the others are added up, as are
    those that the reference never had.
    """
    if isinstance(reference, NumericProfile) and isinstance(current, NumericCounts):
        return _numeric(reference, current)
    if isinstance(reference, CategoricalProfile) and isinstance(current, CategoricalCounts):
        return _categorical(reference, current)
    return ()


def _numeric(reference: NumericProfile, current: NumericCounts) -> tuple[Bin, ...]:
    ends = (None, *reference.edges, None)
    names = [(low, high, "") for low, high in pairwise(ends)] + [(None, None, MISSING)]
    shares = _shares((*reference.counts, reference.nulls), (*current.counts, current.nulls))
    return tuple(
        Bin(p, q, adds, low, high, text)
        for (low, high, text), (p, q, adds) in zip(names, shares, strict=True)
        if p or q
    )  # fmt: skip


def _categorical(reference: CategoricalProfile, current: CategoricalCounts) -> tuple[Bin, ...]:
    known = [current.counts.get(value, 0) for value in reference.categories]
    other = sum(current.counts.values()) - sum(known)
    shares = _shares((*reference.counts, reference.other, reference.nulls), (*known, other, current.nulls))
    named = dict(zip((*reference.categories, OTHER, MISSING), shares, strict=True))
    largest = sorted(reference.categories, key=lambda value: (-max(named[value][:2]), value))
    few = set(largest[:SHOWN])
    told = [value for value in reference.categories if value in few]
    rest = [named[value] for value in (*largest[SHOWN:], OTHER)]
    together = tuple(sum(each[at] for each in rest) for at in range(3))
    found = [(value, named[value]) for value in told] + [(OTHER, together), (MISSING, named[MISSING])]
    return tuple(Bin(share[0], share[1], share[2], text=text) for text, share in found if share[0] or share[1])


def _shares(reference: tuple[int, ...], current: tuple[int, ...]) -> list[tuple[float, float, float]]:
    sides = np.array([reference, current], dtype=np.float64)
    p, q = sides / np.maximum(sides.sum(axis=1, keepdims=True), 1)
    return list(zip(p.tolist(), q.tolist(), terms(sides[0], sides[1]).tolist(), strict=True))


def steps(reference: NumericProfile, current: NumericCounts) -> Steps | None:
    """Return both distribution functions at the ends of their cells, thinned out; None where a side has no value.

    Both are exact there but for values of one side beyond the other's greatest in the same cell.
    """
    one, other = reference.cells, current.cells
    if not one.codes or not other.codes:
        return None
    codes = np.union1d(one.codes, other.codes)
    ends, shares = np.full(codes.size, -np.inf), []
    for side in (one, other):
        place = np.searchsorted(codes, side.codes)
        ends[place] = np.maximum(ends[place], side.greatest)
        counts = np.zeros(codes.size)
        counts[place] = side.counts
        shares.append(np.cumsum(counts) / counts.sum())
    first = min(one.least[0], other.least[0])
    kept = _thinned(shares[0] + shares[1])
    x = [float(first), *ends[kept].tolist()]
    return Steps(tuple(x), *((0.0, *side[kept].tolist()) for side in shares))


def _thinned(risen: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the places to keep: some sixty that share the rise evenly, and some sixty that share the places."""
    levels = np.searchsorted(risen, np.linspace(0, risen[-1], STEPS))
    evenly = np.linspace(0, risen.size - 1, STEPS)
    return np.unique(np.r_[np.minimum(levels, risen.size - 1), evenly.astype(np.int64)]).astype(np.int64)


def summary(counted: Profile | Counts) -> Summary:
    """Return a column in a few numbers."""
    missing = counted.nulls / max(counted.rows, 1)
    if isinstance(counted, (CategoricalProfile, CategoricalCounts)) or not counted.cells.codes:
        return Summary(counted.rows, missing)
    cells = counted.cells
    lower, median, upper = (quantile(cells, share) for share in QUARTERS)
    mean = float(np.average(cells.means, weights=cells.counts))
    return Summary(counted.rows, missing, mean, cells.least[0], lower, median, upper, cells.greatest[-1])


def quantile(cells: Cells, share: float) -> float:
    """Return the value that a share of the counted values do not exceed, on a line between the ends of its cell.

    Args:
        cells: one or more.
        share: 0 .. 1.
    """
    risen = np.cumsum(cells.counts)
    wanted = share * risen[-1]
    place = min(int(np.searchsorted(risen, wanted)), len(cells.counts) - 1)
    within = (wanted - (risen[place] - cells.counts[place])) / cells.counts[place]
    return float(cells.least[place] + within * (cells.greatest[place] - cells.least[place]))
