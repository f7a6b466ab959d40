"""One prediction, explained.

The entity stands in the address, so that an explanation can be sent to a colleague; nothing here logs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import BackgroundTasks, FastAPI, Query, Request
from fastapi.responses import HTMLResponse
from perennial.views import links, prediction
from perennial.views.models import Loaded, Models
from perennial.views.prediction import Asked, PredictionPage
from perennial.views.shelf import Shelf

from perennial_airflow.ui import runs
from perennial_airflow.ui.asked import Day
from perennial_airflow.ui.cases import Case, World
from perennial_airflow.ui.models import mlflow_address
from perennial_airflow.ui.security import READS
from perennial_airflow.ui.shown import airflow_root, show

TAB = "Explain"
MODEL, ROWS = "model", "rows"  # parts that take a while
# Three use cases with their champion and the one before; each some megabytes, beside the libraries that all share.
MODELS: Models = Shelf[Loaded](most=6)

Entity = Annotated[str, Query(max_length=200, description="the entity's id")]
Rows = Annotated[bool, Query(description="also the source rows behind each feature, which takes some seconds")]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the page leads: MLflow's pages, Airflow's runs, and itself with more on it; None where that is nowhere."""

    model: str | None = None
    run: str | None = None
    scoring: str | None = None
    itself: str = ""


def add_routes(app: FastAPI) -> None:
    """Give the app the pages."""
    app.add_api_route(
        "/models/{case}/explain", explain_page, response_class=HTMLResponse, include_in_schema=False, dependencies=READS
    )
    app.add_api_route(
        "/api/models/{case}/explain", explain, response_model=PredictionPage, dependencies=READS
    )  # fmt: skip


def explain(case: Case, world: World, day: Day, entity: Entity = "", *, rows: Rows = False) -> PredictionPage:
    """Return a prediction, what made it, what each feature adds, and what other champions would have said."""
    asked = Asked(entity, day, datetime.now(UTC).date(), model=True, rows=rows)
    return prediction.page(case, asked, world, models=MODELS)


def explain_page(
    request: Request, background: BackgroundTasks, case: Case, world: World, day: Day, entity: Entity = "",
    part: str = "",
) -> HTMLResponse:  # fmt: skip
    """Return the Explain page: at once what lies in lake and ledger, the rest where the address asks for that part."""
    asked = Asked(entity, day, datetime.now(UTC).date(), model=part == MODEL, rows=part == ROWS)
    found = prediction.page(case, asked, world, models=MODELS)
    if not entity and found.newest is not None:
        # While the reader types, the libraries and the champion come to hand: the first time they take ten seconds.
        background.add_task(prediction.warm, case, world, models=MODELS)
    places = _places(request, found, world)
    return show(request, "explain.html", case=case.name, tab=TAB, outages=found.outages, page=found, places=places)


def _places(request: Request, found: PredictionPage, world: Any) -> Places:
    if found.scored is None:
        return Places()
    address, version = mlflow_address(world.settings.mlflow), found.scored.model_version
    run = None if found.origin is None else links.run(address, found.origin.run_id)
    query = urlencode({"entity": str(found.scored.entity), "day": str(found.scored.day)})
    scoring = None if found.scored.written is None else _scoring(request, found.case, found.scored.written.run)
    return Places(links.model_version(address, found.case, version), run, scoring, f"?{query}")


def _scoring(request: Request, case: str, run: str) -> str | None:
    """Return Airflow's page of the run that wrote the scores."""
    dag = runs.dags_of_runs(case, [run]).get(run)
    return None if dag is None else f"{airflow_root(request)}/dags/{quote(dag)}/runs/{quote(run, safe='')}"
