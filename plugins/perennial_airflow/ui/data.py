"""The days of a use case's data: a calendar, one day in detail, refused rows; days are built and rows re-driven here.

| address | shows |
|---|---|
| `/models/{case}/data` | the calendar, the sources, row counts, refused rows |
| `/models/{case}/data/{day}` | one day: its snapshot, its sources and their checks, its lineage |
| `/models/{case}/data/quarantine` | refused rows, whole |
| `/models/{case}/data/features` | what each feature holds (`profiled`) |
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from perennial.spec import UseCase
from perennial.views import data as data_view
from perennial.views import dataday, quarantined
from perennial.views.data import DataView
from perennial.views.dataday import DayView
from perennial.views.features import bars
from perennial.views.quarantined import RowsView
from pydantic import BaseModel

from perennial_airflow.ranges import ALL_SOURCES, CHECK_AGAIN, READ_AGAIN
from perennial_airflow.ui import profiled, runs
from perennial_airflow.ui.cases import Case, World
from perennial_airflow.ui.security import ACTS, READS, USER, can_start, dag_of
from perennial_airflow.ui.shown import airflow_root, back, show

DATA = "/models/{case}/data"
TAB = "Data"
HOWS = (CHECK_AGAIN, READ_AGAIN)

FIRST, LAST = date(1970, 1, 1), date(2999, 12, 31)  # beyond them arithmetic with days may end

MayStart = Annotated[bool, Depends(can_start)]
User = Annotated[str, USER]


class Redrive(BaseModel):
    """What the form that re-drives rows sends, as text: what is wrong in it is told."""

    source: str = ALL_SOURCES
    first_day: str = ""
    last_day: str = ""
    because: str = ""
    how: str = CHECK_AGAIN
    reason: str = ""


def day_of(text: str, *, what: str = "day") -> date:
    """Return the day that an address or a form names.

    Raises:
        HTTPException: 422 where it is none.
    """
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        found = None
    if found is None or not FIRST <= found <= LAST:
        raise HTTPException(422, detail=f"{what} is written as 2026-01-31, got {text[:40]!r}.")
    return found


def named_day(day: Annotated[str, Path()]) -> date:
    """Return the day that the path names."""
    return day_of(day)


def last_day(
    until: Annotated[str, Query(description="a day of the last month shown; default this month")] = "",
) -> date | None:
    """Return the day of which the month is the last to show."""
    return day_of(until, what="until") if until else None


Day = Annotated[date, Depends(named_day)]
Until = Annotated[date | None, Depends(last_day)]


def add_routes(app: FastAPI) -> None:
    """Give the app the pages, the same as JSON, and the forms."""
    page: dict[str, Any] = {"response_class": HTMLResponse, "include_in_schema": False, "dependencies": READS}
    form: dict[str, Any] = {"methods": ["POST"], "include_in_schema": False, "dependencies": ACTS}
    app.add_api_route(DATA, show_data, **page)
    app.add_api_route(f"{DATA}/quarantine", show_rows, **page)
    app.add_api_route(f"{DATA}/redrive", redrive, **form)
    app.add_api_route(f"/api{DATA}", read_data, response_model=DataView, dependencies=READS, summary="Days of the data")
    app.add_api_route(
        f"/api{DATA}/quarantine", read_rows, response_model=RowsView, dependencies=READS, summary="Refused rows"
    )
    profiled.add_routes(app)
    app.add_api_route(f"{DATA}/{{day}}", show_day, **page)
    app.add_api_route(f"{DATA}/{{day}}/build", build, **form)
    app.add_api_route(
        f"/api{DATA}/{{day}}", read_day, response_model=DayView, dependencies=READS, summary="One day of the data"
    )


def read_data(case: Case, world: World, until: Until) -> DataView:
    """Return four months of days with their states, the sources, row counts, and refused rows by reason."""
    return data_view.run(case, world, now=datetime.now(UTC), until=until)


def read_day(case: Case, world: World, day: Day) -> DayView:
    """Return one day: its snapshot, what each source holds of it, refused rows, and its lineage."""
    return dataday.run(case, day, world, now=datetime.now(UTC))


def read_rows(
    case: Case, world: World, source: str, day: Annotated[str, Query()] = "", because: str = ""
) -> RowsView:  # fmt: skip
    """Return refused rows of a source, whole, up to a hundred: of a day, or the oldest."""
    if source not in {each.name for each in case.sources}:
        raise HTTPException(404, detail=f"{case.name} has no source {source[:60]!r}.")
    return quarantined.run(case, world, source=source, day=day_of(day) if day else None, because=because)


def show_data(
    request: Request, case: Case, world: World, until: Until, may_start: MayStart, day: Annotated[str, Query()] = ""
) -> Response:
    """Return the page; a run's tab asks for its day, and is led there."""
    if day:
        return RedirectResponse(f"{airflow_root(request)}/perennial{_path(case)}/{day_of(day)}", status_code=303)
    view = read_data(case, world, until)
    return show(
        request, "data.html", case=case.name, tab=TAB, outages=view.outages, view=view, may_start=may_start,
        all_sources=ALL_SOURCES, hows=HOWS, bars=bars, deadline=case.alerts.deadline_hours,
    )  # fmt: skip


def show_day(request: Request, case: Case, world: World, day: Day, may_start: MayStart) -> HTMLResponse:
    """Return the page of one day."""
    view = read_day(case, world, day)
    by = {view.written.first_run, view.written.last_run} if view.written else set()
    return show(
        request, "data_day.html", case=case.name, tab=TAB, outages=view.outages, view=view, may_start=may_start,
        hows=HOWS, all_sources=ALL_SOURCES, dags=runs.dags_of_runs(case.name, by), columns=quarantined.columns,
    )  # fmt: skip


def show_rows(
    request: Request, case: Case, world: World, may_start: MayStart, source: str = "", day: str = "", because: str = ""
) -> HTMLResponse:
    """Return the page of refused rows."""
    view = read_rows(case, world, source, day, because)
    return show(
        request, "data_quarantine.html", case=case.name, tab=TAB, outages=view.outages, view=view,
        may_start=may_start, hows=HOWS, all_sources=ALL_SOURCES,
    )  # fmt: skip


def build(request: Request, case: Case, day: Day, user: User) -> RedirectResponse:
    """Start the run that fetches a day's sources and builds its snapshot, and return to the day."""
    runs.start(request, dag_of(case.name, "feature_build"), key=day, note=f"Asked for on the Data page by {user}.")
    return back(request, f"{_path(case)}/{day}", done="built")


def redrive(request: Request, case: Case, asked: Annotated[Redrive, Form()]) -> RedirectResponse:
    """Start the run that holds refused rows against the suite again, and return to the calendar."""
    sources = {ALL_SOURCES, *(each.name for each in case.sources)}
    if asked.source not in sources or asked.how not in HOWS:
        raise HTTPException(422, detail=f"There is no source {asked.source[:60]!r}, or no way {asked.how[:60]!r}.")
    first, last = (day_of(text, what="a day") if text else None for text in (asked.first_day, asked.last_day))
    if first and last and last < first:
        raise HTTPException(422, detail=f"The first day {first} is after the last day {last}. Swap them.")
    reason = asked.reason.strip()[:500]
    if not reason:
        raise HTTPException(422, detail="A re-drive needs a reason, which is kept with the rows.")
    conf = {
        "source": asked.source, "how": asked.how, "because": asked.because or None, "reason": reason,
        "first_day": first and first.isoformat(), "last_day": last and last.isoformat(),
    }  # fmt: skip
    runs.start(request, dag_of(case.name, "redrive"), conf=conf, note=reason)
    return back(request, f"{_path(case)}#quarantine", done="redrive")


def _path(case: UseCase) -> str:
    return f"/models/{quote(case.name, safe='')}/data"
