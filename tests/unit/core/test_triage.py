"""What a day's measures amount to: drift is nothing by itself, and a broken feed hides everything behind it."""

from __future__ import annotations

from datetime import date

import pytest
from perennial.core.triage import triage
from perennial.records import ColumnDrift, Concern, Measure, MonitorRecord

SENTENCES = {
    "feed": "transactions has 0 rows, usually 4,100.",
    "parity": "3 % of the scores are not what the model says now.",
    "labels": "coupon_redemptions has no rows for 4 days.",
    "inputs": "45 % of what the champion relies on has moved.",
    "scores": "The score's PSI is 0.41, limit 0.25.",
    "performance": "ROC AUC is 0.61 (0.58 to 0.64), limit 0.7.",
    "estimate": "ROC AUC is estimated as 0.62, limit 0.7.",
    "calibration": "1.6 times as many convert as the scores promised.",
    "value": "Contacts lose 120 USD a thousand households.",
    "response": "40 % of the scores are equal.",
}


def of(*over: Concern, share: float = 0.2) -> MonitorRecord:
    """Return a day on which these measures, and a calm one, were taken; the limit of the share is 0.3."""
    calm = Measure("feed", "products", "rows", 92_000.0, limit=10.0)
    measures = (
        calm,
        *(Measure(about, about, "it", 1.0, limit=0.5, over=True, detail=SENTENCES[about]) for about in over),
    )
    score = ColumnDrift("score", "stable", 0.01, 0.01, "wasserstein")
    return MonitorRecord(
        case="toy", day=date(2026, 3, 10), model_version="3",
        verdict="stable",
        reason="No feature set is over its limit.",
        drifted_share=share, share_limit=0.3, score=score, columns=(), performance={}, performance_window=None,
        since=None, report=None, measures=measures,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("over", "verdict"),
    [
        ((), "nothing to do"),
        (("inputs",), "nothing to do"),
        (("scores",), "nothing to do"),
        (("response",), "nothing to do"),
        (("inputs", "scores"), "world changed"),
        (("inputs", "estimate"), "world changed"),
        (("inputs", "performance"), "world changed"),
        (("performance",), "model decayed"),
        (("estimate",), "model decayed"),
        (("value",), "model decayed"),
        (("calibration",), "nothing to do"),
        (("scores", "performance"), "model decayed"),
        (("labels", "performance", "inputs"), "labels late"),
        (("feed", "labels", "performance", "inputs", "scores"), "feed broken"),
        (("parity",), "feed broken"),
    ],
)
def test_a_day_is_the_first_kind_that_its_measures_say(over: tuple[Concern, ...], verdict: str):
    """Feed before labels before the world before the model; drift or scores alone are nothing to act upon."""
    assert triage(of(*over)).verdict == verdict


def test_the_reason_is_made_of_the_sentences_of_the_measures():
    """What confirms comes first, and a measure that is not over is not told."""
    found = triage(of("inputs", "scores"))

    assert found.reason == f"{SENTENCES['scores']} {SENTENCES['inputs']}"
    assert [measure.about for measure in found.measures] == ["scores", "inputs"]


def test_of_many_measures_three_are_told_and_the_rest_counted():
    """A mail has one sentence, not eleven."""
    found = triage(of("feed", "feed", "feed", "feed", "feed"))

    assert found.reason.count("transactions has 0 rows") == 3
    assert found.reason.endswith("2 more measures say so.")


@pytest.mark.parametrize(
    ("about", "hurts"), [("scores", False), ("estimate", True), ("performance", True), ("value", True)]
)
def test_it_hurts_where_a_result_is_past_its_limit(about: Concern, *, hurts: bool):
    """Scores that move change decisions, but nobody knows yet whether to the worse."""
    assert triage(of("inputs", about)).hurts is hurts


def test_drift_without_consequence_says_so():
    """Users complain about mails that say only that something has drifted."""
    assert triage(of("inputs")).reason == f"{SENTENCES['inputs']} Neither scores nor results have followed."
    assert (
        triage(of("scores")).reason == f"{SENTENCES['scores']} The features that the champion relies on have not moved."
    )
    assert triage(of()).reason == "No feature set is over its limit."


@pytest.mark.parametrize(("share", "verdict"), [(0.29, "model decayed"), (0.3, "world changed")])
def test_many_features_that_move_name_a_changed_world_once_results_confirm_it(share: float, verdict: str):
    """At the limit, not below; importances say little where features share them."""
    assert triage(of("performance", share=share)).verdict == verdict
    assert triage(of(share=share)).verdict == "nothing to do"
