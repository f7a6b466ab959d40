"""What the daily check measures beside drift: sources, labels that are due, estimates, and what was served."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from fakes import Population, make_case
from perennial.core.vitals import Vitals
from perennial.records import Measure, MonitorRecord
from perennial.stages import holdouts, monitor, score, watched
from worlds import NOW, World, everything_moved, with_column

VISITS = {
    "name": "visits", "files": {"visits": "v.csv"}, "time_column": "at", "keys": ["person"],
    "columns": {"person": "integer", "at": "timestamp"},
}  # fmt: skip


def look(world: World, day: date | None = None) -> MonitorRecord:
    """Score and monitor a day."""
    day = day or world.today
    score.run(world.case, day, world.adapters, run="manual")
    return monitor.run(world.case, day, world.adapters, run="manual", now=NOW)


def of(record: MonitorRecord, about: str, measure: str, name: str | None = None) -> Measure:
    """Return a measure."""
    return next(
        each for each in record.measures
        if (each.about, each.measure) == (about, measure) and name in {None, each.name}
    )  # fmt: skip


def live_on(world: World, days: int) -> list[date]:
    """Let days pass and score each; return them."""
    start = world.today + timedelta(days=1)
    world.adapters.live(world.case, days=days, population=Population(), start=start)
    passed = [start + timedelta(days=offset) for offset in range(days)]
    for day in passed:
        score.run(world.case, day, world.adapters, run="manual")
    return passed


def visits(last: date, *, missing: int = 0) -> Vitals:
    """Return a source of 50 rows a day whose newest days have none."""
    days = tuple(last - timedelta(days=35 - at) for at in range(36))
    rows = np.array([50] * (36 - missing) + [0] * missing, np.int64)
    return Vitals("visits", last, days, rows, np.zeros(36, np.int64))


def test_an_ordinary_day_has_measures_of_every_concern(reigning: World):
    """None is past its limit, and all of them are in the ledger."""
    record = look(reigning)

    assert {each.about for each in record.measures} == {
        "feed", "inputs", "scores", "performance", "calibration", "value", "estimate", "response", "parity"
    }  # fmt: skip
    assert not [each for each in record.measures if each.over]
    assert len(reigning.adapters.ledger.measures("toy")) == len(record.measures)


def test_training_keeps_importances_and_the_holdout(reigning: World):
    """Recency tells most; the holdout has the scores of six days."""
    run = reigning.adapters.registry.runs["run1"]
    importance = json.loads(run.kept["reference_profile.json"])["importance"]
    kept = holdouts.read(run.kept[holdouts.HOLDOUT], kind="binary")

    assert set(importance) == {"recency", "spend", "visits", "town"}
    assert max(importance, key=importance.__getitem__) == "recency"
    assert kept.scored.label.size == reigning.adapters.registry.manifest("toy", "1")["rows"]["holdout"]


def test_a_day_that_moved_has_its_importance_at_stake(reigning: World):
    """Three features hold nearly all of it; the score is past its own limit."""
    reigning.alter(everything_moved(reigning.snapshot()))
    record = look(reigning)
    at_stake = of(record, "inputs", "drift at stake")

    assert at_stake.over
    assert "recency" in at_stake.detail
    assert of(record, "scores", "psi").over


def test_before_labels_mature_performance_is_estimated(reigning: World):
    """With an interval and what it cannot see; a day near the holdout is near its value."""
    record = look(reigning)
    found = of(record, "estimate", "value")
    holdout = reigning.adapters.registry.manifest("toy", "1")["holdout"]["roc_auc"]

    assert (found.name, found.limit, found.over) == ("roc_auc", 0.52, False)
    assert found.value == pytest.approx(holdout, abs=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert "It cannot see that the same features have come to mean something else" in found.detail


def test_a_champion_of_before_has_no_estimate_and_equal_weights(reigning: World):
    """Its training kept neither a holdout nor importances; each measure says so."""
    kept = reigning.adapters.registry.runs["run1"].kept
    del kept[holdouts.HOLDOUT]
    profile = json.loads(kept["reference_profile.json"])
    kept["reference_profile.json"] = json.dumps({key: profile[key] for key in profile if key != "importance"}).encode()
    reigning.alter(everything_moved(reigning.snapshot()))
    record = look(reigning)

    assert of(record, "estimate", "value").value is None
    assert "cannot be estimated for version 1" in of(record, "estimate", "value").detail
    assert of(record, "inputs", "drift at stake").value == 0.75
    assert "importance is not known" in of(record, "inputs", "drift at stake").detail


def test_a_metric_without_an_estimate_stands_behind_the_nearest_one(reigning: World):
    """The calibration error behind the Brier score, which has no limit of its own."""
    performance = {"metric": "expected_calibration_error", "at_most": 0.0001}
    reigning.case = make_case(monitoring={"min_rows": 50, "report_rows": 100, "performance": performance})
    found = of(look(reigning), "estimate", "value")

    assert (found.name, found.limit, found.over) == ("brier_score", None, False)
    assert found.value is not None


def test_labels_that_are_late_leave_the_performance_unknown(reigning: World):
    """Their absence looks like decay: everybody seems to stay away. It is told as labels that are due."""
    days = live_on(reigning, 10)
    returning = reigning.adapters.warehouse.returning
    for day in days:
        returning[day] = [person for person in range(150) if person not in set(returning[day])]
    reigning.case = make_case(sources=[VISITS]).with_texts(
        {"features.sql": "select 1 from visits", "label.sql": "select 1 from visits"}
    )
    reigning.adapters.vitals.known["visits"] = visits(days[-1], missing=2)
    record = monitor.run(reigning.case, days[-1], reigning.adapters, run="manual", now=NOW)

    assert record.verdict != "decayed"
    assert record.performance == {}
    assert of(record, "labels", "due").over
    assert of(record, "performance", "value").value is None
    assert "abels are late. Labels of toy are late: visits lacks 2 days" in of(record, "performance", "value").detail
    reigning.adapters.vitals.known["visits"] = visits(days[-1])
    assert monitor.run(reigning.case, days[-1], reigning.adapters, run="m", now=NOW).verdict == "decayed"


def test_a_source_that_only_the_label_reads_is_told_as_labels(reigning: World):
    """Somebody else has to be asked than for a source of the features."""
    sources = [VISITS, VISITS | {"name": "returns"}]
    case = make_case(sources=sources).with_texts(
        {"features.sql": "select 1 from visits", "label.sql": "select 1 from returns"}
    )
    for name in ("visits", "returns"):
        reigning.adapters.vitals.known[name] = replace(visits(reigning.today, missing=1), source=name)
    found = watched.sources(case, reigning.today, reigning.adapters, pins={})
    about = {(each.name, each.measure): each.about for each in found.measures}

    assert (about["visits", "rows"], about["returns", "rows"]) == ("feed", "labels")
    assert [each.name for each in found.measures if each.measure == "due"] == ["returns"]


def test_before_there_is_a_champion_sources_are_watched_all_the_same(world: World):
    """The first week: a source without rows is a finding, and nothing else is said."""
    world.case = make_case(sources=[VISITS]).with_texts(
        {"features.sql": "select 1 from visits", "label.sql": "select 1"}
    )
    world.adapters.vitals.known["visits"] = visits(world.today, missing=1)
    record = monitor.run(world.case, world.today, world.adapters, run="manual", now=NOW)

    assert (record.verdict, record.reason) == ("unknown", "no champion yet")
    assert [each.measure for each in record.measures if each.over] == ["rows"]


def test_features_that_changed_after_they_were_served_are_told(reigning: World):
    """Forty of 150 rows have another recency now: their scores differ too."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    rows = reigning.snapshot()
    recency = rows["recency"].to_numpy().copy()
    recency[:40] += 1
    reigning.alter(with_column(rows, "recency", recency))
    record = monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)
    found = of(record, "parity", "share differing", "score")

    assert (found.over, found.value) == (True, pytest.approx(40 / 150))
    assert found.detail.startswith("26.7% of the rows of 2026-02-19 have another score than version 1 gives")


def test_rows_that_differ_are_counted_by_their_key():
    """Of five entities one has another value, one is new and one is gone; two missing values are the same."""
    one = pa.table({"id": [1, 2, 3, 4], "x": [1.0, None, 3.0, 4.0], "t": ["a", "b", None, "d"]})
    other = pa.table({"id": [5, 3, 2, 1], "x": [5.0, 3.0, None, 9.0], "t": ["e", None, "b", "a"]})

    assert watched.rows_differing(one, other, key="id") == pytest.approx(3 / 5)
    assert watched.rows_differing(one, one, key="id") == 0
    assert watched.rows_differing(one.slice(0, 0), one.slice(0, 0), key="id") == 0


def test_scores_differ_by_more_than_their_last_digits():
    """A billionth is rounding."""
    one = pa.table({"id": [1, 2, 3], "score": [0.1, 0.2, 0.3]})
    other = pa.table({"id": [3, 2, 1], "score": [0.3, 0.2001, 0.1 + 1e-12]})

    assert watched.differing(one, other, key="id") == pytest.approx(1 / 3)


def test_a_single_score_is_told_by_itself(reigning: World):
    """A model that says the same of everyone; no label and no reference is needed."""
    rows = reigning.snapshot()
    for name, value in (("recency", 3.0), ("spend", 20.0), ("visits", 2.0)):
        rows = with_column(rows, name, [value] * 150)
    reigning.alter(with_column(rows, "town", ["north"] * 150))
    record = look(reigning)

    assert of(record, "response", "single score").over
    assert "100% of 150 rows have the one score" in of(record, "response", "single score").detail
