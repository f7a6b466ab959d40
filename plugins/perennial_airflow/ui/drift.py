"""The features of a use case against the champion's reference."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from perennial.errors import DataError
from perennial.views import drift as view
from perennial.views import feature as feature_view
from perennial.views.drift import DriftPage
from perennial.views.feature import FeaturePage
from perennial.views.references import Reference, References
from perennial.views.shelf import Shelf

from perennial_airflow.ui.asked import Day
from perennial_airflow.ui.cases import Case, World
from perennial_airflow.ui.models import mlflow_address
from perennial_airflow.ui.security import READS
from perennial_airflow.ui.shown import show

TAB = "Drift"
REFERENCES: References = Shelf[Reference](most=8)  # each a few megabytes: the counts of a champion's training


def add_routes(app: FastAPI) -> None:
    """Give the app the pages."""
    hidden: dict[str, Any] = {"response_class": HTMLResponse, "include_in_schema": False, "dependencies": READS}
    app.add_api_route("/models/{case}/drift", drift_page, **hidden)
    app.add_api_route("/models/{case}/drift/{name}", feature_page, **hidden)
    app.add_api_route("/api/models/{case}/drift", drift, response_model=DriftPage, dependencies=READS)
    app.add_api_route("/api/models/{case}/drift/{name}", feature, response_model=FeaturePage, dependencies=READS)


def drift(case: Case, world: World, day: Day) -> DriftPage:
    """Return a day against what the champion was trained on; without a day the newest that was looked at."""
    return view.page(case, day, world, references=REFERENCES)


def feature(case: Case, world: World, day: Day, name: str) -> FeaturePage:
    """Return one feature, or the score: its distribution beside the reference's, and its drift over the days."""
    try:
        return feature_view.page(case, name, day, world, references=REFERENCES)
    except DataError as error:
        raise HTTPException(404, detail=str(error)) from error


def drift_page(request: Request, case: Case, world: World, day: Day) -> HTMLResponse:
    """Return the Drift page."""
    found, mlflow = drift(case, world, day), mlflow_address(world.settings.mlflow)
    return show(request, "drift.html", case=case.name, tab=TAB, outages=found.outages, page=found, mlflow=mlflow)


def feature_page(request: Request, case: Case, world: World, day: Day, name: str) -> HTMLResponse:
    """Return the page of one feature."""
    found = feature(case, world, day, name)
    return show(request, "drift_feature.html", case=case.name, tab=TAB, outages=found.outages, page=found)
