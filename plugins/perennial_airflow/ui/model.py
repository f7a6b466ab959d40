"""One use case: what happened to its model, and what can be done: train, roll back, handle its incidents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from perennial.views.fleet import Told, fleet
from perennial.views.model import SPANS, ModelPage
from perennial.views.model import model as view

from perennial_airflow.ui import runs
from perennial_airflow.ui.cases import CASE, WORLD
from perennial_airflow.ui.models import mlflow_address, mlflow_outage
from perennial_airflow.ui.security import ACTS, READS, can_start, dag_of
from perennial_airflow.ui.shown import airflow_root, back, show

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.spec import UseCase

PATH = "/models/{case}"
Reason = Annotated[str, Form(max_length=500)]
Days = Annotated[int, Query(ge=7, le=1100, description="how many days the axis has")]


def add_routes(app: FastAPI) -> None:
    """Give the app the page, its data, and what its buttons do."""
    app.add_api_route(PATH, model, response_class=HTMLResponse, include_in_schema=False, dependencies=READS)
    app.add_api_route(f"/api{PATH}", as_json, response_model=ModelPage, tags=["models"], dependencies=READS)
    posted = {"methods": ["POST"], "dependencies": ACTS, "include_in_schema": False}
    app.add_api_route(f"{PATH}/retrain", retrain, **posted)  # type: ignore[arg-type]
    app.add_api_route(f"{PATH}/rollback", roll_back, **posted)  # type: ignore[arg-type]


def model(
    request: Request, user: GetUserDep, days: Days = 90, case: UseCase = CASE, world: Adapters = WORLD
) -> HTMLResponse:
    """Return the page of a use case; what does not answer is said on it."""
    found, now = as_json(days, case, world), datetime.now(UTC)
    known = runs.facts(airflow_root(request), case=case.name)
    told = Told(known.next_runs, known.questions, (*mlflow_outage(world.settings.mlflow), *known.outages))
    glanced = fleet([case], {}, world, now=now, told=told, only=case.name)
    (row,) = glanced.rows
    return show(
        request, "model.html", case=case.name, tab="Model", page=found, row=row, declared=case, now=now, spans=SPANS,
        outages=tuple(dict.fromkeys((*glanced.outages, *found.outages))), runs_unknown=bool(known.outages),
        acts=can_start(case.name, user), mlflow=mlflow_address(world.settings.mlflow),
    )  # fmt: skip


def as_json(days: Days = 90, case: UseCase = CASE, world: Adapters = WORLD) -> ModelPage:
    """Return what was measured and what happened day by day, champions, the last contest, incidents and entries."""
    return view(case, world, today=datetime.now(UTC).date(), days=days)


def retrain(request: Request, case: str, reason: Reason) -> RedirectResponse:
    """Start a training on demand, in the reader's name and for the reason given."""
    why = _given(reason)
    runs.start(request, dag_of(case, "continuous_training"), conf={"reason": why}, note=why)
    return back(request, f"/models/{case}", done="training")


def roll_back(request: Request, case: str, to_version: Annotated[str, Form()], reason: Reason) -> RedirectResponse:
    """Start a rollback to a former champion, in the reader's name; its run checks everything and enters it."""
    why = _given(reason)
    conf = {"to_version": to_version, "reason": why}
    runs.start(request, dag_of(case, "rollback"), conf=conf, note=why)
    return back(request, f"/models/{case}", done="rollback")


def _given(reason: str) -> str:
    """Return the reason.

    Raises:
        HTTPException: 422 where there is none.
    """
    if not reason.strip():
        raise HTTPException(422, detail="A reason is needed: it is kept in the ledger beside your name.")
    return reason.strip()
