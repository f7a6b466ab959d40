"""The model stages where the label is a number, where there is no money, and where some have no label at all."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from fakes import FakeAdapters, make_case
from perennial.core import frames
from perennial.errors import DataError
from perennial.spec import UseCase
from perennial.stages import monitor, score, train
from perennial.views.fleet import fleet
from worlds import NOW, World, everything_moved, with_column

BOOSTED = {
    "name": "boosted",
    "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
    "params": {"max_iter": 20},
    "search": {"max_leaf_nodes": {"low": 2, "high": 8, "integer": True}},
}


def number_case(**fields: Any) -> UseCase:
    """Return the case `toy` with a number as its label: how much a person will spend, told by what they spent."""
    training = {
        "metric": "mae",
        "candidates": [{"name": "ridge", "estimator": "sklearn.linear_model.Ridge"}, BOOSTED],
        "baselines": [
            {"name": "everyone", "estimator": "sklearn.dummy.DummyRegressor"},
            {"name": "lately", "column": "recency"},
        ],
    }
    plain: dict[str, Any] = {
        "label": {"sql": "l.sql", "kind": "number", "missing": "drop", "column": "will_spend", "horizon_days": 5},
        "training": training | fields.pop("training", {}),
        "gates": [
            {"metric": "mae", "beats_baseline": "lately", "by": 0.5},
            {"metric": "bias", "at_most": 1.0},
            {"metric": "mae", "no_worse_than_champion_by": 0.05, "resamples": 100},
        ],
        "value": None,
        "monitoring": {"min_rows": 50, "report_rows": 100, "performance": {"metric": "mae", "at_most": 4.0}},
    }
    return make_case(**plain | fields)


def spend(adapters: FakeAdapters, case: UseCase) -> None:
    """Give each person of each lived day a number as label, which follows their recency; every tenth has none."""
    for day, rows in adapters.lake.tables[case.features_table].items():
        noise = np.random.default_rng(day.toordinal()).normal(size=rows.num_rows)
        amounts = 10 + 2 * frames.numbers(rows["recency"]) + noise
        adapters.warehouse.given[day] = {person: float(amounts[person]) for person in range(150) if person % 10}


@pytest.fixture
def spending(world: World) -> World:
    """Return fifty days of people whose label is a number."""
    world.case = number_case()
    spend(world.adapters, world.case)
    return world


@pytest.fixture
def selling(spending: World) -> World:
    """Return the same with a champion, which has scored the last days."""
    spending.train()
    spending.evaluate()
    spending.promote("1")
    for day in spending.adapters.lake.days("features/toy")[-12:]:
        score.run(spending.case, day, spending.adapters, run="test")
    return spending


def test_a_number_is_searched_chosen_refitted_and_registered(spending: World):
    """By the error on the validation rows; less is better."""
    record = train.run(spending.case, spending.today, spending.adapters, run="test")
    reached = {result.name: result.metrics["mae"] for result in record.candidates}

    assert record.winner == min(("ridge", "boosted"), key=lambda name: reached[name])
    assert record.holdout["mae"] < record.baselines["everyone"]["mae"]
    assert record.manifest["label_kind"] == "number"
    assert record.manifest["contacted_share"] is None
    assert "roc_auc" not in record.holdout


def test_the_baseline_by_column_is_the_column(spending: World):
    """Its error is that of the feature itself, and the manifest says which it was."""
    record = train.run(spending.case, spending.today, spending.adapters, run="test")
    days = [date(2026, 2, 10), date(2026, 2, 12), date(2026, 2, 14)]
    holdout = spending.adapters.warehouse.labelled(spending.case, days, pins={})
    error = np.abs(frames.numbers(holdout["recency"]) - frames.numbers(holdout["will_spend"])).mean()

    assert record.baselines["lately"]["mae"] == pytest.approx(error)
    assert record.manifest["baseline_recipes"]["lately"] == {"column": "recency", "params": {}, "features": ["recency"]}
    assert spending.adapters.registry.runs[record.run_id].children[1].params == {"trials": 1, "column": "recency"}


def test_training_a_number_twice_gives_the_same_model(spending: World):
    """To the last bit."""
    first, second = (train.run(spending.case, spending.today, spending.adapters, run="test") for _ in range(2))

    assert first.manifest == second.manifest


def test_the_pictures_of_a_number_are_of_errors(spending: World):
    """No ROC curve, and no profit."""
    record = train.run(spending.case, spending.today, spending.adapters, run="test")
    kept = spending.adapters.registry.runs[record.run_id].kept

    assert sorted(name for name in kept if name.endswith(".png")) == [
        "plots/calibration.png",
        "plots/feature_importance.png",
        "plots/predicted_actual.png",
        "plots/residuals.png",
    ]
    assert all(kept[name].startswith(b"\x89PNG") for name in kept if name.endswith(".png"))


def test_a_number_meets_its_gates(selling: World):
    """Against a baseline from above, and against the champion by the paired bootstrap."""
    selling.train()
    report = selling.evaluate()
    against = report.results[-1]

    assert [result.name for result in report.results] == ["mae against lately", "bias at most", "mae against champion"]
    assert (report.failed, against.value) == ((), 0.0)
    assert report.metrics["challenger"] == selling.adapters.registry.load("toy", "2").manifest["holdout"]
    assert "Expected profit" not in selling.adapters.registry.described["toy", "2"]


def test_scores_of_a_number_are_its_predictions(selling: World):
    """In the label's own unit."""
    scored = selling.adapters.lake.tables["predictions/toy"][selling.today]
    snapshot = selling.snapshot()

    assert frames.numbers(scored["score"]) == pytest.approx(10 + 2 * frames.numbers(snapshot["recency"]), abs=4)


def test_matured_numbers_are_judged_and_decay_is_seen(selling: World):
    """An error above its limit has decayed; the mail says so in its unit."""
    record = monitor.run(selling.case, selling.today, selling.adapters, run="test", now=NOW)
    assert record.verdict == "stable"
    assert record.performance["mae"] < 4.0

    for day in selling.adapters.warehouse.given:
        selling.adapters.warehouse.given[day] = dict.fromkeys(range(75), 10.0) | dict.fromkeys(range(75, 150), 90.0)
    decayed = monitor.run(selling.case, selling.today, selling.adapters, run="test", now=NOW)

    assert decayed.verdict == "decayed"
    assert decayed.reason.startswith("mae on matured labels is")
    assert "above 4" in decayed.reason


def test_predictions_that_moved_have_drifted(selling: World):
    """The PSI of the predictions, as of any score."""
    selling.alter(everything_moved(selling.snapshot()))
    score.run(selling.case, selling.today, selling.adapters, run="test")
    record = monitor.run(selling.case, selling.today, selling.adapters, run="test", now=NOW)

    assert (record.verdict, record.score.verdict) == ("drifted", "drifted")


def test_the_overview_shows_the_errors_of_a_number(selling: World):
    """The monitored metric as the holdout told it, beside the baseline that a gate names; less is better."""
    (row,) = fleet([selling.case], {}, selling.adapters, now=NOW).rows

    assert (row.headline.metric, row.headline.source, row.headline.more_is_better) == ("mae", "holdout", False)
    assert row.headline.value < row.headline.baseline
    assert row.money == ()


@pytest.mark.parametrize(("missing", "people"), [("drop", 135), ("zero", 150)])
def test_who_has_no_label_is_no_example(world: World, missing: str, people: int):
    """With `missing: drop` neither fitted nor held out nor judged; else they count as 0."""
    label = {"sql": "l.sql", "kind": "number", "column": "will_spend", "horizon_days": 5, "missing": missing}
    world.case = number_case(label=label)
    spend(world.adapters, world.case)
    version = world.train()
    report = world.evaluate()
    world.promote(version)
    for day in (world.today.replace(day=14), world.today):
        score.run(world.case, day, world.adapters, run="test")
    found = monitor.run(world.case, world.today, world.adapters, run="test", now=NOW)

    assert report.rows == 3 * people
    assert found.performance["rows"] == people


def test_too_few_matured_labels_leave_the_performance_unknown(selling: World):
    """Scores there are, but most have no label."""
    for day in selling.adapters.warehouse.given:
        selling.adapters.warehouse.given[day] = {1: 10.0, 2: 30.0}
    record = monitor.run(selling.case, selling.today, selling.adapters, run="test", now=NOW)

    assert record.performance == {}
    assert "of the matured scores have a label, 50 needed" in record.reason


def test_labels_that_are_no_numbers_are_refused(spending: World):
    """Names the part, and the cure."""
    spending.adapters.warehouse.given[date(2026, 2, 12)][3] = float("nan")

    with pytest.raises(DataError, match=r"1 of 405 labels of the holdout part are no finite numbers.*missing: drop"):
        spending.train()


def test_a_champion_of_another_kind_is_not_compared(reigning: World):
    """The label has become a number since: another label is another use case."""
    reigning.case = number_case()
    spend(reigning.adapters, reigning.case)
    reigning.train()

    with pytest.raises(DataError, match=r"version 1 predicts a label of kind binary, and label.kind is number now"):
        reigning.evaluate()


def test_a_binary_label_needs_no_money(world: World):
    """No profit among metrics, pictures and card; promoted and watched like any other."""
    world.case = make_case(value=None)
    version = world.train()
    report = world.evaluate()
    world.promote(version)
    kept = world.adapters.registry.runs["run1"].kept
    score.run(world.case, world.today, world.adapters, run="test")

    assert "plots/profit.png" not in kept
    assert json.loads(kept["manifest.json"])["contacted_share"] is None
    assert not {"expected_profit", "contacted_share"} & set(report.metrics["challenger"])
    assert "Expected profit" not in world.adapters.registry.described["toy", version]
    assert monitor.run(world.case, world.today, world.adapters, run="test", now=NOW).verdict == "stable"


def test_money_that_came_later_is_measured_after_the_next_training(world: World):
    """A model of the time before contacts nobody; a gate on a baseline's profit asks for a new training."""
    world.case = make_case(value=None)
    world.train()
    world.case = make_case(gates=[{"metric": "expected_profit", "at_least": 0.0}])
    report = world.evaluate()

    assert (report.metrics["challenger"]["expected_profit"], report.failed) == (0.0, ())
    assert "| expected_profit | 0.0000 | - | - |" in world.adapters.registry.described["toy", "1"]


def test_a_binary_label_may_be_held_against_a_column(world: World):
    """A feature within 0 and 1 is a score; any other is refused."""
    for day, rows in world.adapters.lake.tables["features/toy"].items():
        world.alter(with_column(rows, "visits", np.clip(frames.numbers(rows["visits"]) / 10, 0, 1)), day)
    baselines = [{"name": "visits_alone", "column": "visits"}]
    gates = [{"metric": "roc_auc", "beats_baseline": "visits_alone"}]
    world.case = make_case(training={"baselines": baselines}, gates=gates)
    world.train()
    assert world.evaluate().failed == ()

    baselines = [{"name": "recency_alone", "column": "recency"}]
    world.case = make_case(training={"baselines": baselines}, gates=[{"metric": "roc_auc", "at_least": 0.5}])
    with pytest.raises(DataError, match=r"scores must lie in 0..1"):
        world.train()


def test_a_deleted_use_case_keeps_its_champion_in_sight(selling: World):
    """Nobody knows its metric any more."""
    (row,) = fleet([], {}, selling.adapters, now=NOW).rows

    assert (row.state, row.champion, row.headline) == ("deleted", "1", None)


def test_an_old_manifest_is_of_a_binary_label(reigning: World):
    """Those of the first days do not say."""
    model = reigning.adapters.registry.load("toy", "1")
    old = replace(model, manifest={key: value for key, value in model.manifest.items() if key != "label_kind"})

    assert old.kind == "binary"
