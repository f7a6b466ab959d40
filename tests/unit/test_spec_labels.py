"""What a spec may say about labels of each kind, money and baselines."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import make_case
from pydantic import ValidationError

NUMBER: dict[str, Any] = {
    "label": {"sql": "label.sql", "kind": "number", "column": "visits_next_week", "horizon_days": 5},
    "training": {
        "metric": "mae",
        "candidates": [{"name": "ridge", "estimator": "sklearn.linear_model.Ridge"}],
        "baselines": [{"name": "lately", "column": "visits"}],
    },
    "gates": [{"metric": "mae", "beats_baseline": "lately"}],
    "value": None,
    "monitoring": {"performance": {"metric": "mae", "at_most": 3.0}},
}


def number(**fields: Any) -> dict[str, Any]:
    """Return the fields of a use case whose label is a number, some of them changed."""
    changed = {**NUMBER, **fields}
    return {**changed, "training": {**NUMBER["training"], **fields.get("training", {})}}


def test_a_label_may_be_a_number():
    """Without money, and with a column as its baseline."""
    case = make_case(**number())

    assert (case.label.kind, case.value, case.training.baselines[0].column) == ("number", None, "visits")


def test_a_use_case_needs_no_money():
    """A binary label whose conversions have no price."""
    assert make_case(value=None).value is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (number(training={"metric": "roc_auc"}), r"training.metric: 'roc_auc' does not fit label.kind 'number'"),
        (number(gates=[{"metric": "log_loss", "at_most": 1}]), r"gates.0: 'log_loss' does not fit"),
        (number(gates=[{"metric": "expected_profit", "at_least": 1}]), r"gates.0: 'expected_profit' does not fit"),
        (number(monitoring={"performance": {"metric": "roc_auc", "at_least": 0.5}}), "monitoring.performance"),
        (number(value={"currency": "EUR", "conversion": 1, "contact": 1}), "label.kind is 'number': leave out value"),
        ({"gates": [{"metric": "mae", "at_most": 1}]}, r"gates.0: 'mae' does not fit label.kind 'binary'"),
        ({"gates": [{"metric": "expected_profit", "at_least": 0}], "value": None}, "is money and needs `value`"),
        ({"training": {"metric": "return_on_ad_spend"}, "value": None}, r"training.metric: 'return_on_ad_spend' is"),
    ],
)
def test_a_metric_that_does_not_fit_the_label_is_refused(fields: dict[str, Any], message: str):
    """Names the key, the metric and the kind."""
    with pytest.raises(ValidationError, match=message):
        make_case(**fields)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ({"name": "one"}, "needs either estimator or column"),
        (
            {"name": "one", "estimator": "sklearn.dummy.DummyRegressor", "column": "visits"},
            "either estimator or column",
        ),
        ({"name": "one", "column": "visits", "params": {"strategy": "mean"}}, "leave out params, features"),
        ({"name": "one", "column": "visit"}, "'one' names 'visit'. Did you mean 'visits'"),
        ({"name": "one", "column": "town"}, "'one' names 'town'"),
        ({"name": "ridge", "column": "visits"}, "name ridge more than once"),
    ],
)
def test_a_baseline_is_an_estimator_or_a_numeric_column(baseline: dict[str, Any], message: str):
    """Of a name that nothing else has."""
    with pytest.raises(ValidationError, match=message):
        make_case(**number(training={"baselines": [baseline]}, gates=[{"metric": "mae", "at_most": 1}]))
