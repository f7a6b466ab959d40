"""Who is contacted, and what that earns: each day the same share of the highest scores, with row weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perennial.core.deviations import FloatArray, Measure, ratio
from perennial.modelling import Value

IntArray = NDArray[np.int64]
HOUSEHOLDS = 1000


class Contacts:
    """Rows ranked within their days; of each day's weight the best `share` is contacted.

    A day with n rows has `round(share · n)` contacts, and under weights the same fraction of its weight: a resample is
    ranked again, as another sample would be. Where equal scores lie on both sides of that line, each of them is
    contacted with the same probability, so that the order of the rows never counts.

    Args:
        score: shape (rows,).
        day: shape (rows,); equal numbers are one day.
        share: from 0 to 1.
    """

    def __init__(self, score: FloatArray, day: IntArray, *, share: float) -> None:
        self._order = np.lexsort((-score, day))
        ordered, days = score[self._order], day[self._order]
        new_day = np.r_[True, days[1:] != days[:-1]]
        new_group = new_day | np.r_[True, ordered[1:] != ordered[:-1]]
        self._groups, self._days = np.flatnonzero(new_group), np.flatnonzero(new_day)
        self._day_of_group = (np.cumsum(new_day) - 1)[self._groups]
        self._group_of_row = np.cumsum(new_group) - 1
        self._first_groups = np.searchsorted(self._day_of_group, np.arange(self._days.size))
        rows = np.diff(np.r_[self._days, score.size])
        self._fraction = np.round(share * rows) / rows

    def chances(self) -> FloatArray:
        """Return how likely each row is contacted, shape (rows,)."""
        found = np.empty(self._order.size)
        found[self._order] = self._chance(self._by_group(np.ones(self._order.size)))[self._group_of_row]
        return found

    def profit(self, label: FloatArray, *, value: Value) -> Measure:
        """Return the expected profit in currency units per 1,000 households and snapshot day.

        `1000 · Σ contacted · (conversion · label - contact) / Σ 1`: the hits are worth `value.conversion`, every
        contact costs `value.contact`, and households that are not contacted count in the divisor.
        """
        gain = HOUSEHOLDS * (value.conversion * label - value.contact)[self._order]

        def weighted(weights: FloatArray) -> FloatArray:
            ordered = weights[..., self._order]
            chance = self._chance(self._by_group(ordered))
            return ratio((chance * self._by_group(ordered * gain)).sum(axis=-1), weights.sum(axis=-1))

        return weighted

    def return_on_spend(self, label: FloatArray, *, value: Value) -> Measure:
        """Return `conversion · hits / (contact · contacts)`; 0 where nobody is contacted: nothing came back."""
        hit = label[self._order]

        def weighted(weights: FloatArray) -> FloatArray:
            ordered = weights[..., self._order]
            mass = self._by_group(ordered)
            chance = self._chance(mass)
            hits, spent = (chance * self._by_group(ordered * hit)).sum(axis=-1), (chance * mass).sum(axis=-1)
            return ratio(value.conversion * hits, value.contact * spent, otherwise=0.0)

        return weighted

    def _by_group(self, ordered: FloatArray) -> FloatArray:
        """Return sums over rows of one day and score."""
        return np.add.reduceat(ordered, self._groups, axis=-1)

    def _chance(self, mass: FloatArray) -> FloatArray:
        """Return how likely the rows of each group are contacted, from the groups' weights."""
        of_day = np.add.reduceat(mass, self._first_groups, axis=-1)
        below = np.cumsum(mass, axis=-1) - mass
        before = np.cumsum(of_day, axis=-1) - of_day
        left = (self._fraction * of_day + before)[..., self._day_of_group] - below
        return np.clip(ratio(left, mass, otherwise=0.0), 0.0, 1.0)
