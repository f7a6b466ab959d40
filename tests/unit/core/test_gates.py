"""The gates: boundaries, modes and verdicts; test_resampling.py holds the statistics."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from contenders import both, measured
from perennial.core import comparison, gates, metrics
from perennial.core.evidence import Contender, Evidence, Rows
from perennial.core.metrics import Scored
from perennial.core.slices import by_slices
from perennial.errors import DataError
from perennial.spec import AbsoluteGate, BaselineGate, ChampionGate, SliceGate, Value

VALUE = Value(currency="EUR", conversion=10.0, contact=1.0)
NAN = float("nan")


def contender(label: np.ndarray, score: np.ndarray, entity: np.ndarray) -> Contender:
    """Return a contender with its own metrics."""
    table = Scored(label, score, np.zeros(label.size, dtype=np.int64), entity)
    return Contender(table, 0.2, VALUE, metrics.evaluate(table, value=VALUE, share=0.2))


def population(people: int, days: int, *, seed: int, lift: float = 0.0) -> tuple[Contender, Contender]:
    """Return two models on people whose labels hardly change from day to day; the first is better by `lift`.

    Each model has its own opinion of a person, the same every day, as features of successive days make it.
    """
    generator = np.random.default_rng(seed)
    habit = generator.normal(size=people)
    opinions = habit[:, None] * (1 + np.array([lift, 0.0])) + generator.normal(size=(people, 2))
    entity = np.repeat(np.arange(people), days)
    label = (habit[entity] + 0.3 * generator.normal(size=entity.size) > 0.5).astype(float)
    scores = [1 / (1 + np.exp(-opinions[entity, side])) for side in (0, 1)]
    return contender(label, scores[0], entity), contender(label, scores[1], entity)


@pytest.mark.parametrize(("value", "passes"), [(0.699, False), (0.70, True), (0.71, True), (NAN, False)])
def test_a_value_at_its_lower_limit_passes(value: float, *, passes: bool):
    """The limit itself is good enough; a NaN is not, whatever the limit."""
    assert gates.absolute(AbsoluteGate(metric="roc_auc", at_least=0.70), measured("roc_auc", value)).passed is passes


@pytest.mark.parametrize(("value", "passes"), [(0.051, False), (0.05, True), (0.0, True), (NAN, False)])
def test_a_value_at_its_upper_limit_passes(value: float, *, passes: bool):
    """For a loss less is better."""
    found = gates.absolute(AbsoluteGate(metric="log_loss", at_most=0.05), measured("log_loss", value))

    assert found.passed is passes


def test_a_limit_of_zero_is_a_limit():
    """Zero is not "no limit"."""
    found = gates.absolute(AbsoluteGate(metric="expected_profit", at_least=0.0), measured("expected_profit", -0.01))

    assert not found.passed
    assert found.limit == 0.0


@pytest.mark.parametrize(("value", "passes"), [(0.69, False), (0.70, True), (NAN, False)])
def test_beating_a_baseline_by_exactly_the_margin_passes(value: float, *, passes: bool):
    """0.6 + 0.1 is 0.7, though floating point would not say so for 0.1 + 0.2."""
    gate = BaselineGate(metric="roc_auc", beats_baseline="recency", by=0.1)
    found = comparison.against_baseline(gate, measured("roc_auc", value, baselines={"recency": {"roc_auc": 0.6}}))

    assert found.passed is passes
    assert found.limit == pytest.approx(0.7)


def test_the_last_bit_of_a_sum_fails_no_gate():
    """0.1 + 0.2 is above 0.3 by one bit."""
    gate = BaselineGate(metric="roc_auc", beats_baseline="recency", by=0.2)
    found = comparison.against_baseline(gate, measured("roc_auc", 0.3, baselines={"recency": {"roc_auc": 0.1}}))

    assert found.passed


def test_a_loss_beats_its_baseline_by_being_lower():
    """0.40 against 0.45, needed 0.05 lower."""
    gate = BaselineGate(metric="log_loss", beats_baseline="dummy", by=0.05)
    found = comparison.against_baseline(gate, measured("log_loss", 0.40, baselines={"dummy": {"log_loss": 0.45}}))

    assert found.passed
    assert found.limit == pytest.approx(0.40)


def test_a_baseline_the_training_did_not_have_names_those_it_had():
    """The spec has changed since the training."""
    gate = BaselineGate(metric="roc_auc", beats_baseline="recency")

    with pytest.raises(DataError, match=r"beside the baselines dummy, not 'recency'.*Train again"):
        comparison.against_baseline(gate, measured("roc_auc", 0.7, baselines={"dummy": {"roc_auc": 0.5}}))


def test_with_confidence_a_baseline_is_beaten_for_other_people_too():
    """The same gain: proven by many people, not to be told from few, and the report says how many rows would do."""
    gate = BaselineGate(metric="roc_auc", beats_baseline="recency", by=0.02, confidence=0.9, resamples=200)
    many, few = (against("recency", *population(people, 3, seed=3, lift=1.0)) for people in (1500, 40))
    proven, unsure = (comparison.against_baseline(gate, evidence) for evidence in (many, few))

    assert (proven.verdict, proven.name, proven.limit) == ("passed", "roc_auc against recency", 0.02)
    assert proven.value == proven.low
    assert "90% lower bound of the gain +0.0" in proven.detail
    assert unsure.verdict == "cannot tell"
    assert unsure.rows_needed is not None
    assert unsure.rows_needed > 120


def test_a_bound_needs_the_scores_of_the_baseline():
    """A training of before kept figures only."""
    gate = BaselineGate(metric="roc_auc", beats_baseline="recency", by=0.02, confidence=0.9)
    kept = replace(against("recency", *population(50, 2, seed=1)), rivals={})

    with pytest.raises(DataError, match=r"row by row with the model 'recency'.*Train again"):
        comparison.against_baseline(gate, kept)


def against(name: str, challenger: Contender, baseline: Contender) -> Evidence:
    """Return evidence of a first challenger and a baseline of its training."""
    return replace(both(challenger, None), baselines={name: baseline.metrics}, rivals={name: baseline})


def test_a_model_is_not_worse_than_itself():
    """Equal scores differ in no resample: the bound is 0, and 0 passes a margin of 0."""
    first, _ = population(80, 3, seed=1)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.0, resamples=100)
    found = comparison.against_champion(gate, both(first, first, seed=0))

    assert (found.value, found.margin, found.passed) == (0.0, 0.0, True)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "expected_profit", "expected_calibration_error"])
def test_a_much_worse_challenger_fails_against_the_champion(metric: str):
    """Both for what should be high and for what should be low."""
    first, _ = population(200, 4, seed=2, lift=2.0)
    worse = contender(first.scored.label, 1 - first.scored.score, first.scored.entity)
    gate = ChampionGate(metric=metric, no_worse_than_champion_by=0.01, resamples=200)

    assert not comparison.against_champion(gate, both(worse, first, seed=0)).passed
    assert comparison.against_champion(gate, both(first, worse, seed=0)).passed


def test_equal_seeds_give_equal_bounds():
    """A report can be computed again."""
    first, second = population(60, 3, seed=4)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.0, resamples=100)
    found = [comparison.against_champion(gate, both(first, second, seed=seed)) for seed in (5, 5, 6)]

    assert found[0] == found[1]
    assert found[0].value != found[2].value


def test_what_the_champion_was_trained_on_does_not_count_against_the_challenger():
    """It knows the labels of the first half by heart; on the other half the two are one model."""
    import pandas as pd

    first, _ = population(80, 4, seed=1)
    label, entity, day = first.scored.label, first.scored.entity, np.tile(np.arange(4), 80)
    table = Scored(label, first.scored.score, day, entity)
    learnt = Scored(label, np.where(day < 2, label, first.scored.score), day, entity)
    ours, theirs = (
        Contender(each, 0.2, VALUE, metrics.evaluate(each, value=VALUE, share=0.2)) for each in (table, learnt)
    )
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.01, resamples=100, resample="entity")
    sliced = SliceGate(
        slices=("town",), metric="log_loss", no_worse_than_champion_by=0.01, min_rows=20, resample="entity"
    )
    frame = pd.DataFrame({"town": np.where(entity < 40, "a", "b")})
    rows = Rows(frame, (), ("town",), lambda shown: np.zeros(len(shown)))
    unfair = replace(both(ours, theirs), rows=rows)
    fair = replace(unfair, champion=theirs.on(day >= 2), unseen=day >= 2, seen="; on 2 of 4 holdout days")

    assert not comparison.against_champion(gate, unfair).passed
    assert not by_slices(sliced, unfair).passed
    assert comparison.against_champion(gate, fair).value == 0.0
    assert comparison.against_champion(gate, fair).detail.endswith(
        "; on 2 of 4 holdout days; power 100% for a true gain of +0"
    )
    assert by_slices(sliced, fair).passed
    assert sum(part.rows for part in by_slices(sliced, fair).parts) == 160


def test_without_a_champion_its_gates_are_left_out():
    """The first model of a use case has only the other gates to pass."""
    first, _ = population(50, 2, seed=1)
    declared = [
        AbsoluteGate(metric="roc_auc", at_least=0.5),
        ChampionGate(metric="roc_auc", no_worse_than_champion_by=0),
    ]
    found = gates.decide(declared, both(first, None))

    assert [result.name for result in found] == ["roc_auc at least"]


def test_the_bootstrap_of_a_real_holdout_takes_seconds():
    """500 resamples of 2,400 entities on 15 days, 36,000 rows: about a second, five on a busy machine."""
    first, second = population(2400, 15, seed=1)
    gate = ChampionGate(metric="roc_auc", no_worse_than_champion_by=0.01, resamples=500)
    started = time.perf_counter()
    comparison.against_champion(gate, both(first, second, seed=0))

    assert time.perf_counter() - started < 15
