"""Tabs of Airflow's DAG and run pages: each leads to the page of the use case that the DAG belongs to."""

from __future__ import annotations

from datetime import date

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from perennial_airflow.ui import runs
from perennial_airflow.ui.shown import Place, airflow_root, show

PAGES = {"model": "", "data": "/data", "drift": "/drift", "backfill": "/backfill", "explain": "/explain"}


def add_routes(app: FastAPI) -> None:
    """Give the app the tabs."""
    app.add_api_route("/dags/{dag_id}/{tab}", tab, include_in_schema=False)
    app.add_api_route("/dags/{dag_id}/runs/{run_id:path}/{tab}", tab_of_run, include_in_schema=False)


def tab(request: Request, dag_id: str, tab: str) -> Response:
    """Lead to a page of the use case of a DAG; say so where the DAG belongs to none."""
    return _lead(request, dag_id, tab)


def tab_of_run(request: Request, dag_id: str, run_id: str, tab: str) -> Response:
    """Lead to a page of the use case of a run's DAG, at the day that the run builds."""
    return _lead(request, dag_id, tab, day=runs.day_of_run(dag_id, run_id))


def _lead(request: Request, dag_id: str, tab: str, *, day: date | None = None) -> Response:
    from perennial.catalog import names

    if tab not in PAGES:
        raise HTTPException(404, detail=f"There is no tab {tab[:40]!r}.")
    case, separator, _ = dag_id.rpartition("__")
    if not separator or case not in names():
        return show(request, "no_case.html", dag_id=dag_id)
    asked = f"?day={day}" if day else ""
    return RedirectResponse(f"{Place(airflow_root(request)).model(case)}{PAGES[tab]}{asked}", status_code=303)
