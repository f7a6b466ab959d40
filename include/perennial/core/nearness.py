"""How near scores come to the probabilities that were true; only a simulation knows those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.errors import DataError

FloatArray = NDArray[np.float64]
SMALLEST = 1e-12  # a score of 0 or 1 would cost without end where the truth is in between


@dataclass(frozen=True, slots=True)
class Nearness:
    """Losses and areas in the mean over all labels that could have come, so that chance is not in them.

    Attributes:
        rows: how many entities were compared.
        constant: log loss, in nats a row, of the mean true probability for everybody.
        scores: log loss of the scores.
        truth: log loss of the true probabilities, which is the least there is: their entropy.
        area: ROC AUC of the scores.
        area_of_truth: ROC AUC of the true probabilities.
    """

    rows: int
    constant: float
    scores: float
    truth: float
    area: float
    area_of_truth: float

    @property
    def share(self) -> float:
        """Return how much of the way from the constant to the truth the scores go; 1 is all of it, below 0 is back."""
        return (self.constant - self.scores) / (self.constant - self.truth)


def nearness(score: FloatArray, chance: FloatArray) -> Nearness:
    """Return how near scores come to the true probabilities.

    The expected log loss of `s` is `-mean(p·ln s + (1-p)·ln(1-s))`; the expected area under the ROC curve is
    `Σᵢⱼ pᵢ(1-pⱼ)·([sᵢ>sⱼ] + ½[sᵢ=sⱼ]) / (Σp · Σ(1-p))`.

    Args:
        score: shape (n,), within 0 and 1.
        chance: shape (n,), the true probabilities of the same rows; not all equal.

    Raises:
        DataError: the probabilities are all equal, so that there is nothing to come near to.
    """
    if not len(chance) or np.ptp(chance) == 0:
        raise DataError(f"nearness needs true probabilities that differ, got {len(chance)} that do not.")
    constant = np.full(len(chance), chance.mean())
    return Nearness(
        rows=len(chance), constant=_loss(constant, chance), scores=_loss(score, chance), truth=_loss(chance, chance),
        area=_area(score, chance), area_of_truth=_area(chance, chance),
    )  # fmt: skip


def _loss(score: FloatArray, chance: FloatArray) -> float:
    clipped = np.clip(score, SMALLEST, 1 - SMALLEST)
    return float(-np.mean(chance * np.log(clipped) + (1 - chance) * np.log1p(-clipped)))


def _area(score: FloatArray, chance: FloatArray) -> float:
    _, place = np.unique(score, return_inverse=True)
    buys, others = np.bincount(place, chance), np.bincount(place, 1 - chance)
    below = np.cumsum(others) - others
    return float(np.sum(buys * (below + others / 2)) / (chance.sum() * (1 - chance).sum()))
