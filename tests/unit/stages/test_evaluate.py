"""Evaluation: the same rows for both, and a report that stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes import make_case
from perennial.errors import DataError, GateFailedError, RegistryError
from perennial.records import Window
from perennial.stages import evaluate
from perennial.verdicts import GateReport, GateResult
from worlds import NOW, World


def test_the_first_challenger_meets_all_gates_but_the_champions(world: World):
    """There is nothing in production to compare with."""
    world.train()
    report = world.evaluate()

    assert [result.name for result in report.results] == ["roc_auc at least", "roc_auc against dummy"]
    assert (report.version, report.champion, report.failed) == ("1", None, ())
    assert sorted(report.metrics) == ["challenger", "dummy", "recency"]


def test_the_holdout_is_that_of_the_training(world: World):
    """The challenger's figures are those that its training recorded, to the last bit."""
    world.train()
    report = world.evaluate()
    manifest = world.adapters.registry.load("toy", "1").manifest

    assert report.metrics["challenger"] == manifest["holdout"]
    assert report.rows == manifest["rows"]["holdout"]
    assert report.holdout.to_json() == manifest["split"]["holdout"]


def test_a_champion_is_measured_on_the_same_rows(reigning: World):
    """The same model again: the difference is 0 in every resample."""
    reigning.train()
    report = reigning.evaluate()
    against = report.results[-1]

    assert (report.version, report.champion) == ("2", "1")
    assert report.metrics["champion"] == report.metrics["challenger"]
    assert (against.name, against.value, against.passed) == ("roc_auc against champion", 0.0, True)
    assert "150 entities" in against.detail


def test_the_report_is_kept_in_ledger_and_registry(world: World):
    """As an entry, as tags and as the description of the version."""
    world.train()
    report = world.evaluate()

    assert world.adapters.ledger.latest_report("toy", version="1") == report
    assert world.adapters.registry.tags_of["toy", "1"]["gates"] == "passed"
    assert report.page == world.adapters.registry.tags_of["toy", "1"]["gates_page"]
    assert "Passed every enforced gate." in (world.adapters.settings.pages_root / report.page).read_text()
    assert "| roc_auc |" in world.adapters.registry.described["toy", "1"]
    card = "http://airflow/perennial/pages/cards/toy/version-1.html"
    assert f"[Model card]({card})" in world.adapters.registry.described["toy", "1"]
    assert world.adapters.registry.tags_of["toy", "1"]["card"] == card


def test_a_failed_gate_is_reported_and_raises_on_demand(world: World):
    """The report comes back and is kept; raising is the caller's choice."""
    world.case = make_case(gates=[{"metric": "roc_auc", "at_least": 0.99}])
    world.train()
    report = world.evaluate()

    assert world.adapters.registry.tags_of["toy", "1"]["gates"] == "failed"
    with pytest.raises(GateFailedError, match=r"version 1 failed 1 gate\(s\):\n  roc_auc at least: 0.8"):
        report.raise_if_failed()


def test_without_a_challenger_the_next_step_is_named(world: World):
    """Train first."""
    with pytest.raises(RegistryError, match="toy has no challenger yet: train one first"):
        world.evaluate()


def test_labels_that_changed_since_the_training_are_refused(world: World):
    """The holdout would not be the one the model was kept away from."""
    world.train()
    world.adapters.warehouse.returning = {day: [1, 2] for day in world.adapters.warehouse.returning}

    with pytest.raises(DataError, match=r"450 holdout rows of toy version 1 are not the 450 rows.*Train again"):
        world.evaluate()


def test_a_champion_can_be_compared_though_the_spec_has_dropped_its_feature(reigning: World):
    """Old days still have the column."""
    reigning.case = make_case(features=without("visits"))
    reigning.train()

    assert reigning.evaluate().champion == "1"


def test_a_champion_whose_feature_is_gone_cannot_be_compared(reigning: World):
    """Names the column and what to do."""
    tables = reigning.adapters.lake.tables["features/toy"]
    for day, rows in tables.items():
        tables[day] = rows.drop_columns(["visits"])
    reigning.case = make_case(features=without("visits"))
    reigning.train()

    with pytest.raises(DataError, match="has no column visits, which champion version 1 needs"):
        reigning.evaluate()


def test_an_older_challenger_meets_the_champion_on_days_that_neither_was_trained_on(reigning: World):
    """Two of its three holdout days lie within five days of rows that the champion was fitted on."""
    reigning.today -= timedelta(days=5)
    reigning.train()
    report = reigning.evaluate()
    told = "on 1 of 3 holdout days, champion version 1 knows the others"

    assert report.rows == 450
    assert report.metrics["challenger"]["rows"] == 450
    assert report.metrics["champion"]["rows"] == 150
    assert told in report.results[-1].detail
    assert told in reigning.adapters.registry.described["toy", "2"]


def test_too_few_rows_that_neither_knows_are_no_comparison(reigning: World):
    """The message says which days, how many rows are left, and what to do; without such a gate nothing is compared."""
    reigning.today -= timedelta(days=5)
    reigning.case = make_case(training={"min_rows": 151})
    reigning.train()

    with pytest.raises(
        DataError, match=r"trained on 2 of the 3 holdout days.*150 rows .* are left, and 151 .*rollback"
    ):
        reigning.evaluate()
    reigning.case = make_case(training={"min_rows": 151}, gates=[{"metric": "roc_auc", "at_least": 0.5}])
    assert reigning.evaluate().failed == ()


EVERY_KIND = [
    {"metric": "roc_auc", "at_least": 0.5, "confidence": 0.9, "resamples": 100},
    {"metric": "roc_auc", "beats_baseline": "dummy", "by": 0.1, "confidence": 0.9, "resamples": 100},
    {"metric": "roc_auc", "better_than_champion_by": 0.3, "resamples": 100, "mode": "dry_run"},
    {"slices": ["town"], "metric": "log_loss", "no_worse_than_champion_by": 0.1, "min_rows": 50, "resamples": 100},
    {"suspicious_feature": 0.99},
    {"behaviour": ["missing", "unseen", "extreme", "permuted", "single"]},
    {"simpler": "recency", "metric": "roc_auc", "within": 0.5, "resamples": 100},
    {
        "fairness": "demographic_parity",
        "attribute": "town",
        "at_most": 1.0,
        "attribute_is_feature": True,
        "min_rows": 50,
    },
    {"latency_p99_ms": 60_000},
    {"size_mb": 5},
]


def test_every_kind_of_gate_is_judged_on_what_training_and_registry_give(world: World):
    """Scores of rivals, features of the holdout, timed calls; what is only told holds nothing back."""
    world.case = make_case(gates=EVERY_KIND)
    world.train()
    world.promote(world.evaluate().version)
    world.train()
    report = world.evaluate()

    assert [result.name for result in report.results] == [
        "roc_auc at least", "roc_auc against dummy", "roc_auc better than champion",
        "log_loss by town against champion", "leakage: recency",
        "behaviour", "roc_auc: recency is simpler", "demographic parity by town", "latency p99 in ms", "size in MB",
    ]  # fmt: skip
    assert report.failed == ()
    assert [result.name for result in report.warned] == ["roc_auc better than champion", "roc_auc: recency is simpler"]
    assert world.adapters.ledger.latest_report("toy", version="2") == report
    assert world.adapters.ledger.latest("toy", "evaluated").reason.endswith(
        "dry run: roc_auc better than champion, roc_auc: recency is simpler"
    )


def test_a_name_that_mlflow_takes_for_no_tag_is_written_otherwise(world: World):
    """A feature may be called as it likes; MLflow's names have letters, digits and a few signs."""
    rows = [GateResult("leakage: größe, m²", 0.9, 0.8, -0.1)]
    report = GateReport("toy", "1", None, world.today, tuple(rows), {}, Window.of_day(world.today), 1)

    assert "gate.leakage: gr--e- m-" in evaluate._tags(report, NOW)


def test_a_column_that_the_training_did_not_have_cannot_be_gated(world: World):
    """The spec names an attribute whose snapshots are not built yet."""
    world.train()
    features = {"sql": "features.sql", "lookback_days": 30, "numeric": ["recency", "spend", "visits"]}
    gate = {"fairness": "demographic_parity", "attribute": "sex", "at_most": 0.1}
    world.case = make_case(features={**features, "categorical": ["town"], "attributes": ["sex"]}, gates=[gate])

    with pytest.raises(DataError, match=r"has no column sex in the version.*Build the holdout's days again"):
        world.evaluate()


def without(name: str) -> dict[str, object]:
    """Return the features of the case but one."""
    kept = [column for column in ("recency", "spend", "visits") if column != name]
    return {"sql": "features.sql", "lookback_days": 30, "numeric": kept, "categorical": ["town"]}
