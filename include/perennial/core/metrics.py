"""What a model's scores are worth: ranking, probability, calibration and money, each with row weights.

Every measure takes weights, because the bootstrap of `core.resampling` resamples by weighting: a measure is
prepared once (sorted, binned) and then evaluated for many weightings, of shape (..., rows), at once. The scores of a
binary label are probabilities of the label 1; what is measured where the label is a number stands in `core.deviations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.core import deviations
from perennial.core.contacts import HOUSEHOLDS, Contacts
from perennial.core.deviations import FloatArray, Measure, mean_of, ratio
from perennial.errors import DataError
from perennial.spec import MONEY, LabelKind, Value, metrics_of

__all__ = ["FloatArray", "Measure"]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CALIBRATION_BINS = 10
LEAST_PROBABILITY = 1e-15
SHARES: FloatArray = np.round(np.arange(1, 101) / 100, 2)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores beside what happened; all arrays have the shape (rows,).

    `day` counts days, so that differences are days; `entity` is a code: equal numbers mean the same entity. `kind` is
    that of the label.
    """

    label: FloatArray
    score: FloatArray
    day: IntArray
    entity: IntArray
    kind: LabelKind = "binary"

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths, no rows, and scores that are no probabilities, or no numbers."""
        sizes = {array.size for array in (self.label, self.score, self.day, self.entity)}
        if len(sizes) != 1 or 0 in sizes:
            raise DataError(f"scored rows need arrays of one length above 0, got {sorted(sizes)}.")
        probable = self.kind == "binary"
        good = (self.score >= 0) & (self.score <= 1) if probable else np.isfinite(self.score)
        bad = int((~good).sum())
        if bad:
            needed = "lie in 0..1" if probable else "be finite numbers"
            raise DataError(f"scores must {needed}, got {bad} of {self.score.size} that do not.")

    def on(self, rows: BoolArray) -> Scored:
        """Return some of the rows."""
        return Scored(self.label[rows], self.score[rows], self.day[rows], self.entity[rows], self.kind)


def evaluate(scored: Scored, *, value: Value | None, share: float | None) -> dict[str, float]:
    """Return every metric that `spec.metrics_of` names for these rows, and plain figures beside them.

    The figures are `rows`, and for a binary label `base_rate`, `reliability_slope`, with money `contacted_share`; for a
    number `mean_label` and `mean_error`, the bias with its sign.

    Args:
        scored: at least one row; with labels of one class the ranking metrics are NaN.
        value: what a converter brings and a contact costs; None where the spec knows no money.
        share: the share of households contacted each day, chosen elsewhere (see `best_share`); None is nobody.
    """
    ones = np.ones(scored.label.size)
    names = metrics_of(scored.kind, money=value is not None)
    found = {name: float(measure(name, scored, value=value, share=share)(ones)) for name in names}
    return found | _figures(scored) | ({} if value is None else {"contacted_share": share or 0.0})


def _figures(scored: Scored) -> dict[str, float]:
    """Return what is told beside the metrics and has no better or worse."""
    rows, mean = float(scored.label.size), float(scored.label.mean())
    if scored.kind == "binary":
        slope = float(reliability_slope(scored.label, scored.score)(np.ones(scored.label.size)))
        return {"base_rate": mean, "reliability_slope": slope, "rows": rows}
    return {"mean_label": mean, "mean_error": float((scored.score - scored.label).mean()), "rows": rows}


def measure(name: str, scored: Scored, *, value: Value | None, share: float | None) -> Measure:
    """Return a function from row weights to the metric `name`; sorting and binning are done once, here."""
    if name in MONEY and value is not None:
        contacts = Contacts(scored.score, scored.day, share=share or 0.0)
        prepared = contacts.profit if name == "expected_profit" else contacts.return_on_spend
        return prepared(scored.label, value=value)
    return _STATISTICAL[name](scored.label, scored.score)


def roc_auc(label: FloatArray, score: FloatArray) -> Measure:
    """Return the area under the ROC curve as a function of row weights.

    `AUC = Σ_g P_g · (N_<g + N_g / 2) / (P · N)` over groups g of equal scores in rising order, where P_g and
    N_g are the weights of positives and negatives in the group and N_<g those of negatives below it: the
    probability that a positive scores above a negative, ties counting half. NaN where one class has no
    weight.

    Source:
        Hanley and McNeil (1982), Radiology 143, 29-36.
    """
    order, starts = _groups(score)
    positive = label[order]

    def weighted(weights: FloatArray) -> FloatArray:
        sorted_weights = weights[..., order]
        ups = np.add.reduceat(sorted_weights * positive, starts, axis=-1)
        downs = np.add.reduceat(sorted_weights, starts, axis=-1) - ups
        above = (ups * (np.cumsum(downs, axis=-1) - downs / 2)).sum(axis=-1)
        return ratio(above, ups.sum(axis=-1) * downs.sum(axis=-1))

    return weighted


def average_precision(label: FloatArray, score: FloatArray) -> Measure:
    """Return the average precision as a function of row weights.

    `AP = Σ_g (R_g - R_{g-1}) · precision_g` over groups of equal scores in falling order, R being the recall
    so far. NaN where no positive has weight.
    """
    order, starts = _groups(-score)
    positive = label[order]

    def weighted(weights: FloatArray) -> FloatArray:
        sorted_weights = weights[..., order]
        hits = np.add.reduceat(sorted_weights * positive, starts, axis=-1)
        rows = np.cumsum(np.add.reduceat(sorted_weights, starts, axis=-1), axis=-1)
        precision = np.divide(np.cumsum(hits, axis=-1), rows, out=np.zeros_like(rows), where=rows > 0)
        return ratio((hits * precision).sum(axis=-1), hits.sum(axis=-1))

    return weighted


def log_loss(label: FloatArray, score: FloatArray) -> Measure:
    """Return the mean of `-ln p(label)` in nats; probabilities are kept 1e-15 away from 0 and 1."""
    p = np.clip(score, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return mean_of(-(label * np.log(p) + (1 - label) * np.log(1 - p)))


def brier_score(label: FloatArray, score: FloatArray) -> Measure:
    """Return the mean of `(p - label)²`: 0 is perfect, a constant base rate r gives `r · (1 - r)`."""
    return mean_of((score - label) ** 2)


def expected_calibration_error(label: FloatArray, score: FloatArray) -> Measure:
    """Return `ECE = Σ_b share_b · |mean score_b - mean label_b|` over ten bins of equal row counts.

    Bins hold equal rows, not equal widths, so that a bin is never judged by a handful of rows. Rows of the
    same score stay in one bin. The bins are cut once on the rows given; weights change what is in them, not
    where they lie.
    """
    order, starts = _groups(calibration_bins(score).astype(np.float64))
    excess = (score - label)[order]

    def weighted(weights: FloatArray) -> FloatArray:
        gap = np.add.reduceat(weights[..., order] * excess, starts, axis=-1)
        return ratio(np.abs(gap).sum(axis=-1), weights.sum(axis=-1))

    return weighted


def reliability_slope(label: FloatArray, score: FloatArray) -> Measure:
    """Return the slope of the line through the reliability diagram, `cov(score, label) / var(score)`.

    1 where probabilities are right in the mean at each height; below 1 they are too extreme, above 1 too timid. Scores
    that are all equal are neither: 1, and the calibration error says whether they are right.

    Source:
        Cox (1958), Biometrika 45, 562-565, here on the scale of probabilities.
    """
    centred = score - score.mean()  # far from 0 the difference of two large numbers would be noise
    mean, square = mean_of(centred), mean_of(centred**2)
    hits, product = mean_of(label), mean_of(centred * label)

    def weighted(weights: FloatArray) -> FloatArray:
        middle = mean(weights)
        spread = square(weights) - middle**2
        varies = np.where(spread > deviations.TINY * square(weights), spread, 0.0)
        return ratio(product(weights) - middle * hits(weights), varies, otherwise=1.0)

    return weighted


def reliability_gap(label: FloatArray, score: FloatArray) -> Measure:
    """Return how far the reliability slope lies from 1, without its sign: 0 is best."""
    slope = reliability_slope(label, score)
    return lambda weights: np.abs(slope(weights) - 1)


def calibration_bins(score: FloatArray, *, bins: int = CALIBRATION_BINS) -> IntArray:
    """Return each row's bin of equal mass, 0 the lowest; equal scores share a bin, empty bins vanish."""
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    _, code = np.unique(np.searchsorted(edges, score, side="right"), return_inverse=True)
    return code.astype(np.int64)


def calibration_curve(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return mean score, observed rate and rows of each bin of `calibration_bins`."""
    code = calibration_bins(score)
    rows = np.bincount(code)
    return np.bincount(code, score) / rows, np.bincount(code, label) / rows, rows.astype(np.int64)


def contacted(scored: Scored, *, share: float) -> FloatArray:
    """Return how likely each row is contacted: each day the `share` of households with the highest scores."""
    return Contacts(scored.score, scored.day, share=share).chances()


def profit_curve(scored: Scored, *, value: Value) -> tuple[FloatArray, FloatArray]:
    """Return the shares 0.01 .. 1.00 and the expected profit per 1,000 households at each of them.

    The same profit as that of `Contacts.profit`, by running sums over each day's ranking; within
    equal scores the expected gain grows evenly with the contacts.
    """
    gain = value.conversion * scored.label - value.contact
    profit = np.zeros(SHARES.size)
    for day in np.unique(scored.day):
        of_day = scored.day == day
        order, starts = _groups(-scored.score[of_day])
        contacts = np.r_[starts, order.size]
        earned = np.r_[0.0, np.cumsum(np.add.reduceat(gain[of_day][order], starts))]
        profit += np.interp(np.round(SHARES * order.size), contacts, earned)
    return SHARES, HOUSEHOLDS * profit / scored.label.size


def best_share(scored: Scored, *, value: Value) -> float:
    """Return the share of households with the highest profit; 0 where contacting anyone loses money."""
    shares, profits = profit_curve(scored, value=value)
    best = int(np.argmax(profits))
    return float(shares[best]) if profits[best] > 0 else 0.0


def roc_curve(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return false-positive and true-positive rates, from (0, 0) to (1, 1), one point a distinct score."""
    hits, rows = _falling_counts(label, score)
    misses = rows - hits
    return np.r_[0.0, misses / misses[-1]], np.r_[0.0, hits / hits[-1]]


def precision_recall_curve(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return recall and precision, from the highest score down, one point a distinct score."""
    hits, rows = _falling_counts(label, score)
    return hits / hits[-1], hits / rows


def numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures as plain floats, for JSON."""
    return {name: float(figure) for name, figure in figures.items()}


def _groups(key: FloatArray) -> tuple[IntArray, IntArray]:
    """Return a stable order by `key`, and where in that order each group of equal keys starts."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return order.astype(np.int64), starts.astype(np.int64)


def _falling_counts(label: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return hits and rows at or above each distinct score, highest first."""
    order, starts = _groups(-score)
    hits = np.cumsum(np.add.reduceat(label[order], starts))
    rows = np.cumsum(np.diff(np.r_[starts, score.size])).astype(np.float64)
    return hits, rows


_STATISTICAL: dict[str, Callable[[FloatArray, FloatArray], Measure]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier_score": brier_score,
    "expected_calibration_error": expected_calibration_error,
    "reliability_gap": reliability_gap,
    **deviations.MEASURES,
}
