"""When a finding asks for a new model, and when it is too soon."""

from __future__ import annotations

from datetime import date
from typing import Literal

import pytest
from perennial.core.retraining import History, decide
from perennial.records import ColumnDrift, MonitorRecord
from perennial.spec import Retraining

DAY = date(2026, 3, 10)


def finding(verdict: Literal["stable", "drifted", "decayed", "unknown"]) -> MonitorRecord:
    """Return a day's finding."""
    score = ColumnDrift("score", "stable", 0.01, 0.01, "wasserstein")
    return MonitorRecord(
        case="toy", day=DAY, model_version="3", verdict=verdict, reason="Because.", drifted_share=0.5, score=score,
        columns=(), performance={}, performance_window=None, since=DAY, opens_alert=True, report=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "trigger"), [("stable", "none"), ("unknown", "none"), ("drifted", "drift"), ("decayed", "performance")]
)
def test_only_drift_and_decay_ask_for_a_model(
    verdict: Literal["stable", "drifted", "decayed", "unknown"], trigger: str
):
    """What cannot be judged asks for nothing."""
    found = decide(finding(verdict), History(None, None), retraining=Retraining())

    assert (found.trigger, found.wanted) == (trigger, trigger != "none")


@pytest.mark.parametrize(("requested", "wanted"), [(date(2026, 3, 4), False), (date(2026, 3, 3), True)])
def test_a_request_is_repeated_when_the_cool_down_is_over(requested: date, *, wanted: bool):
    """Seven days after the last one, not six."""
    found = decide(finding("drifted"), History(None, requested), retraining=Retraining(cooldown_days=7))

    assert found.wanted is wanted
    assert wanted or "lasts until 2026-03-11" in found.reason


@pytest.mark.parametrize(("trained", "wanted"), [(date(2026, 3, 8), False), (date(2026, 3, 7), True)])
def test_a_model_is_asked_for_when_there_is_something_new_to_learn(trained: date, *, wanted: bool):
    """Three newly matured days, not two."""
    found = decide(finding("decayed"), History(trained, None), retraining=Retraining(min_new_days=3))

    assert found.wanted is wanted
    assert wanted or "Labels of 2 days have matured" in found.reason


def test_training_again_on_the_same_labels_is_not_asked_for():
    """A model trained as of today would come out the same."""
    assert not decide(finding("drifted"), History(DAY, None), retraining=Retraining()).wanted
