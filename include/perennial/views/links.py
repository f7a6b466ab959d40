"""Where MLflow's own pages are."""

from __future__ import annotations

from urllib.parse import quote


def model_version(address: str | None, case: str, version: str) -> str | None:
    """Return the page of a model's version.

    >>> model_version("http://mlflow", "toy", "3")
    'http://mlflow/#/models/toy/versions/3'
    """
    return None if address is None else f"{address}/#/models/{quote(case, safe='')}/versions/{quote(version, safe='')}"


def run(address: str | None, run_id: str) -> str | None:
    """Return the page of a training's run.

    >>> run("http://mlflow", "ab12")
    'http://mlflow/#/runs/ab12'
    """
    return None if address is None or not run_id else f"{address}/#/runs/{quote(run_id, safe='')}"
