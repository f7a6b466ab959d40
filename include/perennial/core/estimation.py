"""What a model's performance probably is before labels have matured, from what was known when it was accepted.

One way for each kind of label. *Confidence-based*: a calibrated score is itself the chance of the label 1, so every
metric has an expected value without a label. *Direct loss*: a small model learns on the holdout how large the error
is for which features, and is asked about today's rows. Both follow rows that have moved to where the model was better
or worse on the holdout. Neither sees that the same features have come to mean something else: `BLIND` says so in
every record. That is no weakness of these two: without labels and without an assumption on what has changed nobody
can know.

Source:
    NannyML's documentation, "Estimation of performance" (both ways and their names); Cox (1958), Biometrika 45, 562-565
    (recalibration); Garg, Balakrishnan, Lipton, Neyshabur and Sedghi (2022), ICLR (why an assumption is needed).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perennial.core.deviations import FloatArray
from perennial.core.metrics import LEAST_PROBABILITY, IntArray, Scored, measure
from perennial.errors import DataError
from perennial.records import Record
from perennial.spec import METRICS, Value

Method = Literal["confidence-based", "direct loss"]
BINARY = ("roc_auc", "average_precision", "log_loss", "brier_score")
MONEY = ("expected_profit", "return_on_ad_spend")
LEAST_ENTITIES = 5
DEPTH, LEAF = 5, 15  # of the trees: levels, and rows in the smallest leaf
LEAST_ROWS = 50  # of the holdout: fewer say nothing about where errors are large
AT_ONCE, AT_ONCE_DRAWS = 0.99, 200  # confidence of the intervals that end a probation before labels, and worlds drawn
BLIND: Mapping[Method, str] = {
    "confidence-based": (
        "Estimated from the scores: it follows rows that have moved. It cannot see that the same features have come to "
        "mean something else (concept drift) or that scores have lost their calibration since the holdout; the matured "
        "labels will show it."
    ),
    "direct loss": (
        "Estimated from the errors on the holdout: it follows rows that have moved within what the holdout held. It "
        "cannot see that the same features have come to mean something else (concept drift), and beyond the holdout's "
        "range it knows nothing; the matured labels will show it."
    ),
}


@dataclass(frozen=True, slots=True)
class Expected(Record):
    """An expected metric, and the interval in which the metric on these rows' own labels will probably lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EstimatedPerformance(Record):
    """Metrics of rows without labels.

    Attributes:
        method: how they were estimated.
        metrics: each with its interval, which takes in the chance in the labels, entity by entity, and how well the
            holdout tells calibration or error; not that days differ.
        confidence: of the intervals, two-sided.
        rows: without labels.
        entities: among them.
        reference_rows: of the holdout.
        blind: what this estimate cannot see.
    """

    method: Method
    metrics: Mapping[str, Expected]
    confidence: float
    rows: int
    entities: int
    reference_rows: int
    blind: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Scored rows without labels; all arrays have `rows` as their first axis.

    `day` counts days; `entity` is a code that means the same entity as in the holdout or need not: it only says which
    of these rows hang together. `features` are numbers, NaN where missing, and are looked at by direct loss only.
    """

    score: FloatArray
    day: IntArray
    entity: IntArray
    features: FloatArray | None = None


def by_confidence(
    rows: Rows, holdout: Scored, *, value: Value | None = None, share: float | None = None,
    confidence: float = 0.9, draws: int = 100, seed: int = 0,
) -> EstimatedPerformance:  # fmt: skip
    """Return the expected metrics of a classifier's scores.

    With p the recalibrated chance of the label 1 (see `recalibrated`), the metric is that of rows which carry the
    label 1 with weight p and 0 with weight 1 - p: exact for log loss, Brier score, profit and return on spend, which
    are linear in the label, and but for terms of 1 / rows for areas under curves.

    An interval is made of `draws` worlds: in each the holdout's entities are drawn again and calibrate again, and each
    entity draws how lucky it is once, so that its rows on several days, whose labels share days, go together.

    Args:
        rows: scores without labels.
        holdout: the model's own scores with labels, of rows it was not trained on.
        value: what a converter brings and a contact costs; None leaves money out.
        share: the share contacted each day.
        confidence: of the intervals.
        draws: how many worlds.
        seed: equal seeds give equal intervals.

    Raises:
        DataError: there are no rows, or all labels of the holdout are equal.
    """
    _refuse_few(rows, holdout)
    if holdout.label.min() == holdout.label.max():
        raise DataError(f"calibration needs both labels in the holdout, got {holdout.label[0]:g} only.")
    chance, names = recalibrated(rows.score, holdout), (*BINARY, *(MONEY if value is not None else ()))
    centre = _metrics(names, rows, chance, value=value, share=share)
    generator = np.random.default_rng(seed)
    _, entity = np.unique(rows.entity, return_inverse=True)
    _, known = np.unique(holdout.entity, return_inverse=True)
    worlds = []
    for _ in range(draws):
        weights = np.bincount(generator.integers(0, known.max() + 1, known.max() + 1), minlength=known.max() + 1)[known]
        luck = generator.random(entity.max() + 1)[entity]
        label = (luck < recalibrated(rows.score, holdout, weights=weights.astype(np.float64))).astype(np.float64)
        worlds.append(_metrics(names, rows, label, value=value, share=share))
    tail = (1 - confidence) / 2
    found = {}
    for name in names:
        drawn = np.array([world[name] for world in worlds])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, (tail, 1 - tail)) if drawn.size else (-math.inf, math.inf)
        found[name] = Expected(centre[name], float(low), float(high))
    return _record("confidence-based", found, rows, holdout, confidence)


def surely_worse(new: Expected, former: Expected, *, metric: str, loss: float) -> bool:
    """Tell whether estimates say that a new champion is worse than the former one, before labels have matured.

    It is where the values differ by `loss` or more and the intervals do not even touch. Both are to be estimated on the
    same rows: a shift that hits both champions alike is no reason to go back.
    """
    if METRICS[metric]:
        return former.value - new.value >= loss and new.high < former.low
    return new.value - former.value >= loss and new.low > former.high


def recalibrated(score: FloatArray, holdout: Scored, *, weights: FloatArray | None = None) -> FloatArray:
    """Return `1 / (1 + exp(-(a + b · logit(score))))`, with a and b of the greatest likelihood on the holdout.

    The ranking stays where b is above 0; a = 0 and b = 1 is a score that was calibrated already. Two numbers, so that a
    small holdout is enough. Scores are kept 1e-15 away from 0 and 1. Where a resample cannot tell a and b apart (labels
    that the score separates wholly), a ridge of one part in a million keeps them finite.
    """
    x, target = _logit(holdout.score), holdout.label
    weight = np.ones(target.size) if weights is None else weights
    design = np.column_stack([np.ones(x.size), x])
    found, ridge = np.array([0.0, 1.0]), 1e-6 * weight.sum()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -35, 35)))
        slope = design.T @ (weight * (target - p)) - ridge * (found - [0.0, 1.0])
        curve = (design * (weight * p * (1 - p))[:, None]).T @ design + ridge * np.eye(2)
        step = np.clip(np.linalg.solve(curve, slope), -2, 2)
        found = found + step
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(1 / (1 + np.exp(-np.clip(found[0] + found[1] * _logit(score), -35, 35))))


def by_direct_loss(
    rows: Rows, holdout: Scored, features: FloatArray,
    *, confidence: float = 0.9, draws: int = 100, seed: int = 0,
) -> EstimatedPerformance:  # fmt: skip
    """Return the expected MAE and RMSE of a regressor's scores.

    Small trees, each grown on as many of the holdout's entities drawn again, learn the absolute and the squared error
    from the features and the score. The estimate is the mean of all trees over today's rows, corrected by what they
    miss on entities they were not grown on. The interval is `± z · sqrt(V_fit + V_left · G / G' · (e' / e)²)`: V_fit
    is the variance of the estimate from tree to tree; V_left that of the mean of what the trees leave unexplained, by
    the holdout's G entities; G' are today's entities, and e' / e is how much larger the error is expected to be
    today.

    Args:
        rows: scores and features without labels.
        holdout: the model's own scores with labels, of rows it was not trained on.
        features: the holdout's, shape (rows, features), the same columns as today's.
        confidence: of the intervals.
        draws: how many trees.
        seed: equal seeds give equal records.

    Raises:
        DataError: there are no rows or no features, their columns differ, or the holdout is too small.
    """
    from scipy.special import ndtri

    _refuse_few(rows, holdout)
    if rows.features is None or features.ndim != 2 or rows.features.shape[1:] != features.shape[1:]:
        theirs = None if rows.features is None else rows.features.shape
        raise DataError(f"direct loss needs the same features on both sides, got {theirs} and {features.shape}.")
    known, today = np.column_stack([features, holdout.score]), np.column_stack([rows.features, rows.score])
    errors = {"mae": np.abs(holdout.score - holdout.label), "mse": (holdout.score - holdout.label) ** 2}
    width = float(ndtri((1 + confidence) / 2))
    found = {}
    for name, error in errors.items():
        entities = (holdout.entity, rows.entity)
        value, spread = _learnt(known, error, today, entities=entities, draws=draws, seed=seed)
        found[name] = Expected(value, max(value - width * spread, 0.0), value + width * spread)
    square = found.pop("mse")
    found["rmse"] = Expected(*(math.sqrt(each) for each in (square.value, square.low, square.high)))
    return _record("direct loss", found, rows, holdout, confidence)


def _learnt(
    known: FloatArray, error: FloatArray, today: FloatArray,
    *, entities: tuple[IntArray, IntArray], draws: int, seed: int,
) -> tuple[float, float]:  # fmt: skip
    """Return the expected mean of an error on today's rows, and the standard error of what it will be.

    `entities` are those of the holdout's rows and of today's.
    """
    from sklearn.tree import DecisionTreeRegressor

    generator = np.random.default_rng(seed)
    _, code = np.unique(entities[0], return_inverse=True)
    count = int(code.max()) + 1
    means, unseen, times = [], np.zeros(error.size), np.zeros(error.size)
    for _ in range(draws):
        weights = np.bincount(generator.integers(0, count, count), minlength=count)[code].astype(np.float64)
        inside = weights > 0
        tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
        tree.fit(known[inside], error[inside], weights[inside])
        means.append(float(tree.predict(today).mean()))
        if not inside.all():
            unseen[~inside] += tree.predict(known[~inside])
            times[~inside] += 1
    judged = times > 0
    left = np.where(judged, error - unseen / np.maximum(times, 1), 0.0)
    off = float(left[judged].mean())
    value = max(float(np.mean(means)) + off, 0.0)
    by_entity = np.bincount(code, np.where(judged, left - off, 0.0)) / judged.sum()
    variance = float((by_entity**2).sum()) * count / (count - 1)
    larger = value / float(error.mean()) if error.any() else 1.0
    chance = variance * count / np.unique(entities[1]).size * larger**2
    return value, math.sqrt(float(np.var(means, ddof=1)) + chance)


def _metrics(
    names: tuple[str, ...], rows: Rows, label: FloatArray, *, value: Value | None, share: float | None
) -> dict[str, float]:
    """Return metrics of rows whose labels are chances or drawn."""
    scored = Scored(label, rows.score, rows.day, rows.entity)
    ones = np.ones(label.size)
    found = {name: float(measure(name, scored, value=value, share=share)(ones)) for name in names}
    # (s - p)² + p (1 - p): the square is not linear in the label, but a label of 0 or 1 is its own square.
    return found | {"brier_score": found["brier_score"] + float((label * (1 - label)).mean())}


def _refuse_few(rows: Rows, holdout: Scored) -> None:
    """Refuse what says nothing."""
    if not rows.score.size or holdout.label.size < LEAST_ROWS or np.unique(holdout.entity).size < LEAST_ENTITIES:
        raise DataError(
            f"an estimate needs rows, a holdout of {LEAST_ROWS} rows and {LEAST_ENTITIES} entities, got "
            f"{rows.score.size} rows and {holdout.label.size} rows of {np.unique(holdout.entity).size} entities."
        )


def _record(
    method: Method, found: Mapping[str, Expected], rows: Rows, holdout: Scored, confidence: float
) -> EstimatedPerformance:
    """Return the record, with what the method cannot see."""
    return EstimatedPerformance(
        method=method,
        metrics=found,
        confidence=confidence,
        rows=int(rows.score.size),
        entities=int(np.unique(rows.entity).size),
        reference_rows=int(holdout.label.size),
        blind=BLIND[method],
    )


def _logit(score: FloatArray) -> NDArray[np.float64]:
    p = np.clip(score, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))
