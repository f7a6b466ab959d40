"""All use cases at a glance: the Models page, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from perennial.views.fleet import TONES, Fleet, Told, fleet

from perennial_airflow.ui import runs
from perennial_airflow.ui.cases import WORLD
from perennial_airflow.ui.security import can_start_any, readable
from perennial_airflow.ui.shown import airflow_root, show

if TYPE_CHECKING:
    from perennial.adapters import Adapters

MLFLOW_SECONDS = 2.0


def add_routes(app: FastAPI) -> None:
    """Give the app the page and its data."""
    app.add_api_route("/models", models, response_class=HTMLResponse, include_in_schema=False)
    app.add_api_route("/api/models", as_json, response_model=Fleet, tags=["models"])


def models(request: Request, user: GetUserDep, world: Adapters = WORLD) -> HTMLResponse:
    """Return the Models page; what does not answer is said on it."""
    known = runs.facts(airflow_root(request))
    found = _seen(known, user, world)
    return show(
        request, "models.html", fleet=found, outages=found.outages, tones=TONES, acts=can_start_any(user),
        runs_unknown=bool(known.outages),
    )  # fmt: skip


def as_json(request: Request, user: GetUserDep, world: Adapters = WORLD) -> Fleet:
    """Return each use case that the reader may see: state, champion, headline metric, value, incidents, next run."""
    return _seen(runs.facts(airflow_root(request)), user, world)


def _seen(known: runs.Facts, user: GetUserDep, world: Adapters) -> Fleet:
    from perennial.catalog import broken_use_cases, use_cases

    told = Told(known.next_runs, known.questions, (*mlflow_outage(world.settings.mlflow), *known.outages))
    found = fleet(use_cases(), broken_use_cases(), world, now=datetime.now(UTC), told=told)
    return seen_by(found, readable([row.case for row in found.rows], user))


def seen_by(found: Fleet, cases: Sequence[str] | frozenset[str]) -> Fleet:
    """Return the rows and incidents of some use cases alone."""
    rows = tuple(row for row in found.rows if row.case in cases)
    incidents = tuple(each for each in found.incidents if set(each.cases) & set(cases))
    return Fleet(found.at, rows, found.outages, incidents)


def mlflow_address(uri: str) -> str | None:
    """Return where MLflow's pages are, None where it is a file.

    >>> mlflow_address("http://mlflow:5000/"), mlflow_address("sqlite:///mlflow.db")
    ('http://mlflow:5000', None)
    """
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


def mlflow_outage(uri: str) -> tuple[str, ...]:
    """Return a sentence where the MLflow server does not answer, nothing where it does or is a file."""
    address = mlflow_address(uri)
    if address is None:
        return ()
    try:
        httpx.get(f"{address}/health", timeout=MLFLOW_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        why = type(error).__name__
        return (f"MLflow at {address} does not answer ({why}): its links do not work, and no model can be trained.",)
    return ()
