"""What predictions of numbers are worth: against scikit-learn, against rows that are there twice, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from contenders import both, measured
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.core import comparison, deviations, gates, metrics
from perennial.core.evidence import Contender
from perennial.core.metrics import Scored
from perennial.errors import DataError
from perennial.spec import METRICS, AbsoluteGate, BaselineGate, ChampionGate, metrics_of

LABEL, SCORE = np.array([1.0, 2.0, 3.0, 10.0]), np.array([1.0, 4.0, 2.0, 6.0])  # errors 0, 2, -1, -4


def rows(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions of them, and whole-number weights some of which are 0."""
    generator = np.random.default_rng(seed)
    label = np.round(generator.gamma(2.0, 5.0, count), 1)
    weights = generator.integers(0, 4, count).astype(float)
    weights[:2] = 1.0
    return label, label + generator.normal(0, 3, count), weights


def of_numbers(label: np.ndarray, score: np.ndarray, entity: np.ndarray | None = None) -> Scored:
    """Return predictions of one day."""
    zeros = np.zeros(label.size, dtype=np.int64)
    return Scored(label, score, zeros, np.arange(label.size) if entity is None else entity, "number")


@settings(max_examples=30, deadline=None)
@given(count=st.integers(3, 200), seed=st.integers(0, 10_000))
def test_the_measures_are_those_of_scikit_learn(count: int, seed: int):
    """With weights."""
    from sklearn import metrics as theirs

    label, score, weights = rows(count, seed=seed)

    assert deviations.mae(label, score)(weights) == pytest.approx(
        theirs.mean_absolute_error(label, score, sample_weight=weights)
    )
    assert deviations.rmse(label, score)(weights) == pytest.approx(
        theirs.root_mean_squared_error(label, score, sample_weight=weights)
    )
    assert deviations.r2(label, score)(weights) == pytest.approx(
        theirs.r2_score(label, score, sample_weight=weights), nan_ok=True
    )
    assert deviations.median_absolute_error(label, score)(np.ones(count)) == pytest.approx(
        theirs.median_absolute_error(label, score)
    )


@settings(max_examples=30, deadline=None)
@given(count=st.integers(3, 60), seed=st.integers(0, 10_000), name=st.sampled_from(sorted(deviations.MEASURES)))
def test_a_weight_of_two_is_the_same_row_twice(count: int, seed: int, name: str):
    """What the bootstrap relies on."""
    label, score, weights = rows(count, seed=seed)
    times = weights.astype(int)
    repeated = deviations.MEASURES[name](np.repeat(label, times), np.repeat(score, times))

    assert deviations.MEASURES[name](label, score)(weights) == pytest.approx(
        repeated(np.ones(times.sum())), nan_ok=True
    )


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("mae", 7 / 4),
        ("rmse", math.sqrt(21 / 4)),
        ("median_absolute_error", 1.5),
        ("bias", 3 / 4),
        ("r2", 1 - 21 / 50),
    ],
)
def test_each_measure_matches_one_worked_by_hand(name: str, by_hand: float):
    """Errors of 0, 2, -1 and -4 on labels 1, 2, 3 and 10."""
    assert deviations.MEASURES[name](LABEL, SCORE)(np.ones(4)) == pytest.approx(by_hand)


def test_the_bias_has_no_sign_and_the_mean_error_has():
    """Too much is as bad as too little; which of them it was is told beside it."""
    found = metrics.evaluate(of_numbers(LABEL, SCORE), value=None, share=None)

    assert (found["bias"], found["mean_error"]) == (0.75, -0.75)
    assert (found["mean_label"], found["rows"]) == (4.0, 4.0)
    assert set(metrics_of("number", money=False)) <= set(found)


def test_a_label_that_never_varies_has_no_r2():
    """NaN, which fails every gate; also for large numbers, whose squares differ by rounding alone."""
    label = np.full(5, 123_456_789.1)

    assert math.isnan(deviations.r2(label, label + np.arange(5.0))(np.ones(5)))


def test_rows_without_weight_have_no_measure():
    """NaN throughout."""
    assert all(math.isnan(measure(LABEL, SCORE)(np.zeros(4))) for measure in deviations.MEASURES.values())


def test_every_metric_of_a_number_has_a_direction():
    """And nothing that only a binary label has is among them."""
    assert {name: METRICS[name] for name in metrics_of("number", money=False)} == {
        "mae": False,
        "rmse": False,
        "median_absolute_error": False,
        "bias": False,
        "r2": True,
    }
    assert not set(metrics_of("binary", money=True)) & set(deviations.MEASURES)
    assert {"expected_profit", "roc_auc"} & set(metrics_of("binary", money=False)) == {"roc_auc"}


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_prediction_that_is_no_number_is_refused(score: float):
    """A negative or a large one is fine."""
    assert of_numbers(LABEL, LABEL - 1000).score.min() == -999

    with pytest.raises(DataError, match="must be finite numbers, got 1 of 4"):
        of_numbers(LABEL, np.array([1.0, score, 3.0, 4.0]))


@pytest.mark.parametrize(("value", "passes"), [(3.81, False), (3.8, True), (3.0, True)])
def test_less_is_better_for_an_error(value: float, *, passes: bool):
    """4.1 of the baseline less 0.3; and an absolute limit from above."""
    beats = BaselineGate(metric="mae", beats_baseline="mean", by=0.3)
    found = gates.against_baseline(beats, measured("mae", value, baselines={"mean": {"mae": 4.1}}))

    assert found.passed is passes
    assert gates.absolute(AbsoluteGate(metric="mae", at_most=3.8), measured("mae", value)).passed is passes


@pytest.mark.parametrize(("noise", "passes"), [(1.0, True), (2.0, False)])
def test_a_challenger_with_larger_errors_does_not_pass(noise: float, *, passes: bool):
    """The champion's errors have a spread of 1; the challenger's one like it, or twice that."""
    generator = np.random.default_rng(3)
    entity = np.repeat(np.arange(200), 4)
    label = generator.gamma(2.0, 5.0, 200)[entity]
    sides = [of_numbers(label, label + generator.normal(0, spread, label.size), entity) for spread in (noise, 1.0)]
    ours, theirs = (Contender(it, None, None, metrics.evaluate(it, value=None, share=None)) for it in sides)
    gate = ChampionGate(metric="mae", no_worse_than_champion_by=0.1, resamples=200)

    assert comparison.against_champion(gate, both(ours, theirs, seed=1)).passed is passes


def test_a_metric_the_training_did_not_measure_asks_for_another_training():
    """The spec has got `value` since: the baseline knows no profit."""
    gate = BaselineGate(metric="expected_profit", beats_baseline="dummy")

    with pytest.raises(DataError, match=r"without measuring expected_profit of the baseline 'dummy'.*Train again"):
        gates.against_baseline(gate, measured("expected_profit", 3.0, baselines={"dummy": {"roc_auc": 0.5}}))
