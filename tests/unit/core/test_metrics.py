"""The metrics against scikit-learn, and the money against sums worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.core import metrics
from perennial.core.metrics import Scored
from perennial.errors import DataError
from perennial.spec import METRICS, Value

VALUE = Value(currency="EUR", conversion=10.0, contact=1.0)


def scored(label: list[float], score: list[float], day: list[int] | None = None) -> Scored:
    """Return rows of one day, each of an entity of its own."""
    rows = len(label)
    days = np.array(day or [0] * rows, dtype=np.int64)
    return Scored(np.array(label, float), np.array(score, float), days, np.arange(rows, dtype=np.int64))


def noisy(rows: int, *, seed: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, scores with many ties, and whole-number weights some of which are 0."""
    generator = np.random.default_rng(seed)
    score = np.round(generator.random(rows), digits)
    label = (generator.random(rows) < score).astype(float)
    label[:2] = 0.0, 1.0
    weights = generator.integers(0, 4, rows).astype(float)
    weights[:2] = 1.0
    return label, score, weights


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 300), seed=st.integers(0, 10_000))
def test_the_statistical_metrics_are_those_of_scikit_learn(rows: int, seed: int):
    """With ties, and with weights."""
    from sklearn import metrics as theirs

    label, score, weights = noisy(rows, seed=seed)
    clipped = np.clip(score, metrics.LEAST_PROBABILITY, 1 - metrics.LEAST_PROBABILITY)

    assert metrics.roc_auc(label, score)(weights) == pytest.approx(
        theirs.roc_auc_score(label, score, sample_weight=weights)
    )
    assert metrics.average_precision(label, score)(weights) == pytest.approx(
        theirs.average_precision_score(label, score, sample_weight=weights)
    )
    assert metrics.log_loss(label, score)(weights) == pytest.approx(
        theirs.log_loss(label, clipped, sample_weight=weights)
    )
    assert metrics.brier_score(label, score)(weights) == pytest.approx(
        theirs.brier_score_loss(label, score, sample_weight=weights)
    )


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 60), seed=st.integers(0, 10_000), name=st.sampled_from(sorted(METRICS)))
def test_a_weight_of_two_is_the_same_row_twice(rows: int, seed: int, name: str):
    """What the bootstrap relies on: weighting is resampling (with the bins of the whole sample)."""
    label, score, weights = noisy(rows, seed=seed)
    table = scored(label.tolist(), score.tolist())
    measured = metrics.measure(name, table, value=VALUE, share=0.4)(weights)
    scaled = metrics.measure(name, table, value=VALUE, share=0.4)(weights * 3)

    assert measured == pytest.approx(scaled, nan_ok=True)


def test_ties_count_half_in_the_auc():
    """Two positives, two negatives, one pair tied: 3.5 of 4 pairs."""
    assert metrics.roc_auc(np.array([0.0, 0, 1, 1]), np.array([0.1, 0.5, 0.5, 0.9]))(np.ones(4)) == 3.5 / 4


def test_one_class_has_no_auc():
    """NaN, which fails every gate, not an error."""
    assert math.isnan(metrics.roc_auc(np.ones(3), np.array([0.1, 0.2, 0.3]))(np.ones(3)))


def test_a_perfectly_calibrated_bin_adds_no_error():
    """Two bins of two equal scores: 0.5 against 1/2, and 0.9 against 0/2."""
    label, score = np.array([0.0, 1, 0, 0]), np.array([0.5, 0.5, 0.9, 0.9])

    assert metrics.expected_calibration_error(label, score)(np.ones(4)) == pytest.approx(0.5 * 0.9)


def test_equal_scores_share_a_calibration_bin():
    """A constant score is one bin: its error is the distance to the base rate."""
    label = np.array([1.0, 0, 0, 0])

    assert metrics.expected_calibration_error(label, np.full(4, 0.4))(np.ones(4)) == pytest.approx(0.15)
    assert set(metrics.calibration_bins(np.full(4, 0.4))) == {0}


def test_calibration_bins_hold_equal_rows():
    """A hundred distinct scores make ten bins of ten."""
    _, _, rows = metrics.calibration_curve(np.zeros(100), np.linspace(0, 1, 100))

    assert rows.tolist() == [10] * 10


def test_the_profit_matches_one_worked_by_hand():
    """Of four households the two best are contacted, one converts: 10 - 2, per 1,000 of 4."""
    found = metrics.evaluate(scored([1, 0, 0, 1], [0.9, 0.8, 0.2, 0.1]), value=VALUE, share=0.5)

    assert found["expected_profit"] == pytest.approx(1000 * (10 - 2) / 4)
    assert found["return_on_ad_spend"] == pytest.approx(10 / 2)
    assert found["contacted_share"] == 0.5


def test_the_share_is_taken_of_each_day():
    """The best half of each day, though the second day's scores are all lower."""
    rows = scored([1, 0, 1, 0], [0.9, 0.8, 0.2, 0.1], day=[0, 0, 1, 1])

    assert metrics.contacted(rows, share=0.5).tolist() == [1, 0, 1, 0]


def test_equal_scores_are_contacted_with_equal_probability():
    """One contact among two tied households: half a contact each, whatever their order."""
    assert metrics.contacted(scored([0, 1, 0], [0.5, 0.5, 0.1]), share=1 / 3).tolist() == [0.5, 0.5, 0.0]


def test_nobody_is_contacted_where_contacting_loses_money():
    """Then profit and return are 0, and no share is better."""
    rows = scored([0, 0, 0, 0], [0.4, 0.3, 0.2, 0.1])
    share = metrics.best_share(rows, value=VALUE)
    found = metrics.evaluate(rows, value=VALUE, share=share)

    assert share == 0.0
    assert (found["expected_profit"], found["return_on_ad_spend"]) == (0.0, 0.0)


def test_the_best_share_stops_where_the_profit_does():
    """Two converters on top of a hundred households: contacting two is best."""
    rows = scored([1.0, 1.0] + [0.0] * 98, np.linspace(1, 0, 100).tolist())

    assert metrics.best_share(rows, value=VALUE) == 0.02


def test_the_profit_curve_is_the_profit_at_each_share():
    """With ties, on two days of different length: the running sums give what contacting would."""
    label, score, _ = noisy(157, seed=5, digits=1)
    rows = scored(label.tolist(), score.tolist(), day=[0] * 57 + [1] * 100)
    shares, profits = metrics.profit_curve(rows, value=VALUE)

    for share, profit in list(zip(shares, profits, strict=True))[::13]:
        assert metrics.evaluate(rows, value=VALUE, share=share)["expected_profit"] == pytest.approx(profit)


def test_the_curves_agree_with_the_areas():
    """The trapezoid under the ROC curve is the AUC; the last recall is 1."""
    label, score, _ = noisy(200, seed=3)
    x, y = metrics.roc_curve(label, score)
    recall, precision = metrics.precision_recall_curve(label, score)

    assert np.trapezoid(y, x) == pytest.approx(metrics.roc_auc(label, score)(np.ones(200)))
    assert recall[-1] == 1.0
    assert precision[-1] == pytest.approx(label.mean())


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_that_is_no_probability_is_refused(score: float):
    """Names how many of how many."""
    with pytest.raises(DataError, match="1 of 2 that do not"):
        scored([0, 1], [0.5, score])


def test_no_rows_are_refused():
    """Every metric needs one."""
    with pytest.raises(DataError, match="one length above 0"):
        scored([], [])
