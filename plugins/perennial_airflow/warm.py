"""Warm workers: import the heavy libraries once in the process that forks the tasks, not once in every task.

A task is forked from a LocalExecutor or Celery worker and inherits what that process has imported, so a task that
needs Evidently and MLflow starts in a fraction of a second instead of fourteen.

The rule that keeps it safe is *import, compute nothing*: a fork inherits memory, but no thread. A library that has
used its thread pool before the fork would wait in the child for threads that are not there; one that was only
imported makes its pool in the child. A library that is missing or broken is left to the tasks that need it.
"""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from perennial.settings import load_settings

log = logging.getLogger(__name__)

# Third parties only: our own modules are imported by each task, so that a task runs the code as it is now.
LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow.compute",
    "pyarrow.dataset",
    "duckdb",
    "deltalake",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "lightgbm",
    "optuna",
    "skops.io",
    "mlflow.sklearn",
    "great_expectations",
    "great_expectations.render.renderer",
    "evidently.presets",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "jinja2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "alembic.command",
    "pydantic_settings",
    "tenacity",
    "filelock",
    "yaml",
)


def forks_tasks(arguments: Sequence[str], *, executor: str) -> bool:
    """Tell whether a command line is that of a process whose children run tasks.

    Args:
        arguments: `sys.orig_argv`, such as `["python", "-m", "airflow", "scheduler"]`; `sys.argv` does not name the
            module yet when Airflow is imported.
        executor: Airflow's `[core] executor`; with Celery alone the scheduler forks no task.
    """
    programs = [place for place, argument in enumerate(arguments) if _is_airflow(argument)]
    if not programs:
        return False
    words = [argument for argument in arguments[programs[0] + 1 :] if not argument.startswith("-")]
    return words[:2] == ["celery", "worker"] or (words[:1] == ["scheduler"] and "LocalExecutor" in executor)


def _is_airflow(argument: str) -> bool:
    return Path(argument).name == "airflow" or argument.endswith("airflow/__main__.py")


def preload(libraries: Sequence[str] = LIBRARIES) -> tuple[str, ...]:
    """Import the libraries and return those that could not be; tasks import those for themselves."""
    # The first log line of these two would come from before Airflow has set up its logs.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    cold = tuple(name for name in libraries if not _imported(name))
    # What is here now will be in every task: garbage collections there need not look at it, and not copy it.
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else extension modules complain of leaks when the process ends
    return cold


def _imported(name: str) -> bool:
    try:
        import_module(name)
    except (ImportError, OSError, AttributeError) as error:
        log.warning("cannot preload %s (%s: %s); tasks that need it start cold", name, type(error).__name__, error)
        return False
    return True


def preload_where_tasks_are_forked() -> None:
    """Preload in a scheduler with LocalExecutor and in a Celery worker; do nothing anywhere else.

    `PERENNIAL_WARM_WORKERS=false` switches it off.
    """
    from airflow.configuration import conf

    wanted = load_settings().warm_workers
    load_settings.cache_clear()  # each task reads the settings as they are when it starts
    if not forks_tasks(sys.orig_argv, executor=conf.get("core", "executor")) or not wanted:
        return
    started = time.monotonic()
    cold = preload()
    warm, seconds = len(LIBRARIES) - len(cold), time.monotonic() - started
    # Airflow has not set up its logs yet, and a worker that stays cold for want of a word is only found by its bill.
    sys.stderr.write(f"warm workers: {warm} of {len(LIBRARIES)} libraries imported in {seconds:.1f} s\n")
