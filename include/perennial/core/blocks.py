"""Blocks of days: by how much resampling them is too sure, and how many degrees of freedom that leaves.

There are few blocks, and the labels of neighbouring ones share days. What a day does to everybody may be new each day
(a model's own error) or belong to the days that labels look at (a storm); then days correlate by the share of days that
their labels share, `Γ = max(0, 1 - |d - d'| / horizon)`. Which of the two it is, the days themselves tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perennial.core.deviations import FloatArray
from perennial.core.metrics import IntArray


@dataclass(frozen=True, slots=True)
class Blocks:
    """What is known of the blocks from the days and the horizon alone.

    Attributes:
        apart: by how much the variance by blocks is too small where each day's effect is new.
        shared: the same where days correlate as their labels do.
        overlap: Γ without its diagonal, shape (days, days).
        follow: how much days go with their neighbours, `Σ Γ_dd' t_d t_d' / Σ t_d²`, in these two cases.
        share: the days' shares of the rows, shape (days,).
        freedom: degrees of freedom of the variance by blocks, the fewer of both cases; 0 where only one block holds
            the rarer label.
        evenness: `Σ s²` for the blocks' shares s of the rows; 1 over their number where they are alike.
        count: how many blocks there are.
    """

    apart: float
    shared: float
    overlap: FloatArray
    follow: tuple[float, float]
    share: FloatArray
    freedom: float
    evenness: float
    count: int

    def inflation(self, pull: FloatArray) -> float:
        """Return φ, by which the variance by blocks has to be multiplied, between `apart` and `shared`.

        `φ = apart + min(1, 2λ) · (shared - apart)`, where λ says how far the days' `Σ Γ_dd' t_d t_d' / Σ t_d²` has come
        from the first of `follow` to the second. Twice, because it comes from few days: erring by half an overlap
        costs less width than it costs certainty, as `make bench-gates` and its tests show.

        Args:
            pull: how far more weight on each day moves the measure, shape (days,).
        """
        centred = pull - self.share * pull.sum()
        squares, (low, high) = float(centred @ centred), self.follow
        if high <= low or squares <= 0:
            return self.shared
        portion = (float(centred @ self.overlap @ centred) / squares - low) / (high - low)
        return self.apart + min(max(2 * portion, 0.0), 1.0) * (self.shared - self.apart)


def blocks(day: IntArray, block: IntArray, *, horizon_days: int, holding: int) -> Blocks:
    """Return what is known of blocks of `horizon_days`.

    Args:
        day: each row's day.
        block: each row's block.
        horizon_days: how many days the label of a day looks at.
        holding: how many blocks hold the rarer label; all of them where labels are not binary.
    """
    days, first, rows = np.unique(day, return_index=True, return_counts=True)
    share, alone = rows / rows.sum(), np.eye(days.size)
    gamma = np.maximum(0.0, 1 - np.abs(days[:, None] - days[None, :]) / horizon_days)
    _, code = np.unique(block[first], return_inverse=True)
    apart, shared = (_missed(share, code, effect) for effect in (alone, gamma))
    overlap, seen = gamma - alone, share[:, None] * (alone - share)
    follow = [
        np.trace(seen.T @ overlap @ seen @ effect) / np.trace(seen.T @ seen @ effect) for effect in (alone, gamma)
    ]
    return Blocks(
        apart=apart[0],
        shared=shared[0],
        overlap=overlap,
        follow=(float(follow[0]), float(follow[1])),
        share=share,
        freedom=float(min(apart[1], shared[1], holding - 1)),
        evenness=float((np.bincount(code, share) ** 2).sum()),
        count=int(code.max()) + 1,
    )


def _missed(share: FloatArray, code: IntArray, effect: FloatArray) -> tuple[float, float]:
    """Return the variance of a mean effect of the days over that by groups of days, and the latter's freedom.

    For shares s of the rows and effects with the covariance Γ the variance is `s'Γs`; that by groups B is
    `G/(G-1) · Σ_B (c_B'b)²`, where c_B holds the shares of the days in B, less the share of B times s. Of the quadratic
    form `b'Ab` the degrees of freedom are `tr(AΓ)² / tr(AΓAΓ)`.
    """
    inside = (code[None, :] == np.unique(code)[:, None]).astype(np.float64) * share
    contrast = inside - inside.sum(axis=1, keepdims=True) * share
    count = inside.shape[0]
    spread = contrast.T @ contrast @ effect
    mean = float(np.trace(spread)) * count / (count - 1)
    return float(share @ effect @ share) / mean, float(np.trace(spread)) ** 2 / float(np.trace(spread @ spread))
