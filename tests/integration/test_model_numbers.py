"""Numeric labels on the real things: Delta, DuckDB, MLflow with skops, Evidently and the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import toy
from perennial.adapters import Adapters
from perennial.core import pipelines
from perennial.core.frames import model_frame
from perennial.spec import UseCase
from perennial.stages import evaluate, features, ingest, monitor, promote, score, train

pytestmark = pytest.mark.integration
NOW = datetime(2026, 4, 1, tzinfo=UTC)
TODAY = toy.FIRST + timedelta(days=55)
BOOSTED = "sklearn.ensemble.HistGradientBoostingRegressor"
LABEL_SQL = """
select d.day, o.customer, sum(o.amount) as will_spend
from days d join orders o on o.day > d.day and o.day <= d.day + 3
group by d.day, o.customer
"""
CANDIDATES: dict[str, dict[str, Any]] = {
    "ridge": {"estimator": "sklearn.linear_model.Ridge"},
    "glm": {"estimator": "sklearn.linear_model.PoissonRegressor", "params": {"max_iter": 300}},
    "squared": {"estimator": BOOSTED, "params": {"max_iter": 10}},
    "counts": {"estimator": BOOSTED, "params": {"max_iter": 10, "loss": "poisson"}},
    "absolute": {"estimator": BOOSTED, "params": {"max_iter": 10, "loss": "absolute_error"}},
    "quantile": {"estimator": BOOSTED, "params": {"max_iter": 10, "loss": "quantile", "quantile": 0.5}},
    "light": {"estimator": "lightgbm.LGBMRegressor", "params": {"n_estimators": 10, "objective": "poisson"}},
    "light_absolute": {"estimator": "lightgbm.LGBMRegressor", "params": {"n_estimators": 10, "objective": "mae"}},
}


def spending_shop(folder: Path, candidate: str, **label: Any) -> UseCase:
    """Return a shop that predicts what a customer spends within three days."""
    declared = toy.spec(
        label={"sql": "label.sql", "kind": "number", "column": "will_spend", "horizon_days": 3} | label,
        training__metric="mae",
        training__candidates=[{"name": candidate, **CANDIDATES[candidate]}],
        training__baselines=[
            {"name": "dummy", "estimator": "sklearn.dummy.DummyRegressor"},
            {"name": "lately", "column": "spend_10d"},
        ],
        gates=[{"metric": "mae", "beats_baseline": "lately"}, {"metric": "bias", "at_most": 30.0}],
        monitoring={"min_rows": 20, "performance": {"metric": "mae", "at_most": 200.0}},
    )
    del declared["value"]
    return toy.shop(folder / candidate, declared=declared, label_sql=LABEL_SQL)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Adapters]:
    """Return a folder and a lake with snapshots of 36 days, built by the stages themselves."""
    folder = tmp_path_factory.mktemp("spending")
    case, adapters = spending_shop(folder, "ridge"), toy.adapters(folder / "home")
    adapters.ledger.upgrade()
    days = [TODAY - timedelta(days=offset) for offset in reversed(range(36))]
    for source in case.sources:
        until = [TODAY] if source.is_reference else [toy.FIRST + timedelta(days=offset) for offset in range(60)]
        ingest.run_days(case, source.name, until, adapters, run="test")
    features.run_days(case, days, adapters, run="test")
    return folder, adapters


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_regressor_comes_back_as_it_was_trained(lived: tuple[Path, Adapters], candidate: str):
    """Registered with reviewed types alone; loaded, it predicts the same, and so does MLflow's own wrapper."""
    import mlflow

    folder, adapters = lived
    case = spending_shop(folder, candidate)
    record = train.run(case, TODAY, adapters, run="test")
    model = adapters.registry.load("shop", record.version)
    report = evaluate.run(case, adapters, version=record.version, now=NOW, who="ada", run="test")
    rows = adapters.warehouse.snapshots(case, [TODAY], pins=adapters.warehouse.pins(case))
    frame = model_frame(rows, numeric=model.numeric, categorical=model.categorical)
    served = mlflow.pyfunc.load_model(f"models:/shop/{record.version}").predict(frame)

    assert report.metrics["challenger"] == record.holdout
    assert served.shape == (rows.num_rows,)
    assert np.array_equal(served, pipelines.scores(model.pipeline, frame, kind="number"))


@pytest.mark.parametrize("missing", ["zero", "drop"])
def test_the_loop_closes_over_a_number(lived: tuple[Path, Adapters], missing: str):
    """Trained, gated, promoted, scored and judged on matured labels; who orders nothing counts as 0, or not at all."""
    folder, adapters = lived
    case = spending_shop(folder, "counts", missing=missing)
    version = train.run(case, TODAY, adapters, run="test").version
    report = evaluate.run(case, adapters, version=version, now=NOW, who="ada", run="test")
    promote.run(case, version, adapters, who="ada", reason="passed", now=NOW)
    for offset in reversed(range(12)):
        score.run(case, TODAY - timedelta(days=offset), adapters, run="test")
    finding = monitor.run(case, TODAY, adapters, run="test", now=NOW)
    labelled = adapters.warehouse.labelled(case, [TODAY - timedelta(days=5)], pins=adapters.warehouse.pins(case))

    assert labelled["will_spend"].type == pa.float64()
    assert (min(labelled["will_spend"].to_pylist()) == 0) is (missing == "zero")
    assert report.failed == ()
    assert finding.performance["mae"] > 0
    assert finding.report is not None
