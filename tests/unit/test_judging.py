"""The gates as declared: told apart by a key of their own, and refused where they make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import make_case
from perennial.judging import GATES, compared_models, kind_of_gate
from pydantic import ValidationError

DECLARED: list[tuple[str, dict[str, Any]]] = [
    ("absolute", {"metric": "roc_auc", "at_least": 0.6, "confidence": 0.9}),
    ("baseline", {"metric": "roc_auc", "beats_baseline": "dummy"}),
    ("champion", {"metric": "roc_auc", "no_worse_than_champion_by": 0.01}),
    ("superiority", {"metric": "roc_auc", "better_than_champion_by": 0.01}),
    ("slices", {"slices": ["town"], "metric": "log_loss", "no_worse_than_champion_by": 0.01}),
    ("fairness", {"fairness": "demographic_parity", "attribute": "town", "at_most": 0.1, "attribute_is_feature": True}),
    ("leakage", {"suspicious_feature": 0.95}),
    ("behaviour", {"behaviour": ["missing"], "rising": ["spend"]}),
    ("simpler", {"simpler": "dummy", "metric": "roc_auc", "within": 0.01}),
    ("latency", {"latency_p99_ms": 50}),
    ("size", {"size_mb": 5}),
]


@pytest.mark.parametrize(("kind", "gate"), DECLARED)
def test_each_kind_is_told_by_its_keys(kind: str, gate: dict[str, Any]):
    """And is enforced unless it says otherwise; only "a simpler model is as good" is told by default."""
    (found,) = make_case(gates=[gate]).gates

    assert kind_of_gate(found) == kind
    assert isinstance(found, GATES[kind][1])
    assert found.mode == ("dry_run" if kind == "simpler" else "enforce")


def test_every_kind_of_gate_is_in_the_list_above():
    """So that a new one is tested."""
    assert {kind for kind, _ in DECLARED} == set(GATES)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"metric": "roc_auc", "better_than_champion_by": 0}, "greater than 0"),
    (
        {"metric": "roc_auc", "better_than_champion_by": 0.01, "expected_gain": 0.01},
        r"expected_gain 0.01 .* must lie above the gain 0.01",
    ),
    ({"metric": "roc_auc", "beats_baseline": "dummy", "confidence": 0.9}, "beat 'dummy' by 0: say with expected_gain"),
    ({"metric": "roc_auc", "beats_baseline": "dummy", "expected_gain": 0.1}, "no `confidence` to reach it with"),
    (
        {"metric": "roc_auc", "beats_baseline": "dummy", "by": 0.1, "confidence": 0.9, "expected_gain": 0.1},
        r"expected_gain 0.1 .* must lie above the gain 0.1",
    ),
    ({"slices": ["twon"], "metric": "roc_auc", "no_worse_than_champion_by": 0}, r"gates.0 names the column 'twon'"),
    ({"slices": ["town"], "metric": "return_on_ad_spend", "no_worse_than_champion_by": 0}, "gate expected_profit by"),
    ({"slices": ["town"], "metric": "mae", "no_worse_than_champion_by": 0}, r"gates.0: 'mae' does not fit"),
    ({"behaviour": ["missing"], "rising": ["age"]}, r"gates.0 names the column 'age'"),
    ({"simpler": "liner", "metric": "roc_auc", "within": 0.01}, r"'liner'. Did you mean 'linear'\?"),
    ({"fairness": "demographic_parity", "attribute": "town", "at_most": 0.1}, r"'town' is a feature, and"),
    ({"latency_p99_ms": 0}, "greater than 0"),
]


@pytest.mark.parametrize(("gate", "message"), REFUSED)
def test_a_gate_that_makes_no_sense_is_refused(gate: dict[str, Any], message: str):
    """With its place, the value, and what would do."""
    with pytest.raises(ValidationError, match=message):
        make_case(gates=[gate])


def test_a_baseline_without_confidence_is_declared_as_before():
    """What resampling would need is not in the fingerprint; with confidence it is."""
    plain = {"metric": "roc_auc", "beats_baseline": "dummy", "by": 0.1}
    cases = [make_case(gates=[gate]) for gate in (plain, plain | {"resamples": 300}, plain | {"confidence": 0.9})]

    assert cases[0].model_dump(mode="json")["gates"] == [plain | {"mode": "enforce"}]
    assert cases[0].fingerprint() == cases[1].fingerprint() != cases[2].fingerprint()


def test_the_models_that_gates_compare_row_by_row():
    """Simpler ones, and baselines that are to be beaten with confidence."""
    gates = [
        {"metric": "roc_auc", "beats_baseline": "dummy", "by": 0.1},
        {"metric": "roc_auc", "beats_baseline": "recency", "by": 0.1, "confidence": 0.9},
        {"simpler": "linear", "metric": "roc_auc", "within": 0.01},
    ]

    assert compared_models(make_case(gates=gates).gates) == {"recency", "linear"}


def test_an_attribute_is_kept_and_is_no_feature():
    """The models never see it; the gate on it may then be declared plainly."""
    features = {
        "sql": "features.sql", "lookback_days": 30, "numeric": ["recency", "spend", "visits"], "attributes": ["town"],
    }  # fmt: skip
    gate = {"fairness": "demographic_parity", "attribute": "town", "at_most": 0.1}
    case = make_case(features=features, gates=[gate])

    assert (case.features.columns, case.features.kept[-1]) == (("recency", "spend", "visits"), "town")


def test_what_is_no_feature_cannot_claim_to_be_one():
    """The two declarations must agree."""
    features = {
        "sql": "features.sql", "lookback_days": 30, "numeric": ["recency", "spend", "visits"], "attributes": ["town"],
    }  # fmt: skip
    gate = {"fairness": "demographic_parity", "attribute": "town", "at_most": 0.1, "attribute_is_feature": True}

    with pytest.raises(ValidationError, match="'town' is no feature, and attribute_is_feature is True"):
        make_case(features=features, gates=[gate])


def test_the_gates_alone_decide_unless_people_are_named():
    """What is left out, and what specs of before say, is `automatic`; it has kept its place in the fingerprint."""
    assert make_case().human_approval is None
    assert make_case(approval="automatic").fingerprint() == make_case().fingerprint()
    assert make_case().model_dump(mode="json")["approval"] == "automatic"


def test_people_have_three_days_and_four_eyes():
    """The defaults; an evaluation promotes for a week."""
    rules = make_case(approval={"approvers": ["ann"]}).human_approval

    assert (rules.timeout_days, rules.four_eyes, rules.max_age_days, rules.mail_to) == (3, True, 7, ())
