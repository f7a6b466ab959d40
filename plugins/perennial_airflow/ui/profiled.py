"""What each feature of a use case holds, and how it changes over time: pages within the Data tab."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from perennial.errors import DataError
from perennial.views import features as view
from perennial.views.charts import spark
from perennial.views.features import FeaturesView, FeatureView, bars

from perennial_airflow.ui.cases import Case, World
from perennial_airflow.ui.security import READS
from perennial_airflow.ui.shown import show

FEATURES = "/models/{case}/data/features"
TAB = "Data"

Profile = Annotated[str, Query(description="name of a kept profile; default the newest")]


def add_routes(app: FastAPI) -> None:
    """Give the app the pages, and the same as JSON."""
    page: dict[str, Any] = {"response_class": HTMLResponse, "include_in_schema": False, "dependencies": READS}
    app.add_api_route(FEATURES, show_features, **page)
    app.add_api_route(f"{FEATURES}/{{feature:path}}", show_feature, **page)
    app.add_api_route(
        f"/api{FEATURES}", read_features, response_model=FeaturesView, dependencies=READS,
        summary="What each feature holds",
    )  # fmt: skip
    app.add_api_route(
        f"/api{FEATURES}/{{feature:path}}", read_feature, response_model=FeatureView, dependencies=READS,
        summary="What one feature holds",
    )  # fmt: skip


def read_features(case: Case, world: World, profile: Profile = "") -> FeaturesView:
    """Return what a profile says of all features."""
    try:
        return view.run(case, world.settings.pages_root, profile=profile)
    except DataError as error:
        raise HTTPException(404, detail=str(error)) from error


def read_feature(case: Case, world: World, feature: str, profile: Profile = "") -> FeatureView:
    """Return what a profile says of one feature."""
    try:
        return view.one(case, world.settings.pages_root, feature, profile=profile)
    except DataError as error:
        raise HTTPException(404, detail=str(error)) from error


def show_features(request: Request, case: Case, world: World, profile: Profile = "") -> HTMLResponse:
    """Return the page of all features."""
    found = read_features(case, world, profile)
    return show(
        request, "data_features.html", case=case.name, tab=TAB, outages=found.outages, view=found, spark=spark,
        bars=bars,
    )  # fmt: skip


def show_feature(
    request: Request, case: Case, world: World, feature: str, profile: Profile = ""
) -> HTMLResponse:  # fmt: skip
    """Return the page of one feature."""
    found = read_feature(case, world, feature, profile)
    return show(request, "data_feature.html", case=case.name, tab=TAB, view=found)
