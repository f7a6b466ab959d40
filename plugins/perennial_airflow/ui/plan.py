"""What a backfill would touch, and its start.

The page saves nothing: a plan is saved by the run that applies it, or by `perennial backfill plan`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from perennial.changes import Product, Wanted
from perennial.errors import DataError
from perennial.views import backfillform, plan
from perennial.views.backfillform import Asked
from perennial.views.plan import PlanPage
from pydantic import BaseModel, Field

from perennial_airflow.ui import runs
from perennial_airflow.ui.cases import CASE, WORLD
from perennial_airflow.ui.security import ACTS, READS, can_start, dag_of
from perennial_airflow.ui.shown import airflow_root, back, show

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.spec import UseCase

PLACE = "/models/{case}/backfill"
DAG = "backfill"
MAY_START = Depends(can_start)


class Words(BaseModel):
    """What stands in the form, as text: what is wrong in it is told on the page."""

    first_day: str = ""
    last_day: str = ""
    what: list[str] = []
    which: str = "missing and stale"

    def read(self) -> Asked:
        """Return what is asked for; a DataError says what cannot be read."""
        return backfillform.read(self.first_day, self.last_day, self.what, self.which)


class Sought(Words):
    """What stands in the address of the page; with `tries`, sources are read to reckon with."""

    tries: str = ""


class Filled(Words):
    """What the form that applies sends."""

    mail_to: str = ""


class Question(BaseModel):
    """What stands in the address of the JSON."""

    first_day: date | None = Field(None, description="without it, only what the days ask for is told")
    last_day: date | None = Field(None, description="it is built too; the first day where none is given")
    what: list[Product] = Field(["features"], description="what is built")
    which: Wanted = Field("missing and stale", description="which of the days")
    tries: bool = Field(default=False, description="read the sources to reckon with, up to 20 seconds")


def add_routes(app: FastAPI) -> None:
    """Give the app the page, the same as JSON, and the form that applies."""
    app.add_api_route(PLACE, show_plan, response_class=HTMLResponse, include_in_schema=False, dependencies=READS)
    app.add_api_route(PLACE, apply, methods=["POST"], include_in_schema=False, dependencies=ACTS)
    app.add_api_route(f"/api{PLACE}", read_plan, response_model=PlanPage, tags=["models"], dependencies=READS)


def show_plan(
    request: Request,
    found: Annotated[Any, CASE],
    world: Annotated[Any, WORLD],
    may_start: Annotated[bool, MAY_START],
    sought: Annotated[Sought, Query()],
) -> HTMLResponse:
    """Return the page: what was asked for, else what the days ask for."""
    asked, refused = None, ""
    if sought.first_day or sought.last_day:
        try:
            asked = sought.read()
        except DataError as error:
            refused = str(error)
    made = _page(request, found, world, asked, refused=refused, tries=bool(sought.tries))
    dag = dag_of(found.name, DAG)
    return show(
        request, "plan.html", case=found.name, tab="Backfill", outages=made.outages, page=made, dag=dag,
        may_start=may_start,
    )  # fmt: skip


def read_plan(
    request: Request, found: Annotated[Any, CASE], world: Annotated[Any, WORLD], sought: Annotated[Question, Query()]
) -> PlanPage:
    """Return what a backfill would touch and cost, the days that ask for one, and earlier plans; nothing is saved."""
    asked, first = None, sought.first_day
    if first is not None:
        products = tuple(each for each in backfillform.PRODUCTS if each in sought.what)
        asked = Asked(first, sought.last_day or first, products, sought.which)
    return _page(request, found, world, asked, refused="", tries=sought.tries)


def apply(
    request: Request, found: Annotated[Any, CASE], world: Annotated[Any, WORLD], filled: Annotated[Filled, Form()]
) -> RedirectResponse:
    """Start the DAG that builds ranges with what the form asks for, in the reader's name, and lead back to the page."""
    try:
        asked = filled.read()
        newest = plan.newest_day(datetime.now(UTC))
        backfillform.check(asked, newest=newest, has_champion=plan.has_champion(found, world))
        conf = {**asked.to_json(), "dry_run": False, "mail_to": backfillform.address(filled.mail_to)}
    except DataError as error:
        raise HTTPException(422, detail=str(error)) from error
    days = f"{asked.first_day} to {asked.last_day}"
    note = f"Applied on the page Backfill: {days}, {', '.join(asked.what)}, {asked.which}."
    runs.start(request, dag_of(found.name, DAG), conf=conf, note=note)
    return back(request, f"/models/{quote(found.name, safe='')}/backfill#runs", done="backfill")


def _page(
    request: Request, found: UseCase, world: Adapters, asked: Asked | None, *, refused: str, tries: bool
) -> PlanPage:
    known = runs.of_ranges(airflow_root(request), found.name)
    return plan.page(found, world, asked=asked, refused=refused, now=datetime.now(UTC), runs=known, tries=tries)
