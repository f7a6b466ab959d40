"""The key `probation` of a use case: what is refused, and that leaving it out changes nothing."""

from __future__ import annotations

import hashlib
import json

import pytest
from fakes import make_case
from pydantic import ValidationError

GOOD = {"metric": "log_loss", "loss": 0.02, "days": 30}
WRONG = [
    ({"labels": 100}, "ends after either days or labels, got days=30, labels=100"),
    ({"days": None}, "ends after either days or labels, got days=None, labels=None"),
    ({"metric": "roc_auc"}, "'roc_auc' has no loss a row. Take one of log_loss, .*; for a ranking, log_loss"),
    ({"metric": "mae"}, "probation: 'mae' does not fit label.kind 'binary'"),
    ({"loss": 0}, "greater than 0"),
    ({"days": 0}, "greater than or equal to 1"),
    ({"alpha": 0.5}, "less than or equal to 0.2"),
    ({"loss_of": 1}, "Extra inputs"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_cannot_be_held_is_refused(change, said):
    """With what was given and what to take."""
    with pytest.raises(ValidationError, match=said):
        make_case(probation={**GOOD, **change})


def test_money_needs_a_value():
    """As everywhere in the spec."""
    with pytest.raises(ValidationError, match="probation: 'expected_profit' is money and needs `value`"):
        make_case(probation={**GOOD, "metric": "expected_profit"}, value=None)


NUMBER = {
    "value": None,
    "label": {"sql": "l.sql", "kind": "number", "column": "spent", "horizon_days": 5},
    "gates": [{"metric": "mae", "at_most": 3.0}],
    "training": {"metric": "mae"},
    "monitoring": {"performance": {"metric": "mae", "at_most": 4.0}},
}


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_numbers_have_errors_of_their_own(metric):
    """Log loss is none of them."""
    assert make_case(probation={**GOOD, "metric": metric}, **NUMBER).probation.metric == metric
    with pytest.raises(ValidationError, match=r"does not fit label.kind 'number'"):
        make_case(probation=GOOD, **NUMBER)


def test_a_spec_without_the_key_keeps_its_fingerprint():
    """It is the hash that it was before the key existed; with the key it follows it."""
    plain = make_case()
    unused = {"strong", "attributes"}, plain.monitoring.unused
    later = {"monitoring": unused[1], "alerts": plain.alerts.unused, "retraining": plain.retraining.unused}
    dumped = plain.model_dump(mode="json", exclude={"card": True, "features": unused[0], **later})
    assert dumped.pop("probation") is None
    before = json.dumps([dumped, {"features.sql": "", "label.sql": ""}], sort_keys=True)

    assert plain.fingerprint() == hashlib.sha256(before.encode()).hexdigest()
    assert len({make_case(probation={**GOOD, "days": days}).fingerprint() for days in (30, 31)}) == 2
