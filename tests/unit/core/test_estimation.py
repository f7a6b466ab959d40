"""Performance without labels, held against simulated days whose labels are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from perennial.core import estimation
from perennial.core.deviations import FloatArray
from perennial.core.estimation import Expected, Rows, by_confidence, by_direct_loss
from perennial.core.metrics import Scored, evaluate
from perennial.errors import DataError
from perennial.spec import Value

VALUE = Value(currency="EUR", conversion=10.0, contact=2.0)
SHARE = 0.3


def sigmoid(x: FloatArray) -> FloatArray:
    """Return chances."""
    return 1 / (1 + np.exp(-x))


def conversions(
    seed: int, *, people: int = 300, days: int = 4, mean: float = 0.0, meaning: float = 1.2, sure: float = 1.0
) -> Scored:
    """Return people on some days with scores that are right where `meaning` is 1.2 and `sure` is 1.

    Half the time a person's luck is the same on all days.
    """
    generator = np.random.default_rng(seed)
    x = generator.normal(mean, 1, people)
    lasting, own = generator.random((people, 1)), generator.random((people, days))
    luck = np.where(generator.random((people, days)) < 0.5, lasting, own)
    label = (luck < sigmoid(meaning * x - 1)[:, None]).astype(np.float64).ravel()
    score = np.repeat(sigmoid(sure * (1.2 * x - 1)), days)
    return Scored(label, score, np.tile(np.arange(days), people), np.repeat(np.arange(people), days))


def unlabelled(scored: Scored, features: FloatArray | None = None) -> Rows:
    """Return the same rows as they are before their labels mature."""
    return Rows(scored.score, scored.day, scored.entity, features)


def prices(seed: int, *, mean: float = 0.0, twist: float = 1.0) -> tuple[Scored, FloatArray]:
    """Return predictions whose errors grow with the feature, and the feature; `twist` multiplies the errors."""
    generator = np.random.default_rng(seed)
    x = generator.normal(mean, 1, 300).repeat(4)
    person = generator.normal(size=300).repeat(4)
    error = twist * (0.7 * np.exp(0.35 * x) * generator.normal(size=x.size) + 0.4 * person)
    entity, day = np.repeat(np.arange(300), 4), np.tile(np.arange(4), 300)
    return Scored(2 * x + error, 2 * x, day, entity, "number"), x[:, None]


def test_expected_losses_of_calibrated_scores_are_worked_out_by_hand():
    """Chances of ½ and ¼: log loss is the mean entropy, the Brier score the mean of p (1 - p)."""
    score = np.repeat([0.5, 0.25], 40)
    holdout = Scored(
        np.tile([1.0, 0, 1, 0, 1, 0, 0, 0], 10), np.tile([0.5] * 4 + [0.25] * 4, 10), *2 * (np.arange(80),)
    )
    found = by_confidence(Rows(score, np.zeros(80, np.int64), np.arange(80)), holdout, draws=5).metrics
    entropy = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.5, 0.25)]

    assert found["log_loss"].value == pytest.approx(sum(entropy) / 2)
    assert found["brier_score"].value == pytest.approx((0.25 + 0.1875) / 2, abs=1e-6)


def test_expected_profit_is_that_of_the_chances():
    """Ten rows on a day, the best three contacted: 1,000 · Σ (10 p - 2) / 10."""
    score = np.linspace(0.05, 0.5, 10)
    rows = Rows(score, np.zeros(10, np.int64), np.arange(10))
    found = by_confidence(rows, conversions(0), value=VALUE, share=SHARE, draws=5).metrics["expected_profit"]
    chance = estimation.recalibrated(score, conversions(0))

    assert found.value == pytest.approx(100 * (10 * chance[-3:] - 2).sum())


@pytest.mark.parametrize(
    "metric", ["roc_auc", "average_precision", "log_loss", "brier_score", "expected_profit", "return_on_ad_spend"]
)
def test_rows_that_moved_are_followed_with_an_interval_that_holds(metric):
    """Thinner customers: the metric on the labels that come lies in 90 % intervals as often as stated, at least."""
    draws, held, errors = 30, 0, []
    for seed in range(draws):
        now = conversions(1000 + seed, mean=-0.7)
        found = by_confidence(unlabelled(now), conversions(seed), value=VALUE, share=SHARE, draws=60, seed=seed)
        truth, told = evaluate(now, value=VALUE, share=SHARE)[metric], found.metrics[metric]
        held += told.low <= truth <= told.high
        errors.append((told.value - truth) / (told.high - told.low))

    assert held / draws >= 0.9 - 3 * math.sqrt(0.09 / draws)
    assert abs(np.mean(errors)) < 0.15


def test_a_shift_of_the_rows_moves_the_estimate_as_it_moves_the_truth():
    """Fewer convert: both say about half the profit."""
    before, after = conversions(1, people=3000), conversions(2, people=3000, mean=-0.7)
    told = [
        by_confidence(unlabelled(each), before, value=VALUE, share=SHARE, draws=5).metrics["expected_profit"].value
        for each in (before, after)
    ]
    truth = [evaluate(each, value=VALUE, share=SHARE)["expected_profit"] for each in (before, after)]

    assert told == pytest.approx(truth, rel=0.15)
    assert truth[1] < 0.7 * truth[0]


def test_what_has_come_to_mean_something_else_is_not_seen_and_the_record_says_so():
    """The same scores, labels that no longer follow them: the estimate does not move, the truth falls."""
    holdout = conversions(1)
    usual, changed = conversions(2, people=2000), conversions(2, people=2000, meaning=-0.6)
    told = [by_confidence(unlabelled(each), holdout, draws=20) for each in (usual, changed)]
    truth = [evaluate(each, value=None, share=None)["roc_auc"] for each in (usual, changed)]

    assert told[0].metrics == told[1].metrics
    assert truth[1] < told[1].metrics["roc_auc"].low < truth[0]
    assert "cannot see that the same features have come to mean something else (concept drift)" in told[1].blind
    assert "lost their calibration" in told[1].blind


def test_scores_that_are_too_sure_are_brought_back_on_the_holdout():
    """Twice as far from ½ as they should be; the expected log loss is that of what really happens all the same."""
    holdout, now = conversions(1, people=3000, sure=2.0), conversions(2, people=3000, sure=2.0)
    found = by_confidence(unlabelled(now), holdout, draws=5).metrics["log_loss"].value

    assert found == pytest.approx(evaluate(now, value=None, share=None)["log_loss"], rel=0.05)
    assert estimation.recalibrated(np.array([sigmoid(np.array(2.0))]), holdout) == pytest.approx(0.731, abs=0.03)


def test_rows_of_one_entity_do_not_count_as_new():
    """A hundred people seen on nine days are not nine hundred people."""
    holdout = conversions(1, people=3000, days=1)
    few, many = conversions(2, people=100, days=9), conversions(2, people=900, days=1)
    widths = []
    for each in (few, many):
        told = by_confidence(unlabelled(each), holdout, draws=100).metrics["log_loss"]
        widths.append(told.high - told.low)

    assert widths[0] > 2 * widths[1]


def test_labels_that_the_score_separates_wholly_leave_chances_finite():
    """A tiny holdout of a very good model."""
    score = np.r_[np.full(30, 0.1), np.full(30, 0.9)]
    holdout = Scored((score > 0.5) * 1.0, score, np.zeros(60, np.int64), np.arange(60))
    found = estimation.recalibrated(np.array([0.0, 0.5, 1.0]), holdout)

    assert np.isfinite(found).all()
    assert 0 <= found[0] < found[1] < found[2] <= 1


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_errors_that_grow_with_a_feature_are_foreseen_where_it_grows(metric):
    """The stated error: within a tenth of the truth, nearer to it than to the holdout; four in five in the interval."""
    draws, held, errors, moved = 25, 0, [], []
    for seed in range(draws):
        holdout, known = prices(seed)
        now, features = prices(1000 + seed, mean=0.6)
        told = by_direct_loss(unlabelled(now, features), holdout, known, draws=30).metrics[metric]
        truth, old = (evaluate(each, value=None, share=None)[metric] for each in (now, holdout))
        held += told.low <= truth <= told.high
        errors.append(told.value / truth - 1)
        moved.append(old / truth - 1)

    assert held / draws >= 0.8 - 3 * math.sqrt(0.16 / draws)
    assert abs(np.mean(errors)) < 0.05
    assert np.mean(np.abs(errors)) < 0.1 < -np.mean(moved)


def test_errors_that_grow_without_any_feature_are_not_seen_and_the_record_says_so():
    """Twice the error for the same features: the estimate stays below the truth, and says what it cannot see."""
    holdout, known = prices(1)
    now, features = prices(2, twist=2.0)
    found = by_direct_loss(unlabelled(now, features), holdout, known, draws=30)

    assert found.metrics["mae"].high < evaluate(now, value=None, share=None)["mae"]
    assert "cannot see that the same features have come to mean something else (concept drift)" in found.blind
    assert "beyond the holdout's range it knows nothing" in found.blind


def test_an_estimate_is_the_same_each_time_and_json_can_carry_it():
    """With missing features, which trees take."""
    holdout, known = prices(1)
    now, features = prices(2)
    known[::7], features[::5] = math.nan, math.nan
    found = [by_direct_loss(unlabelled(now, features), holdout, known, draws=10) for _ in range(2)]

    assert found[0] == found[1]
    assert json.loads(json.dumps(found[0].to_json()))["metrics"]["mae"]["value"] == found[0].metrics["mae"].value
    assert (found[0].rows, found[0].entities, found[0].reference_rows) == (1200, 300, 1200)


@pytest.mark.parametrize(
    ("new", "worse"), [((0.60, 0.58, 0.62), True), ((0.66, 0.58, 0.62), False), ((0.60, 0.58, 0.66), False)]
)
def test_only_a_loss_beyond_both_intervals_is_sure_before_labels(new, worse):
    """A ranking that falls by 0.05 and more, and intervals that do not touch; for a loss the other way round."""
    former = Expected(0.70, 0.65, 0.75)
    turned = [Expected(-each.value, -each.high, -each.low) for each in (Expected(*new), former)]

    assert estimation.surely_worse(Expected(*new), former, metric="roc_auc", loss=0.05) is worse
    assert estimation.surely_worse(turned[0], turned[1], metric="log_loss", loss=0.05) is worse


def test_a_holdout_that_says_nothing_is_refused():
    """Too few rows, or one label only; the message has the numbers."""
    now = unlabelled(conversions(1))
    few = conversions(1, people=12)
    same = Scored(np.zeros(60), np.full(60, 0.2), np.zeros(60, np.int64), np.arange(60))

    with pytest.raises(DataError, match="a holdout of 50 rows and 5 entities, got 1200 rows and 48 rows of 12"):
        by_confidence(now, few)
    with pytest.raises(DataError, match="both labels in the holdout, got 0 only"):
        by_confidence(now, same)


def test_other_features_than_those_of_the_holdout_are_refused():
    """Or none at all."""
    holdout, known = prices(1)
    now, features = prices(2)

    with pytest.raises(DataError, match=r"the same features on both sides, got \(1200, 1\) and \(1200, 2\)"):
        by_direct_loss(unlabelled(now, features), holdout, np.hstack([known, known]))
    with pytest.raises(DataError, match="got None"):
        by_direct_loss(unlabelled(now), holdout, known)
