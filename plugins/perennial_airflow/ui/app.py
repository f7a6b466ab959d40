"""The app under `/perennial` of Airflow's API server: pages for people with a login, and the same as JSON.

| module | shows |
|---|---|
| `models` | all use cases, and what can be done about incidents |
| `model` | one use case: what happened to its model, and its buttons |
| `data` | the days of its data |
| `drift` | its features against the champion's reference |
| `explain` | one prediction |
| `plan` | what a backfill would touch |
| `tabs` | the same pages as tabs of its DAGs and runs |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHttpError

from perennial_airflow.ui import data, drift, explain, incidents, model, models, plan, tabs
from perennial_airflow.ui.security import LOGIN, SHARED_HEADERS, may_read
from perennial_airflow.ui.shown import airflow_root, show, static

# Markdown as plain text: browsers show it, and take nothing in it for a page.
KINDS = {".html": "text/html", ".json": "application/json", ".md": "text/plain", ".png": "image/png"}
NEVER = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
# A report brings scripts of its own, made of data. The sandbox gives it no origin: it can draw, but neither use the
# reader's session nor send anything anywhere.
REPORT_POLICY = (
    "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    f"{NEVER}"
)
API = "/api/"
PROBLEMS = {
    403: "This page is not for you",
    404: "There is no such page",
    409: "That is not possible now",
    422: "Something in the address or form is wrong",
    503: "Something does not answer",
}


def make_app() -> FastAPI:
    """Return the app; every route of it needs a login."""
    # The description is a route of its own below: FastAPI's would need no login, and its viewer loads from a CDN.
    app = FastAPI(
        title="Perennial", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[LOGIN],
        description="What the pages inside Airflow show, as JSON.",
    )  # fmt: skip
    app.add_api_route("/pages/{path:path}", page, include_in_schema=False)
    app.add_api_route("/static/{name}", static, include_in_schema=False)
    app.add_api_route("/openapi.json", lambda: _description(app), include_in_schema=False)
    for part in (models, model, data, drift, explain, plan, incidents, tabs):
        part.add_routes(app)
    app.exception_handler(AnyHttpError)(refuse)
    app.exception_handler(RequestValidationError)(doubt)
    return app


def _description(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def page(path: str, user: GetUserDep) -> Response:
    """Return a page below the folder of pages, to who may read its use case; anything else does not exist.

    Raises:
        HTTPException: 404; 403 where the use case, the second part of the path, is not for the reader.
    """
    from perennial.settings import load_settings

    root = load_settings().pages_root
    file = inside(root, path)
    if file is None:
        raise HTTPException(404, detail=f"There is no page {path!r}.")
    _, _, case = str(file.relative_to(root.resolve())).partition("/")
    may_read(case.partition("/")[0], user)
    headers = {**SHARED_HEADERS, "Content-Security-Policy": REPORT_POLICY}
    return FileResponse(file, media_type=KINDS[file.suffix], headers=headers)


def inside(folder: Path, path: str) -> Path | None:
    """Return the file that `path` names below `folder`, None where it leads out of it or is no page."""
    if "\0" in path:
        return None
    root = folder.resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) and file.suffix in KINDS and file.is_file() else None


async def refuse(request: Request, error: AnyHttpError) -> Response:
    """Send a browser without a login to the login page and back here; show it a page for other refusals.

    Who sent a form comes back to the Models page: what was in the form is lost, and its address has no page. A program,
    and whoever asks below `/api/`, gets JSON.
    """
    assert isinstance(error, AnyHttpError)  # noqa: S101  registered for it alone
    below = _below(request)
    if not _is_read_by_people(request):
        return await http_exception_handler(request, error)
    if error.status_code == 401:
        here = quote(f"{request.scope.get('root_path', '')}{below if request.method == 'GET' else '/models'}", safe="/")
        return RedirectResponse(f"{airflow_root(request)}/api/v2/auth/login?next={here}", status_code=303)
    head = PROBLEMS.get(error.status_code, "Something went wrong")
    return show(request, "problem.html", status=error.status_code, head=head, told=str(error.detail))


async def doubt(request: Request, error: Exception) -> Response:
    """Say what of an address or a form cannot be used; to a program as JSON."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it alone
    if not _is_read_by_people(request):
        return await request_validation_exception_handler(request, error)
    told = "; ".join(f"{'.'.join(str(part) for part in each['loc'][1:])}: {each['msg']}" for each in error.errors())
    return show(request, "problem.html", status=422, head=PROBLEMS[422], told=told[:2000])


def _is_read_by_people(request: Request) -> bool:
    """Tell whether a browser asks for a page."""
    return not _below(request).startswith(API) and "text/html" in request.headers.get("accept", "")


def _below(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
