"""A folder of use cases of its own, so that the tests hold whatever use cases are shipped."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="perennial-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")

import pytest

CHECKOUT = Path(__file__).parents[2]
DAGS = CHECKOUT / "dags"
SPEC = """
name: {name}
title: Who buys again?
entity: household_id
sources:
  - name: sales
    files: {{sales: sales.parquet}}
    time_column: sold_on
    keys: [household_id, sold_on]
    columns: {{household_id: integer, sold_on: date, amount: number}}
features: {{sql: features.sql, lookback_days: 30, numeric: [spend_30d]}}
label: {{sql: label.sql, column: bought, horizon_days: 7}}
training:
  cron: "{cron}"
  window_days: 60
  validation_days: 10
  holdout_days: 10
  candidates: [{{name: logistic, estimator: sklearn.linear_model.LogisticRegression}}]
  baselines: [{{name: constant, estimator: sklearn.dummy.DummyClassifier}}]
gates: [{{metric: roc_auc, at_least: 0.6}}]
value: {{currency: USD, conversion: 5.0, contact: 0.5}}
monitoring: {{performance: {{metric: roc_auc, at_least: 0.55}}}}
alerts: {{to: [ops@example.org]}}
{more}
"""


def write_case(root: Path, name: str, *, cron: str = "0 4 * * 1", more: str = "") -> None:
    """Write the files of a use case; `more` is appended to its YAML."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "use_case.yaml").write_text(SPEC.format(name=name, cron=cron, more=more))
    (folder / "features.sql").write_text("select day, 1 as household_id, 0.0 as spend_30d from days")
    (folder / "label.sql").write_text("select day, 1 as household_id, 1 as bought from days")
    (folder / "suite.json").write_text('{"sales": []}')


def environment(use_cases: Path, **more: str) -> dict[str, str]:
    """Return the environment of a Python that sees only these use cases."""
    paths = os.pathsep.join(str(CHECKOUT / name) for name in ("include", "plugins"))
    home = str(use_cases.parent / "home")
    airflow = {"AIRFLOW_HOME": os.environ["AIRFLOW_HOME"], "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins")}
    ours = {"PERENNIAL_USE_CASES": str(use_cases), "PERENNIAL_HOME": home, "PYTHONPATH": paths}
    return dict(os.environ) | airflow | ours | more


@pytest.fixture
def use_case_folder(tmp_path: Path) -> Path:
    """Return a folder that holds the one use case `toy`."""
    write_case(tmp_path / "use_cases", "toy")
    return tmp_path / "use_cases"


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Return a function that runs code in a fresh Python and returns what it prints."""

    def run(code: str, use_cases: Path, **more: str) -> str:
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(use_cases, **more), check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, object]:
    """Return the DAGs of two use cases by id, of which people approve the second; a third one is broken."""
    root = tmp_path_factory.mktemp("cases") / "use_cases"
    write_case(root, "toy")
    write_case(root, "other", cron="30 5 * * *", more="approval: {approvers: [ann, bob], timeout_days: 2}")
    write_case(root, "broken", more="colour: red")
    from airflow.dag_processing.dagbag import DagBag
    from perennial.settings import load_settings

    before = os.environ.get("PERENNIAL_USE_CASES")
    os.environ["PERENNIAL_USE_CASES"] = str(root)
    load_settings.cache_clear()
    bag = DagBag(str(DAGS))
    os.environ.pop("PERENNIAL_USE_CASES") if before is None else os.environ.update(PERENNIAL_USE_CASES=before)
    load_settings.cache_clear()
    return {"errors": bag.import_errors, **bag.dags}
