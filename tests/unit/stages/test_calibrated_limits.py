"""The daily check with limits that calm days of the reference give, and what it does where they cannot be had."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import make_case
from perennial.core import limits
from perennial.records import MonitorRecord
from perennial.stages import monitor, score
from worlds import NOW, World, everything_moved

FEW = "score_psi_limit is fixed: 3 days of the reference are too few to calibrate it"


def calibrated(**changes: Any) -> dict[str, Any]:
    """Return a monitoring part with all limits calibrated."""
    return {
        "min_rows": 50,
        "psi_limit": "calibrated",
        "drifted_share_limit": "calibrated",
        "score_psi_limit": "calibrated",
        "performance": {"metric": "roc_auc", "at_least": 0.52, "window_days": 4},
        **changes,
    }


def look(world: World, **changes: Any) -> MonitorRecord:
    """Score and monitor a world's day with calibrated limits."""
    world.case = make_case(monitoring=calibrated(**changes))
    score.run(world.case, world.today, world.adapters, run="manual")
    return monitor.run(world.case, world.today, world.adapters, run="manual", now=NOW)


def test_a_calm_day_is_stable_and_each_column_says_its_limit(reigning: World):
    """150 people are few, so that what calm days reach differs from column to column; the ledger keeps it."""
    record = look(reigning)
    limit_of = {column.column: column.limit for column in record.columns}

    assert record.verdict == "stable"
    assert limit_of["town"] == 0.01
    assert 0.02 < (limit_of["visits"] or 0) < 0.5
    assert len(set(limit_of.values())) == 4
    assert reigning.adapters.ledger.monitor("toy", reigning.today) == record


def test_a_score_of_too_few_days_has_the_fixed_limit(reigning: World):
    """The holdout has three; the record says which limit is what."""
    record = look(reigning)

    assert record.score.limit == 0.25
    assert record.limits == f"calibrated limits: calm days reach one at a rate of 1.00%; {FEW}"
    assert reigning.adapters.reports.pages[-1].limits == record.limits
    assert reigning.adapters.reports.pages[-1].psi_limit == 0.25


def test_a_day_that_moved_has_drifted_past_the_limits_that_the_texts_name(reigning: World):
    """The reason names the calibrated share."""
    reigning.alter(everything_moved(reigning.snapshot()))
    record = look(reigning)
    spend = next(column for column in record.columns if column.column == "spend")

    assert record.verdict == "drifted"
    assert f"75% of the features have drifted, limit {record.share_limit:.0%} (calibrated)" in record.reason
    assert "limit 0.25." in record.reason
    assert spend.limit != 0.25
    assert FEW in record.limits


def test_rarer_alarms_have_larger_limits(reigning: World):
    """Of the same days."""
    often, rarely = (look(reigning, false_alarms=rate).columns for rate in (0.1, 0.01))

    assert all((one.limit or 0) <= (other.limit or 0) for one, other in zip(often, rarely, strict=True))


def test_a_champion_of_before_has_fixed_limits(reigning: World):
    """Its profile has no counts by day."""
    (run,) = reigning.adapters.registry.runs
    kept = reigning.adapters.registry.runs[run].kept
    profile = json.loads(kept["reference_profile.json"])
    del profile[limits.BY_DAY]
    kept["reference_profile.json"] = json.dumps(profile).encode()
    record = look(reigning)

    assert {column.limit for column in (*record.columns, record.score)} == {0.25}
    assert record.share_limit == 0.3
    assert "psi_limit is fixed: the champion's profile has no counts by day" in record.limits


def test_declared_numbers_are_the_limits(reigning: World):
    """As before, and nothing is said about how they came about."""
    record = look(reigning, psi_limit=0.2, drifted_share_limit=0.5, score_psi_limit=0.4)

    assert {column.limit for column in record.columns} == {0.2}
    assert (record.score.limit, record.share_limit, record.limits) == (0.4, 0.5, "")


def test_a_share_cannot_be_calibrated_without_its_features():
    """It is the share of features at their calibrated limits."""
    with pytest.raises(ValueError, match=r"drifted_share_limit: calibrated needs psi_limit: calibrated, got 0\.2"):
        make_case(monitoring=calibrated(psi_limit=0.2))


@pytest.mark.parametrize("word", ["calibrate", -0.1, 0])
def test_a_limit_is_a_positive_number_or_calibrated(word: object):
    """Nothing else."""
    with pytest.raises(ValueError, match="psi_limit"):
        make_case(monitoring=calibrated(psi_limit=word))


def test_a_rate_that_decides_nothing_changes_no_fingerprint():
    """Specs of before keep theirs; with a calibrated limit the rate is part of it."""
    fixed = {"psi_limit": 0.25, "drifted_share_limit": 0.3, "score_psi_limit": 0.25}
    one, other = (make_case(monitoring=calibrated(**fixed, false_alarms=rate)).fingerprint() for rate in (0.01, 0.05))
    two, three = (make_case(monitoring=calibrated(false_alarms=rate)).fingerprint() for rate in (0.01, 0.05))

    assert one == other
    assert two != three
