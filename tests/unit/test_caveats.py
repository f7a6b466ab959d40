"""What speaks against a model is told by the data, and nothing of it is left out."""

from __future__ import annotations

import pytest
from card_facts import COST, entry, evaluated, made, manifest
from perennial.verdicts import GateResult

TRAINED = entry("trained", 1, report=manifest() | {"cost": COST})


def told(*results: GateResult, **fields: object) -> tuple[str, ...]:
    """Return the caveats of a version with these gates."""
    return made(TRAINED, evaluated(*results, **fields)).caveats


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (GateResult("auc", 0.6, 0.7, -0.1), "It failed the gate auc: 0.6, limit 0.7."),
        (
            GateResult("auc", 0.6, 0.7, -0.1, mode="dry_run"),
            "It failed the gate auc (dry run: it held nothing back): 0.6, limit 0.7.",
        ),
        (
            GateResult("auc", 0.6, 0.7, -0.1, unsure=True, power=0.4, rows_needed=12_345),
            "The gate auc cannot tell: power 40%, 12,345 rows would be enough.",
        ),
        (
            GateResult("auc", 0.6, 0.7, -0.1, mode="dry_run", unsure=True, power=0.4),
            "The gate auc cannot tell (dry run: it held nothing back): power 40%.",
        ),
        (GateResult("nan", float("nan"), 0.7, float("nan")), "It failed the gate nan: nan, limit 0.7."),
    ],
)
def test_each_gate_that_did_not_pass_is_told_with_its_mode(result, sentence):
    """Failed is told apart from a holdout that cannot tell."""
    assert told(result)[0] == sentence


def test_a_gate_that_passed_says_what_it_did_not_look_at():
    """Groups that are too small are in its detail, among other things."""
    detail = "largest difference of 3 groups; left out for too few rows or labels: (missing), 90+"
    caveats = told(GateResult("demographic parity by age", 0.0, 0.1, 0.1, detail))

    assert caveats[0] == (
        "Not judged by the gate demographic parity by age: left out for too few rows or labels: (missing), 90+."
    )


def test_gates_that_hold_back_are_told_first():
    """Before those in dry run, and before what was left out."""
    dry = GateResult("dry", 0.0, 1.0, -1.0, mode="dry_run")
    caveats = told(dry, GateResult("fine", 1.0, 0.0, 1.0, "too few rows in x"), GateResult("hard", 0.0, 1.0, -1.0))

    assert [each.split(":")[0] for each in caveats[:3]] == [
        "It failed the gate hard", "It failed the gate dry (dry run", "Not judged by the gate fine",
    ]  # fmt: skip


def test_a_metric_on_which_something_else_is_better_is_told():
    """By the direction of the metric; equal is not better."""
    measured = {
        "challenger": {"roc_auc": 0.8, "log_loss": 0.4, "brier_score": 0.1},
        "champion": {"roc_auc": 0.81, "log_loss": 0.4},
        "dummy": {"roc_auc": 0.5, "log_loss": 0.3, "brier_score": 0.2},
    }
    caveats = told(metrics=measured)

    assert "On roc_auc (0.8) it is not the best on these rows: the champion then has 0.81." in caveats
    assert "On log_loss (0.4) it is not the best on these rows: the baseline dummy has 0.3." in caveats
    assert not any("brier_score" in each for each in caveats)


def test_without_a_champion_nobody_knows_what_else_is_better():
    """The first version meets no gate against a champion."""
    assert any("There was no champion to compare with" in each for each in told(champion=None))


def test_an_incident_is_told_until_it_is_over():
    """The entry that closes it names the one that opened it."""
    opened = entry("incident opened", 5, reason="roc_auc 0.4 is below 0.5", report={"about": "decayed"})
    closed = entry("incident closed", 6, report={"about": "decayed", "opened": 5})
    sentence = "An incident is open (entry 5, 2026-03-01): roc_auc 0.4 is below 0.5."

    assert made(TRAINED, opened).caveats[0] == sentence
    assert sentence not in made(TRAINED, opened, closed).caveats


def test_a_refusal_stays_on_the_card():
    """Whatever was decided afterwards."""
    refused = entry("refused", 4, reason="approval: rejected: too early")

    assert made(TRAINED, refused, entry("promoted", 5)).caveats[0] == (
        "It was refused (entry 4, 2026-03-01): approval: rejected: too early"
    )


def test_what_the_manifest_admits_is_told():
    """Excused features, rows of older versions, and code that nobody recorded."""
    kept = manifest(code="unknown", built_from={"2026-01-06": {"raw/toy/visits": 3}})
    kept["declared"] = kept["declared"] | {"strong": {"recency": "a visit is no secret"}}
    caveats = made(TRAINED, manifest=kept).caveats

    assert "The feature recency tells the label almost alone, and is excused: a visit is no secret" in caveats
    assert "1 snapshot days were built from older table versions than those named." in caveats
    assert any("PERENNIAL_CODE_VERSION" in each for each in caveats)


def test_a_probation_that_is_on_is_told_until_it_is_over():
    """By surviving it, or by whoever is champion next."""
    begun = entry("probation begun", 5, from_version="1", reason="version 2 against version 1")
    on = made(TRAINED, begun).caveats
    over = made(TRAINED, begun, entry("probation survived", 6, from_version="1")).caveats

    assert any(each.startswith("It is on probation (entry 5") for each in on)
    assert not any("probation" in each for each in over)
