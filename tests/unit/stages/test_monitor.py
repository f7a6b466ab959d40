"""Monitoring: a verdict for whatever the day may hold, and one alert a finding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pyarrow as pa
import pytest
from fakes import Population, make_case
from perennial.core.splits import Split
from perennial.errors import DataError
from perennial.records import ColumnDrift, MonitorRecord
from perennial.stages import monitor, score
from worlds import NOW, World, everything_moved, with_column

Change = Callable[[pa.Table], pa.Table]


def look(world: World, day: date | None = None) -> MonitorRecord:
    """Score and monitor a day."""
    day = day or world.today
    score.run(world.case, day, world.adapters, run="manual")
    return monitor.run(world.case, day, world.adapters, run="manual", now=NOW)


def alter(world: World, change: Change, day: date | None = None) -> None:
    """Change the snapshot of a day."""
    world.alter(change(world.snapshot(day)), day)


def of(record: MonitorRecord, name: str) -> ColumnDrift:
    """Return the verdict on a column."""
    return next(column for column in record.columns if column.column == name)


def replaced(name: str, values: object) -> Change:
    """Return a change that gives a column other values."""
    return lambda rows: with_column(rows, name, values)


def test_an_ordinary_day_is_stable(reigning: World):
    """A verdict a feature and the score, kept in the ledger, with a page."""
    record = look(reigning)

    assert (record.verdict, record.since) == ("stable", None)
    assert {column.column: column.verdict for column in record.columns} == dict.fromkeys(
        ("recency", "spend", "visits", "town"), "stable"
    )
    assert record.report == "drift/toy/2026-02-19/version-1.html"
    assert reigning.adapters.ledger.monitor("toy", reigning.today) == record


def test_a_day_that_moved_has_drifted(reigning: World):
    """Three of four features and the score: the reason names the worst."""
    alter(reigning, everything_moved)
    record = look(reigning)

    assert (record.verdict, record.drifted_share, record.since) == ("drifted", 0.75, reigning.today)
    assert record.reason.startswith("The score's PSI is")
    assert "75% of the features have drifted, limit 30%" in record.reason


@pytest.mark.parametrize(
    ("change", "column", "verdict"),
    [
        (lambda rows: rows.drop_columns(["visits"]), "visits", "missing column"),
        (replaced("spend", [None] * 150), "spend", "all null"),
        (replaced("spend", [float("nan")] * 150), "spend", "all null"),
        (replaced("visits", [2.0] * 150), "visits", "constant"),
        (replaced("spend", [float("inf")] * 150), "spend", "constant"),
        (replaced("town", ["east"] * 2 + ["north", "south"] * 74), "town", "drifted"),
        (replaced("town", ["moon"] + ["north"] * 50 + ["south"] * 49 + ["west"] * 50), "town", "new categories"),
        (replaced("recency", ["far"] * 150), "recency", "missing column"),
    ],
)
def test_a_broken_column_has_a_verdict_and_no_exception(reigning: World, change: Change, column: str, verdict: str):
    """Whatever the day's table holds; the day is scored before it breaks."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    alter(reigning, change)
    record = monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)

    assert of(record, column).verdict == verdict


def test_a_column_that_is_not_comparable_is_left_out_of_the_page(reigning: World):
    """Evidently would give up the whole page for it; the page names it."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    alter(reigning, replaced("spend", [None] * 150))
    monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)
    page = reigning.adapters.reports.pages[-1]

    assert page.left_out == {"spend": "all null"}
    assert page.numeric == ("recency", "visits")


def test_a_column_the_champion_does_not_know_is_new(reigning: World):
    """The spec has it already, the champion was trained without."""
    alter(reigning, lambda rows: rows.append_column("orders", pa.array([1.0] * 150)))
    features = {
        "sql": "features.sql",
        "lookback_days": 30,
        "numeric": ["recency", "spend", "visits", "orders"],
        "categorical": ["town"],
    }
    reigning.case = make_case(features=features)
    record = look(reigning)

    assert of(record, "orders").verdict == "new column"
    assert record.verdict == "stable"


def test_a_column_the_spec_has_dropped_is_missing(reigning: World):
    """Though the lake's table still has it, all null for new days."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    features = {"sql": "features.sql", "lookback_days": 30, "numeric": ["recency", "spend"], "categorical": ["town"]}
    reigning.case = make_case(features=features)
    record = monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)

    assert of(record, "visits").verdict == "missing column"


def test_a_day_of_too_few_rows_is_unknown(reigning: World):
    """Nothing is judged, and the reason says why."""
    alter(reigning, lambda rows: rows.slice(0, 20))
    record = look(reigning)

    assert (record.verdict, record.since, record.report) == ("unknown", None, None)
    assert {column.verdict for column in record.columns} == {"too few rows"}
    assert "20 rows, 50 needed" in record.reason


def test_a_finding_lasts_until_a_day_without_it(reigning: World):
    """The second day of the same finding knows since when; a day between ends it."""
    start = reigning.today + timedelta(days=1)
    reigning.adapters.live(reigning.case, days=4, population=Population(), start=start)
    for offset in (0, 1, 3):
        alter(reigning, everything_moved, start + timedelta(days=offset))
    records = [look(reigning, start + timedelta(days=offset)) for offset in range(4)]

    assert [record.verdict for record in records] == ["drifted", "drifted", "stable", "drifted"]
    assert [record.since for record in records] == [start, start, None, start + timedelta(days=3)]


def test_monitoring_a_day_again_says_the_same(reigning: World):
    """And the ledger keeps it once."""
    alter(reigning, everything_moved)
    first, again = look(reigning), look(reigning)

    assert first == again
    assert reigning.adapters.ledger.monitors("toy") == (first,)


def live_on(world: World, days: int) -> list[date]:
    """Let days pass and score each; return them."""
    start = world.today + timedelta(days=1)
    world.adapters.live(world.case, days=days, population=Population(), start=start)
    passed = [start + timedelta(days=offset) for offset in range(days)]
    for day in passed:
        score.run(world.case, day, world.adapters, run="manual")
    return passed


def test_performance_is_measured_on_matured_labels(reigning: World):
    """Horizon 5, window 4: on day 10 the labels of days 2 to 5 are the newest four."""
    days = live_on(reigning, 10)
    record = monitor.run(reigning.case, days[-1], reigning.adapters, run="manual", now=NOW)

    assert record.performance_window is not None
    assert (record.performance_window.start, record.performance_window.end) == (days[1], days[5])
    assert record.performance["rows"] == 600
    assert record.performance["roc_auc"] > 0.7


def test_a_champion_that_lost_its_touch_has_decayed(reigning: World):
    """The people who return are now the others."""
    days = live_on(reigning, 10)
    returning = reigning.adapters.warehouse.returning
    for day in days:
        returning[day] = [person for person in range(150) if person not in set(returning[day])]
    record = monitor.run(reigning.case, days[-1], reigning.adapters, run="manual", now=NOW)

    assert (record.verdict, record.since) == ("decayed", days[-1])
    assert "roc_auc on matured labels is 0." in record.reason
    assert "below 0.52" in record.reason


@pytest.mark.parametrize("everyone", [True, False])
def test_labels_of_one_class_leave_the_performance_unknown(reigning: World, *, everyone: bool):
    """No ranking can be judged."""
    days = live_on(reigning, 10)
    for day in days:
        reigning.adapters.warehouse.returning[day] = list(range(150)) if everyone else []
    record = monitor.run(reigning.case, days[-1], reigning.adapters, run="manual", now=NOW)

    assert record.performance == {}
    said = "all 600 matured labels are 1" if everyone else "No label returns of the newest 4 matured days has come"
    assert said in record.reason
    assert any(each.over and each.about == "labels" for each in record.measures) is not everyone


def test_scores_of_the_champion_before_say_nothing_about_this_one(reigning: World):
    """A champion of today has no matured scores of its own."""
    days = live_on(reigning, 10)
    reigning.train()
    reigning.evaluate()
    reigning.promote("2")
    record = look(reigning, days[-1])

    assert record.performance == {}
    assert "0 matured scores of version 2, 50 needed" in record.reason


def test_a_day_scored_by_another_version_has_no_score_to_judge(reigning: World):
    """The features are judged all the same."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    reigning.train()
    reigning.evaluate()
    reigning.promote("2")
    record = monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)

    assert (record.verdict, record.score.verdict) == ("unknown", "too few rows")
    assert of(record, "recency").verdict == "stable"


def test_what_must_be_there_is_named(world: World, reigning: World):
    """Snapshot and predictions of the day."""
    with pytest.raises(DataError, match="has no predictions of 2026-02-19"):
        monitor.run(reigning.case, reigning.today, reigning.adapters, run="manual", now=NOW)
    with pytest.raises(DataError, match="has no snapshot of 2026-02-20"):
        monitor.run(reigning.case, reigning.today + timedelta(days=1), reigning.adapters, run="manual", now=NOW)


def test_without_a_champion_a_day_is_unknown_and_only_its_sources_are_measured(world: World):
    """The first weeks are no failure; the finding is kept all the same."""
    record = monitor.run(world.case, world.today, world.adapters, run="manual", now=NOW)

    assert (record.verdict, record.reason, record.model_version) == ("unknown", "no champion yet", "")
    assert {each.about for each in record.measures} <= {"feed", "labels"}
    assert world.adapters.ledger.monitor("toy", world.today) == record


def closer(world: World, name: str) -> ColumnDrift:
    """Look again, with the limit of the distance where the counts have put a column, and return that column."""
    first = look(world)
    told = first.score if name == "score" else of(first, name)
    assert told.distance
    declared = world.case.monitoring.model_copy(update={"distance_limit": told.distance})
    world.case = world.case.model_copy(update={"monitoring": declared})
    again = look(world)
    return again.score if name == "score" else of(again, name)


@pytest.mark.parametrize("name", ["recency", "score"])
def test_rows_are_read_where_the_counts_leave_the_distance_open(reigning: World, name: str):
    """Those that the champion was trained on, at their version in the lake; scores out of its run."""
    found = closer(reigning, name)

    assert found.exact
    assert found.far is not None
    assert found.distance == pytest.approx(found.distance_limit, rel=0.2)


def test_a_reference_whose_rows_are_gone_leaves_the_distance_open(reigning: World):
    """The verdict is by its PSI, as ever; the detail says what is not known."""
    trained_on = Split.from_json(reigning.adapters.registry.manifest("toy", "1")["split"]).all_days
    reigning.adapters.lake.tables["features/toy"].pop(trained_on[0])
    found = closer(reigning, "recency")

    assert (found.verdict, found.far, found.exact) == ("stable", None, False)
    assert "the rows of the reference are gone" in found.detail


def test_labels_that_are_dropped_decide_which_rows_are_the_reference(reigning: World):
    """Each person returns or has no label here, so that fewer rows than were trained on are found: none are taken."""
    label = reigning.case.label.model_copy(update={"missing": "drop"})
    reigning.case = reigning.case.model_copy(update={"label": label})
    found = closer(reigning, "recency")

    assert found.far is None
