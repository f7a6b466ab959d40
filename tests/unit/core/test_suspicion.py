"""Too good to be true, unequal groups, simpler models and what an artifact costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from perennial.core import comparison, fairness, gates, suspicion
from perennial.core.evidence import Contender, Cost, Evidence, Rows
from perennial.core.metrics import Scored
from perennial.errors import DataError
from perennial.spec import FairnessGate, LatencyGate, LeakageGate, SimplerGate, SizeGate

from benchmarks.gate_worlds import View, World

GENERATOR = np.random.default_rng(3)
LABEL = (np.arange(600) % 3 == 0).astype(float)


def judged(columns: dict[str, object], *, score: np.ndarray | None = None, excused: tuple[str, ...] = ()) -> Evidence:
    """Return evidence of a model on these features; by default it guesses."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    days = np.zeros(LABEL.size, dtype=np.int64)
    scored = Scored(LABEL, GENERATOR.random(LABEL.size) if score is None else score, days, np.arange(LABEL.size))
    numeric = tuple(name for name in frame if frame[name].dtype.kind == "f")
    texts = tuple(name for name in frame if name not in numeric)
    rows = Rows(frame, numeric, texts, lambda rows: np.zeros(len(rows)), excused)
    return Evidence(Contender(scored, None, None, {}), None, {}, 1, 0, rows=rows)


HONEST = LABEL + GENERATOR.normal(0, 2, LABEL.size)
FEATURES = {"honest": HONEST, "leaking": LABEL + GENERATOR.normal(0, 0.1, LABEL.size)}


def test_a_feature_that_tells_the_label_alone_stops_the_promotion_by_name():
    """Its area is all but 1."""
    found = suspicion.too_good(LeakageGate(suspicious_feature=0.95), judged(FEATURES))

    assert (found.passed, found.name) == (False, "leakage: leaking")
    assert found.value > 0.99


def test_an_excused_feature_does_not_count():
    """features.strong says why it is honest."""
    found = suspicion.too_good(LeakageGate(suspicious_feature=0.95), judged(FEATURES, excused=("leaking",)))

    assert found.passed
    assert "excused by features.strong: leaking" in found.detail


def test_a_score_above_its_ceiling_is_suspicious_too():
    """Whatever the features say."""
    gate = LeakageGate(suspicious_feature=1.0, suspicious_score=0.98)
    found = suspicion.too_good(gate, judged({"honest": HONEST}, score=LABEL))

    assert (found.passed, found.name, found.value) == (False, "leakage: the score", 1.0)


def test_a_text_that_occurs_once_tells_nothing():
    """The label of the row itself is left out, or each identifier would be a perfect feature."""
    frame = {"id": [f"id{n}" for n in range(600)]}
    leak = {"status": np.where(LABEL == 1, "won", "lost")}
    gate = LeakageGate(suspicious_feature=0.9)

    assert suspicion.too_good(gate, judged(frame)).passed
    assert not suspicion.too_good(gate, judged(leak)).passed


def groups(of_ones: float, of_others: float) -> Evidence:
    """Return a model that selects so many of a hundred of two groups of three hundred."""
    score = np.r_[np.arange(300) < 300 * of_ones, np.arange(300) < 300 * of_others].astype(float)
    return judged({"sex": ["f"] * 300 + ["m"] * 300}, score=score)


@pytest.mark.parametrize(("at_most", "passes"), [(0.2, True), (0.19, False)])
def test_demographic_parity_is_the_difference_of_the_selected_shares(at_most: float, *, passes: bool):
    """30 % against 50 %; the limit itself passes."""
    gate = FairnessGate(fairness="demographic_parity", attribute="sex", at_most=at_most)
    found = fairness.between_groups(gate, groups(0.3, 0.5))

    assert found.value == pytest.approx(0.2)
    assert found.passed is passes
    assert [(part.name, part.value) for part in found.parts] == [("f", pytest.approx(0.3)), ("m", pytest.approx(0.5))]


def test_equal_opportunity_looks_at_those_with_the_label():
    """Every third row has it, so of the first 30 % a hundred times 30 %."""
    gate = FairnessGate(fairness="equal_opportunity", attribute="sex", at_most=0.1)
    found = fairness.between_groups(gate, groups(0.3, 0.6))

    assert found.value == pytest.approx(0.3)
    assert not found.passed


def test_one_group_cannot_be_compared_and_does_not_pass():
    """NaN, and the small group is named."""
    gate = FairnessGate(fairness="demographic_parity", attribute="sex", at_most=1.0, min_rows=400)
    found = fairness.between_groups(gate, groups(0.3, 0.6))

    assert not found.passed
    assert "left out for too few rows or labels: f, m" in found.detail


def test_a_simpler_model_as_good_is_said_and_keeps_nothing_back():
    """Unless the spec asks for that by its mode."""
    drawn = World(people=400, days=3).draw(View(), View(), seed=1)
    assert drawn.champion is not None
    gate = SimplerGate(simpler="linear", metric="roc_auc", within=0.2, resamples=100)
    found = comparison.against_simpler(gate, replace(drawn, rivals={"linear": drawn.champion}))

    assert found is not None
    assert (found.passed, found.blocks) == (False, False)
    assert "linear is as good: take it" in found.detail


def test_a_simpler_model_that_is_worse_is_no_reason():
    """Its gain over the challenger lies far below the margin."""
    drawn = World(people=400, days=3).draw(View(person=0.2), View(person=5.0), seed=1)
    assert drawn.champion is not None
    gate = SimplerGate(simpler="linear", metric="roc_auc", within=0.01, resamples=100)
    found = comparison.against_simpler(gate, replace(drawn, rivals={"linear": drawn.champion}))

    assert found is not None
    assert found.passed


def test_a_simpler_model_without_scores_asks_for_another_training():
    """The gate was declared after the training."""
    gate = SimplerGate(simpler="linear", metric="roc_auc", within=0.01)

    with pytest.raises(DataError, match=r"the model 'linear'.*Train again"):
        comparison.against_simpler(gate, groups(0.5, 0.5))


@pytest.mark.parametrize(("limit", "passes"), [(9.9, True), (1.0, False)])
def test_the_slowest_call_of_a_hundred_counts(limit: float, *, passes: bool):
    """A hundred calls, two of them slow."""
    evidence = replace(groups(0.5, 0.5), cost=Cost((1.0,) * 98 + (9.0,) * 2, 3_000_000))

    assert gates.fast_enough(LatencyGate(latency_p99_ms=limit), evidence).passed is passes
    assert gates.small_enough(SizeGate(size_mb=3.0), evidence).passed
    assert not gates.small_enough(SizeGate(size_mb=2.9), evidence).passed
