"""Training: what is chosen where, what is kept, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fakes import FakeAdapters, make_case
from perennial.core import frames
from perennial.errors import DataError, RegistryError, SpecError
from perennial.stages import train
from worlds import World

SEARCHED = [
    {
        "name": "linear",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "search": {"C": {"low": 0.001, "high": 10.0, "log": True}},
    },
    {
        "name": "tree",
        "estimator": "sklearn.tree.DecisionTreeClassifier",
        "params": {"max_depth": 3},
        "search": {"max_depth": {"low": 1, "high": 6, "integer": True}},
    },
]


@pytest.fixture
def lived(world: World) -> FakeAdapters:
    """Return adapters with 50 lived days of the case `toy`."""
    return world.adapters


AS_OF = date(2026, 2, 19)


def test_a_challenger_is_trained_registered_and_aliased(lived: FakeAdapters):
    """One parent run with a child a baseline and candidate, and the alias at the end."""
    record = train.run(make_case(), AS_OF, lived, run="manual")
    run = lived.registry.runs[record.run_id]

    assert (record.version, record.winner) == ("1", "linear")
    assert lived.registry.aliases("toy") == {"challenger": "1"}
    assert [child.name for child in run.children] == ["dummy", "recency", "linear"]
    assert run.status == "FINISHED"
    assert record.holdout["roc_auc"] > record.baselines["dummy"]["roc_auc"] == 0.5


def test_the_run_holds_what_a_reader_needs(lived: FakeAdapters):
    """Manifest and blueprint, golden rows, reference profile and sample, pictures, and the profile of what was read."""
    record = train.run(make_case(), AS_OF, lived, run="manual")
    kept = lived.registry.runs[record.run_id].kept

    assert sorted(kept) == [
        "blueprint.json",
        "golden_rows.parquet",
        "holdout_labels.parquet",
        "holdout_scores.parquet",
        "manifest.json",
        "plots/calibration.png",
        "plots/feature_importance.png",
        "plots/precision_recall.png",
        "plots/profit.png",
        "plots/roc.png",
        "profile/profile.html",
        "profile/profile.json",
        "reference_profile.json",
        "reference_sample.parquet",
    ]
    assert all(kept[name].startswith(b"\x89PNG") for name in kept if name.endswith(".png"))
    assert set(json.loads(kept["reference_profile.json"])["features"]) == {"recency", "spend", "visits", "town"}


def test_the_profile_is_of_the_rows_that_were_read(lived: FakeAdapters):
    """All parts, the label beside the features, every label judged; page, run and version say the same."""
    record = train.run(make_case(), AS_OF, lived, run="manual")
    run = lived.registry.runs[record.run_id]
    kept = json.loads(run.kept["profile/profile.json"])
    (table,) = kept["tables"]
    columns = {column["name"]: column for column in table["columns"]}
    address = "http://airflow/perennial/pages/profile/toy/version-1.html"

    assert record.profile == "profile/toy/version-1.html"
    assert (lived.settings.pages_root / record.profile).read_bytes() == run.kept["profile/profile.html"]
    assert (table["name"], table["rows"], table["days"]) == ("features", sum(record.manifest["rows"].values()), 15)
    assert set(columns) == {"recency", "spend", "visits", "town", "returns"}
    assert columns["recency"]["label"]["value"] > 0.6
    assert columns["returns"]["label"] is None
    assert (kept["version"], kept["last"], kept["label_days"]) == ("1", "2026-02-19", 15)
    assert run.tags["profile"] == lived.registry.tags_of["toy", "1"]["profile"] == address
    assert f"]({address})" in run.tags["mlflow.note.content"]


def test_a_profile_that_cannot_be_written_costs_no_model(lived: FakeAdapters, caplog: pytest.LogCaptureFixture):
    """The challenger is there; log, run and version say what went wrong."""
    lived.settings.pages_root.write_text("a file where the folder should be")
    record = train.run(make_case(), AS_OF, lived, run="manual")
    trouble = lived.registry.runs[record.run_id].tags["profile"]

    assert lived.registry.aliases("toy") == {"challenger": "1"}
    assert record.profile is None
    assert trouble.startswith(("not made, NotADirectoryError", "not made, FileExistsError"))
    assert lived.registry.tags_of["toy", "1"]["profile"] == trouble
    assert "toy version 1 has no profile: not made" in caplog.text


def test_the_manifest_names_everything_a_training_depends_on(lived: FakeAdapters):
    """Data versions, spec, code, seed, libraries, windows and a fingerprint of the rows."""
    case = make_case()
    manifest = train.run(case, AS_OF, lived, run="manual").manifest
    days = [date(2026, 2, 10), date(2026, 2, 12), date(2026, 2, 14)]
    holdout = lived.warehouse.labelled(case, days, pins={})

    assert manifest["data_versions"] == {"features/toy": 49}
    assert manifest["spec"] == case.fingerprint()
    assert (manifest["code"], manifest["seed"], manifest["as_of"]) == ("abc123", 7, "2026-02-19")
    assert manifest["split"]["holdout"] == {"start": "2026-02-09", "end": "2026-02-15"}
    assert manifest["rows"] == {"fit": 1350, "validation": 450, "holdout": 450}
    assert manifest["fingerprints"]["holdout"] == frames.fingerprint(holdout)
    assert manifest["libraries"]["scikit-learn"]


def test_a_training_may_ask_for_what_was_known_at_a_moment(lived: FakeAdapters):
    """The versions of that moment are pinned, and the manifest says which moment it was."""
    moment = datetime(2026, 2, 1, 12, tzinfo=UTC)
    record = train.run(make_case(), AS_OF, lived, run="manual", known_at=moment)

    assert lived.warehouse.asked_at == moment
    assert record.manifest["known_at"] == "2026-02-01T12:00:00+00:00"


def test_training_twice_gives_the_same_model(lived: FakeAdapters):
    """Another version with the same manifest and the same figures, to the last bit."""
    case = make_case(training={"candidates": SEARCHED})
    first, second = (train.run(case, AS_OF, lived, run="manual") for _ in range(2))

    assert (first.version, second.version) == ("1", "2")
    assert first.manifest == second.manifest
    assert first.holdout == second.holdout


def test_the_holdout_chooses_nothing(lived: FakeAdapters):
    """Turning all holdout labels round changes neither winner, nor parameters, nor the share to contact."""
    case = make_case(training={"candidates": SEARCHED})
    before = train.run(case, AS_OF, lived, run="manual")
    for day in (date(2026, 2, 10), date(2026, 2, 12), date(2026, 2, 14)):
        there = set(lived.warehouse.returning[day])
        lived.warehouse.returning[day] = [person for person in range(150) if person not in there]
    after = train.run(case, AS_OF, lived, run="manual")

    assert after.manifest["winner"] == before.manifest["winner"]
    assert after.manifest["contacted_share"] == before.manifest["contacted_share"]
    assert after.holdout["roc_auc"] == pytest.approx(1 - before.holdout["roc_auc"])


def test_no_label_after_as_of_is_read(lived: FakeAdapters):
    """Whatever happens later, the training as of the same day stays the same."""
    case = make_case()
    before = train.run(case, AS_OF, lived, run="manual")
    for day in lived.warehouse.returning:
        if day > date(2026, 2, 14):
            lived.warehouse.returning[day] = []
    after = train.run(case, AS_OF, lived, run="manual")

    assert after.manifest["fingerprints"] == before.manifest["fingerprints"]


def test_the_budget_of_the_search_is_shared(lived: FakeAdapters):
    """Four trials for two candidates: two each, and one without any search before them."""
    case = make_case(training={"candidates": SEARCHED, "search": {"trials": 4, "seconds": 60}})
    steps: list[tuple[str, int, int]] = []
    record = train.run(case, AS_OF, lived, run="manual", progress=lambda *step: steps.append(step))
    params = {child.name: child.params for child in lived.registry.runs[record.run_id].children}

    assert (params["linear"]["trials"], params["tree"]["trials"]) == (3, 3)
    assert [done for _, done, _ in steps] == list(range(1, 13))
    assert steps[-1] == ("register", 12, 12)


def test_the_training_is_in_the_ledger(lived: FakeAdapters):
    """With its `as_of`, which the next decision to retrain looks at."""
    train.run(make_case(), AS_OF, lived, run="scheduled__1", reason="drift")
    entry = lived.ledger.latest("toy", "trained")

    assert entry is not None
    assert (entry.to_version, entry.day, entry.reason, entry.run) == ("1", AS_OF, "drift", "scheduled__1")
    assert entry.at == datetime(2026, 2, 20, tzinfo=UTC)


def test_what_a_training_took_is_in_ledger_and_run_and_not_in_the_manifest(lived: FakeAdapters):
    """A manifest says what can be made again; seconds cannot."""
    record = train.run(make_case(), AS_OF, lived, run="manual")
    entry = lived.ledger.latest("toy", "trained")
    cost = entry.report["cost"]

    assert cost["compute_seconds"] > 0
    assert cost["wall_seconds"] > 0
    assert cost["rows"] == sum(record.manifest["rows"].values())
    assert {name: value for name, value in entry.report.items() if name != "cost"} == json.loads(
        json.dumps(record.manifest)
    )
    assert lived.registry.runs[record.run_id].figures["cost_rows"] == cost["rows"]


def test_labels_of_one_class_are_refused(lived: FakeAdapters):
    """Nothing is registered."""
    lived.warehouse.returning = {}

    with pytest.raises(DataError, match="all 1350 labels of the fit part are 0"):
        train.run(make_case(), AS_OF, lived, run="manual")
    assert lived.registry.runs == {}


def test_too_few_rows_are_refused(lived: FakeAdapters):
    """Says what it has and what it needs."""
    with pytest.raises(DataError, match="the validation part has 450 rows and needs 1000"):
        train.run(make_case(training={"min_rows": 1000}), AS_OF, lived, run="manual")


def test_missing_days_are_refused(lived: FakeAdapters):
    """Names them and what to run."""
    del lived.lake.tables["features/toy"][date(2026, 2, 12)]

    with pytest.raises(
        DataError, match=r"1 of 3 snapshot days of the holdout part are missing: 2026-02-12.*Backfill toy__"
    ):
        train.run(make_case(), AS_OF, lived, run="manual")


@pytest.mark.parametrize("broken", ["open", "register", "alias challenger"])
def test_a_registry_that_is_down_leaves_nothing_to_promote(lived: FakeAdapters, broken: str):
    """Wherever it breaks: no alias; and the next training goes through."""
    lived.registry.down = {broken}
    with pytest.raises(RegistryError, match="could not"):
        train.run(make_case(), AS_OF, lived, run="manual")
    assert lived.registry.aliases("toy") == {}

    lived.registry.down = set()
    train.run(make_case(), AS_OF, lived, run="manual")
    assert "challenger" in lived.registry.aliases("toy")


def test_a_broken_training_ends_its_run_as_failed(lived: FakeAdapters):
    """MLflow's page shows which trainings came to nothing."""
    wrong: list[dict[str, Any]] = [{"name": "wrong", "estimator": "sklearn.tree.DecisionTreeClasifier"}]
    with pytest.raises(SpecError, match="Did you mean 'DecisionTreeClassifier'"):
        train.run(make_case(training={"candidates": wrong}), AS_OF, lived, run="manual")

    assert [run.status for run in lived.registry.runs.values()] == ["FAILED"]


def test_a_feature_that_is_all_null_is_no_obstacle(lived: FakeAdapters):
    """Trees and linear models alike do without it."""
    import pyarrow as pa

    for day, rows in lived.lake.tables["features/toy"].items():
        empty = pa.nulls(rows.num_rows, pa.float64())
        lived.lake.tables["features/toy"][day] = rows.set_column(rows.schema.get_field_index("spend"), "spend", empty)
    boosted = [
        {"name": "boosted", "estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "params": {"max_iter": 5}}
    ]
    record = train.run(make_case(training={"candidates": boosted}), AS_OF, lived, run="manual")

    assert record.winner == "boosted"
