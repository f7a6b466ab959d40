"""Warm workers: only where tasks are forked, cold where a library is missing, and safe for tasks that compute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from perennial.settings import load_settings
from perennial_airflow import warm

CHECKOUT = Path(__file__).parents[2]
HEAVY = {"pandas", "sklearn", "mlflow", "lightgbm", "great_expectations", "evidently", "duckdb", "deltalake"}


@pytest.mark.parametrize(
    ("words", "executor", "forks"),
    [
        (["/x/python", "/x/bin/airflow", "scheduler"], "LocalExecutor", True),
        (["python", "-W", "ignore", "-m", "airflow", "scheduler", "--skip-serve-logs"], "LocalExecutor", True),
        (["python", "/x/airflow/__main__.py", "scheduler"], "LocalExecutor", True),
        (["python", "/x/bin/airflow", "scheduler"], "CeleryExecutor,LocalExecutor", True),
        (["python", "/x/bin/airflow", "scheduler"], "CeleryExecutor", False),
        (["python", "/x/bin/airflow", "celery", "worker", "--queues", "x"], "CeleryExecutor", True),
        (["python", "/x/bin/airflow", "celery", "flower"], "CeleryExecutor", False),
        (["python", "-m", "airflow", "api-server"], "LocalExecutor", False),
        (["python", "-m", "airflow", "dag-processor"], "LocalExecutor", False),
        (["python", "-m", "airflow", "triggerer"], "LocalExecutor", False),
        (["python", "-m", "airflow", "db", "migrate"], "LocalExecutor", False),
        (["python", "-c", "import airflow"], "LocalExecutor", False),
        (["python", "-m", "pytest", "scheduler"], "LocalExecutor", False),
        ([], "LocalExecutor", False),
    ],
)
def test_only_the_parents_of_tasks_are_warm(words, executor, forks):
    """A scheduler with LocalExecutor and a Celery worker fork tasks; nothing else does."""
    assert warm.forks_tasks(words, executor=executor) is forks


def modules_of(*words: str, more_path: str = "", **settings: str) -> tuple[set[str], str]:
    """Return what `airflow <words> --help` imports, started as the stack starts it, and all that it says on stderr."""
    path = os.pathsep.join(filter(None, [more_path, str(CHECKOUT / "plugins"), str(CHECKOUT / "include")]))
    airflow = {"AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"), "AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}
    environment = {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true", **airflow, **settings}
    command = [sys.executable, "-W", "ignore", "-X", "importtime", "-m", "airflow", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return {name.split(".")[0] for name in imported}, done.stderr


@pytest.mark.parametrize("words", [("api-server",), ("dag-processor",), ("triggerer",)])
def test_other_components_stay_light(words):
    """They read the same settings file, and import none of it."""
    loaded, _ = modules_of(*words)

    assert "airflow_local_settings" in loaded
    assert HEAVY & loaded == set()


def test_the_switch_keeps_a_scheduler_cold():
    """`PERENNIAL_WARM_WORKERS=0` is for whoever has less memory than time."""
    loaded, _ = modules_of("scheduler", PERENNIAL_WARM_WORKERS="0")

    assert HEAVY & loaded == set()


@pytest.mark.integration
def test_a_missing_library_leaves_the_others_warm(tmp_path):
    """The scheduler starts, says what is cold, and has the rest."""
    (tmp_path / "lightgbm.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")

    loaded, said = modules_of("scheduler", more_path=str(tmp_path))

    assert loaded >= HEAVY - {"lightgbm"}
    assert "warm workers: 25 of 26 libraries" in said
    assert "cannot preload lightgbm (ImportError: libgomp.so.1" in said


@pytest.mark.integration
def test_two_hundred_forked_tasks_compute(tmp_path):
    """LightGBM, boosting, DuckDB and Delta in each, GX in every fourth, Evidently in every eighth; two at a time.

    The parent only imports, as a worker does. A task that hangs is killed and counted.
    """
    script = Path(__file__).parent / "forked_tasks.py"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "plugins"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-W", "ignore", str(script), "--tasks", "200", "--folder", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    assert done.stdout.splitlines()[-1:] == ["200 done, 0 failed, 0 hung, 0 cold"], done.stdout + done.stderr


def test_a_task_does_not_inherit_the_settings_of_the_process_that_forks_it():
    """Else a feed that is begun on a running stack would be read live only after the scheduler's next start."""
    load_settings()
    warm.preload_where_tasks_are_forked()

    assert load_settings.cache_info().currsize == 0
