"""The model side on the real things: Delta, DuckDB, MLflow, Evidently and the ledger; siblings of tests/fakes.py."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import toy
from perennial.adapters import Adapters
from perennial.core import pipelines
from perennial.core.frames import model_frame
from perennial.errors import DataError, GateFailedError, RefusedError, RegistryError
from perennial.io.registry import Registry
from perennial.io.warehouse import Asked
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import evaluate, monitor, promote, retrain, score, train
from perennial.verdicts import GateReport

NOW = datetime(2026, 4, 1, tzinfo=UTC)
TODAY = toy.FIRST + timedelta(days=55)
LINEAR = {"name": "linear", "estimator": "sklearn.linear_model.LogisticRegression"}
BOOSTED = {
    "name": "boosted",
    "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
    "params": {"max_iter": 10},
}
LIGHT = {"name": "light", "estimator": "lightgbm.LGBMClassifier", "params": {"n_estimators": 10}}


@dataclass
class Shop:
    """A shop with snapshots of 36 days."""

    folder: Path
    case: UseCase
    adapters: Adapters

    def with_candidates(self, *candidates: dict[str, Any]) -> UseCase:
        """Return the use case with other candidates."""
        declared = toy.spec(training__candidates=list(candidates))
        return toy.shop(self.folder / "-".join(item["name"] for item in candidates), declared=declared)

    def challenger(self, case: UseCase | None = None) -> str:
        """Train a challenger and return its version."""
        return train.run(case or self.case, TODAY, self.adapters, run="test").version

    def evaluated(self, version: str | None = None) -> str:
        """Evaluate a version and return it."""
        return evaluate.run(self.case, self.adapters, version=version, now=NOW, who="ada", run="test").version


def open_shop(folder: Path) -> Shop:
    """Return a shop whose raw tables and snapshots are filled without the checks that the ingest ring tests."""
    case, adapters = toy.shop(folder / "use_cases"), toy.adapters(folder / "home")
    orders = toy.order_rows()
    of_day = pc.cast(orders["ordered_at"], pa.date32())
    for offset in range(60):
        day = toy.FIRST + timedelta(days=offset)
        adapters.lake.write_day(case.raw_table("orders"), day, orders.filter(pc.equal(of_day, day)), metadata={})
    adapters.lake.write_day(case.raw_table("customers"), toy.FIRST, toy.customer_rows(), metadata={})
    days = tuple(TODAY - timedelta(days=offset) for offset in reversed(range(36)))
    pins = adapters.warehouse.pins(case)
    (rows,) = adapters.warehouse.compute_features(case, [Asked(days, TODAY)], pins=pins)
    for day in days:
        adapters.lake.write_day(case.features_table, day, rows.filter(pc.equal(rows["day"], day)), metadata={})
    return Shop(folder, case, adapters)


@pytest.fixture(scope="module")
def open_all_day(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop that the tests of this file share; its champion is trained, evaluated and promoted."""
    found = open_shop(tmp_path_factory.mktemp("shop"))
    found.challenger()
    version = found.evaluated()
    promote.run(found.case, version, found.adapters, who="ada", reason="passed", now=NOW)
    return found


def test_the_loop_closes(open_all_day: Shop):
    """Score twelve days, monitor the last with matured labels and a page, and decide about retraining."""
    case, adapters = open_all_day.case, open_all_day.adapters
    for offset in reversed(range(12)):
        record = score.run(case, TODAY - timedelta(days=offset), adapters, run="test")
    again = score.run(case, TODAY, adapters, run="test")
    finding = monitor.run(case, TODAY, adapters, run="test", now=NOW)
    decision = retrain.run(case, TODAY, adapters, now=NOW)

    assert (record.changed, again.changed, record.model_version) == (True, False, "1")
    assert finding.performance["roc_auc"] > 0.6
    assert finding.performance_window == Window(TODAY - timedelta(days=9), TODAY - timedelta(days=2))
    assert finding == adapters.ledger.monitor(case.name, TODAY)
    assert not decision.wanted  # trained as of this very day: nothing new to learn from
    assert finding.report is not None
    page = (adapters.settings.pages_root / finding.report).read_text()
    assert "Who orders again within three days?" in page
    assert "days_since_order" in page


def test_a_champion_is_not_held_against_on_days_it_was_trained_on(tmp_path: Path):
    """The challenger is three days older: three of its five holdout days are known to the champion."""
    shop = open_shop(tmp_path)
    shop.challenger()
    promote.run(shop.case, shop.evaluated(), shop.adapters, who="ada", reason="passed", now=NOW)
    gate = {"metric": "roc_auc", "no_worse_than_champion_by": 0.5, "resamples": 100}
    older = train.run(shop.case, TODAY - timedelta(days=3), shop.adapters, run="test").version

    def against(min_rows: int) -> GateReport:
        declared = toy.spec(gates=[gate], training__min_rows=min_rows)
        case = toy.shop(tmp_path / f"at-least-{min_rows}", declared=declared)
        return evaluate.run(case, shop.adapters, version=older, now=NOW, who="ada", run="test")

    report = against(20)
    assert "on 2 of 5 holdout days, champion version 1 knows the others" in report.results[0].detail
    assert report.metrics["champion"]["rows"] < report.rows
    assert shop.adapters.ledger.latest_report("shop", version=older) == report
    with pytest.raises(DataError, match=r"cannot be compared with version 1.*trained on 3 of the 5 holdout days"):
        against(300)


def test_aliases_and_versions_are_text(open_all_day: Shop):
    """MLflow's SQL store gives numbers; a promotion that is repeated must find the version equal to its own."""
    registry = open_all_day.adapters.registry

    assert registry.version_of("shop", "champion") == "1"
    assert registry.version_of("shop", "nonsense") is None
    assert registry.version_of("never trained", "champion") is None


def test_the_runs_of_a_training_hang_together(open_all_day: Shop):
    """One parent with a child a baseline and candidate, and the files that a reader needs."""
    import mlflow

    client = mlflow.MlflowClient(open_all_day.adapters.settings.mlflow)
    version = client.get_model_version("shop", "1")
    experiment = client.get_experiment_by_name("shop").experiment_id
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{version.run_id}'")
    files = {item.path for item in client.list_artifacts(version.run_id)}

    assert {child.info.run_name for child in children} == {"dummy", "logistic_regression"}
    assert {"manifest.json", "plots", "reference_profile.json", "reference_sample.parquet"} <= files
    assert version.tags["gates"] == "passed"
    assert "| roc_auc |" in version.description
    assert client.get_run(version.run_id).data.metrics["holdout_roc_auc"] > 0.6


def test_the_run_holds_and_links_the_profile_of_what_it_read(open_all_day: Shop):
    """The page and its data as artifacts: sources at their pinned versions up to `as_of`, and the rows of all parts."""
    import mlflow

    adapters = open_all_day.adapters
    later = TODAY + timedelta(days=1)
    adapters.lake.write_day("raw/shop/orders", later, toy.order_rows().slice(0, 1), metadata={})
    record = train.run(open_all_day.case, TODAY, adapters, run="test")
    client = mlflow.MlflowClient(adapters.settings.mlflow)
    run = client.get_run(record.run_id)
    folder = Path(client.download_artifacts(record.run_id, "profile"))
    data = json.loads((folder / "profile.json").read_text())
    tables = {table["name"]: table for table in data["tables"]}
    start = TODAY - timedelta(days=3 + 29 + 10)
    read = [at for at in toy.order_rows()["ordered_at"].to_pylist() if start <= at.date() <= TODAY]

    assert record.profile == f"profile/shop/version-{record.version}.html"
    assert (folder / "profile.html").read_bytes() == (adapters.settings.pages_root / record.profile).read_bytes()
    assert set(tables) == {"orders", "customers", "features"}
    assert (tables["orders"]["rows"], tables["customers"]["rows"]) == (len(read), 60)
    assert tables["features"]["rows"] == sum(record.manifest["rows"].values())
    assert (data["first"], data["last"]) == (start.isoformat(), TODAY.isoformat())
    assert run.data.tags["profile"].endswith(f"/perennial/pages/{record.profile}")
    assert run.data.tags["profile"] in run.data.tags["mlflow.note.content"]
    assert client.get_model_version("shop", record.version).tags["profile"] == run.data.tags["profile"]


@pytest.mark.parametrize("candidate", [LINEAR, BOOSTED, LIGHT], ids=lambda candidate: candidate["name"])
def test_a_model_comes_back_as_it_was_trained(open_all_day: Shop, candidate: dict[str, Any]):
    """Scores of the loaded pipeline are those that the training measured; pyfunc takes nulls and checks columns."""
    import mlflow

    case = open_all_day.with_candidates(candidate)
    record = train.run(case, TODAY, open_all_day.adapters, run="test")
    model = open_all_day.adapters.registry.load("shop", record.version)
    report = evaluate.run(case, open_all_day.adapters, version=record.version, now=NOW, who="ada", run="test")
    rows = open_all_day.adapters.warehouse.snapshots(case, [TODAY], pins=open_all_day.adapters.warehouse.pins(case))
    frame = model_frame(rows, numeric=model.numeric, categorical=model.categorical)
    served = mlflow.pyfunc.load_model(f"models:/shop/{record.version}")

    assert report.metrics["challenger"] == record.holdout
    assert np.array_equal(served.predict(frame)[:, 1], pipelines.scores(model.pipeline, frame, kind="binary"))
    assert np.isfinite(served.predict(frame.assign(spend_10d=np.nan, segment=None).astype({"segment": "str"}))).all()
    with pytest.raises(mlflow.exceptions.MlflowException, match="spend_10d"):
        served.predict(frame.drop(columns=["spend_10d"]))


def test_a_training_can_be_repeated(open_all_day: Shop):
    """The same manifest, but for nothing, and the same figures to the last bit."""
    case = open_all_day.with_candidates(LINEAR, BOOSTED, LIGHT)
    first, second = (train.run(case, TODAY, open_all_day.adapters, run="test") for _ in range(2))

    assert first.manifest == second.manifest
    assert int(second.version) == int(first.version) + 1


def test_a_type_that_was_not_reviewed_is_not_registered(open_all_day: Shop):
    """Nearest neighbours keep a tree of their own kind; the alias stays where it was."""
    before = open_all_day.adapters.registry.aliases("shop")
    case = open_all_day.with_candidates({"name": "near", "estimator": "sklearn.neighbors.KNeighborsClassifier"})

    with pytest.raises(RegistryError, match=r"could not register a model of shop.*KDTree"):
        train.run(case, TODAY, open_all_day.adapters, run="test")
    assert open_all_day.adapters.registry.aliases("shop") == before


def test_a_model_that_could_run_code_is_not_loaded(open_all_day: Shop):
    """A pickle that somebody registered by hand."""
    import mlflow
    from sklearn.dummy import DummyClassifier

    registry = open_all_day.adapters.registry
    registry.version_of("shop", "champion")
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("shop").experiment_id):
        dummy = DummyClassifier().fit([[0], [1]], [0, 1])
        logged = mlflow.sklearn.log_model(dummy, name="m", serialization_format="cloudpickle", pip_requirements=[])
    made = mlflow.MlflowClient().create_registered_model("foreign")
    mlflow.MlflowClient().create_model_version(made.name, logged.model_uri)

    with pytest.raises(RegistryError, match=r"foreign version 1 is not loaded.*'cloudpickle', not 'skops'"):
        registry.load("foreign", "1")


def test_a_registry_that_is_down_is_found_out_at_once(open_all_day: Shop):
    """Before any model is fitted, and in seconds."""
    adapters = toy.adapters(open_all_day.folder / "home")
    adapters.registry = Registry("http://someone:secret@127.0.0.1:1")
    started = time.monotonic()

    with pytest.raises(RegistryError, match=r"MLflow at http://127.0.0.1:1 could not open a training run") as caught:
        train.run(open_all_day.case, TODAY, adapters, run="test")
    assert time.monotonic() - started < 30
    assert "secret" not in str(caught.value)


def promote_in_a_process(folder: str, version: str) -> str:
    """Promote a version and return what came of it; run in a process of its own."""
    shop = Shop(Path(folder), toy.shop(Path(folder) / version), toy.adapters(Path(folder) / "home"))
    try:
        promote.run(shop.case, version, shop.adapters, who=version, reason="race", now=NOW)
    except (RefusedError, GateFailedError) as error:
        return f"refused: {error}"
    return "promoted"


def test_of_two_promotions_at_once_one_wins(open_all_day: Shop, tmp_path: Path):
    """Two processes, two versions that passed against the champion: one entry, and the aliases follow it."""
    versions = [open_all_day.evaluated(open_all_day.challenger()) for _ in range(2)]
    (tmp_path / "home").mkdir()
    for name in ("ledger.db", "mlflow.db"):
        shutil.copy(open_all_day.folder / "home" / name, tmp_path / "home" / name)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(promote_in_a_process, [str(tmp_path)] * 2, versions))
    adapters = toy.adapters(tmp_path / "home")
    newest, before = [entry for entry in adapters.ledger.history("shop") if entry.action == "promoted"]

    assert sorted(outcome.partition(":")[0] for outcome in outcomes) == ["promoted", "refused"]
    assert (newest.from_version, before.to_version) == ("1", "1")
    assert adapters.registry.version_of("shop", "champion") == newest.to_version
    assert adapters.registry.version_of("shop", "previous") == "1"


def test_a_page_survives_columns_that_evidently_cannot_draw(open_all_day: Shop):
    """All null, infinite and constant columns beside ordinary ones: left out or drawn, never an exception."""
    case, adapters = open_all_day.case, open_all_day.adapters
    day = TODAY - timedelta(days=1)
    score.run(case, day, adapters, run="test")
    rows = adapters.lake.read(case.features_table, Window.of_day(day)).drop_columns(["day"])
    for name, values in (("spend_10d", None), ("orders_7d", float("inf")), ("days_since_order", 3.0)):
        rows = rows.set_column(
            rows.schema.get_field_index(name), name, pa.array([values] * rows.num_rows, pa.float64())
        )
    adapters.lake.write_day(case.features_table, day, rows, metadata={})
    finding = monitor.run(case, day, adapters, run="test", now=NOW)

    assert {column.column: column.verdict for column in finding.columns} == {
        "days_since_order": "constant",
        "orders_7d": "constant",
        "spend_10d": "all null",
        "segment": "stable",
    }
    assert finding.report is not None
    assert "spend_10d (all null)" in (adapters.settings.pages_root / finding.report).read_text()


def test_a_deleted_use_case_leaves_its_history(open_all_day: Shop):
    """The ledger and the registry are read by name; no file of the use case is asked for."""
    ledger = toy.adapters(open_all_day.folder / "home").ledger

    assert ledger.cases() == ("shop",)
    assert ledger.champion("shop") == "1"
    assert ledger.latest_report("shop", version="1") is not None
