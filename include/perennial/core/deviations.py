"""What predictions of a number are worth; all in the label's own unit but `r2`, each with row weights.

Like those of `core.metrics`, every measure is prepared once and then evaluated for many weightings: from row weights of
the shape (..., rows) it makes values of the shape (...).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Measure = Callable[[FloatArray], FloatArray]

TINY = 1e-12


def mae(label: FloatArray, score: FloatArray) -> Measure:
    """Return the mean absolute error, the mean of `|score - label|`."""
    return mean_of(np.abs(score - label))


def rmse(label: FloatArray, score: FloatArray) -> Measure:
    """Return the root of the mean squared error, which large errors rule."""
    squared = mean_of((score - label) ** 2)
    return lambda weights: np.sqrt(squared(weights))


def bias(label: FloatArray, score: FloatArray) -> Measure:
    """Return how far the mean prediction lies from the mean label, without its sign: 0 is best.

    The sign is in `mean_error`, which is reported beside it: a gate needs a direction, and too much is as bad as
    too little.
    """
    signed = mean_of(score - label)
    return lambda weights: np.abs(signed(weights))


def median_absolute_error(label: FloatArray, score: FloatArray) -> Measure:
    """Return the weighted median of `|score - label|`: half the weight lies at or below it.

    Where exactly half the weight ends with an error, the median is the middle between that error and the next, so
    that equal weights give the usual median. NaN where no row has weight.
    """
    error = np.abs(score - label)
    order = np.argsort(error, kind="stable")
    ordered = error[order]

    def once(weights: FloatArray) -> float:
        has_weight = weights[order] > 0
        errors, below = ordered[has_weight], np.cumsum(weights[order][has_weight])
        if not errors.size:
            return float("nan")
        sides = [np.searchsorted(below, below[-1] / 2, side=side) for side in ("left", "right")]
        return float(np.mean([errors[min(int(side), errors.size - 1)] for side in sides]))

    return lambda weights: np.apply_along_axis(once, -1, weights)


def r2(label: FloatArray, score: FloatArray) -> Measure:
    """Return `1 - Σ (score - label)² / Σ (label - mean label)²`: 1 is perfect, 0 no better than the mean.

    NaN where all labels with weight are equal.
    """
    centred = label - label.mean()  # far from 0 the difference of two large numbers would be noise
    squared, mean, mean_square = mean_of((score - label) ** 2), mean_of(centred), mean_of(centred**2)

    def weighted(weights: FloatArray) -> FloatArray:
        spread = mean_square(weights) - mean(weights) ** 2
        varies = np.where(spread > TINY * mean_square(weights), spread, 0.0)
        return 1 - ratio(squared(weights), varies)

    return weighted


def mean_of(rows: FloatArray) -> Measure:
    """Return the weighted mean of one figure a row; NaN where no row has weight."""

    def weighted(weights: FloatArray) -> FloatArray:
        # Not `weights @ rows`: for one sum the threads of the linear algebra cost more than they save.
        return ratio((weights * rows).sum(axis=-1), weights.sum(axis=-1))

    return weighted


def ratio(above: FloatArray, below: FloatArray, *, otherwise: float = float("nan")) -> FloatArray:
    """Return `above / below` where `below` is above 0, else `otherwise`; both of one shape."""
    found: FloatArray = np.full(np.shape(below), otherwise)
    np.divide(above, below, out=found, where=np.asarray(below) > 0)
    return found


MEASURES: dict[str, Callable[[FloatArray, FloatArray], Measure]] = {
    "mae": mae,
    "rmse": rmse,
    "median_absolute_error": median_absolute_error,
    "bias": bias,
    "r2": r2,
}
