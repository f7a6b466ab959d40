"""The key `probation` of a use case: what is refused, and that leaving it out changes nothing."""

from __future__ import annotations

import pytest
from fakes import make_case
from pydantic import ValidationError
from test_label_kinds import number_case

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


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_numbers_have_errors_of_their_own(metric):
    """Log loss is none of them."""
    assert number_case(probation={**GOOD, "metric": metric}).probation.metric == metric
    with pytest.raises(ValidationError, match="does not fit label.kind 'number'"):
        number_case(probation=GOOD)


def test_a_spec_without_the_key_keeps_its_fingerprint():
    """Specs of before it are the same specs; with it the fingerprint follows it."""
    plain = make_case()
    dumped = plain.model_dump(mode="json")
    assert dumped.pop("probation") is None

    assert plain.fingerprint() == make_case(probation=None).fingerprint()
    assert "probation" not in _hashed(plain)
    prints = {make_case(probation={**GOOD, "days": days}).fingerprint() for days in (30, 31)}
    assert len(prints | {plain.fingerprint()}) == 3


def _hashed(case) -> str:
    """Return the text that the fingerprint is made of."""
    import hashlib
    from unittest import mock

    seen = []
    real = hashlib.sha256
    with mock.patch("perennial.spec.hashlib.sha256", side_effect=lambda text: seen.append(text) or real(text)):
        case.fingerprint()
    return seen[0].decode()
