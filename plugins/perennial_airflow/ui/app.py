"""The app under `/perennial` of Airflow's API server: the Models page and the report pages, for people with a login."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as AnyHttpError

from perennial_airflow.ui import incidents
from perennial_airflow.ui.security import LOGIN, SHARED_HEADERS

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
MLFLOW_SECONDS = 2.0


def make_app() -> FastAPI:
    """Return the app; every route of it needs a login."""
    app = FastAPI(title="Perennial", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[LOGIN])
    app.add_api_route("/models", models, response_class=HTMLResponse)
    app.add_api_route("/pages/{path:path}", page)
    incidents.add_routes(app)
    app.exception_handler(AnyHttpError)(refuse)
    return app


def models(request: Request) -> HTMLResponse:
    """Return the Models page; what does not answer is said on it."""
    from perennial import cards
    from perennial.adapters import Adapters
    from perennial.catalog import broken_use_cases, use_cases
    from perennial.io.pages import render
    from perennial.overview import overview

    adapters, nonce = Adapters.from_env(), secrets.token_urlsafe(16)
    uri = adapters.settings.mlflow
    address = uri.rstrip("/") if uri.startswith(("http://", "https://")) else None
    outages = mlflow_outage(address) if address else ()
    found = overview(use_cases(), broken_use_cases(), adapters, now=datetime.now(UTC), outages=outages)
    champions = {row.case: cards.path(row.case, row.champion) for row in found.rows if row.champion}
    written = {case: path for case, path in champions.items() if inside(adapters.settings.pages_root, path)}
    root = airflow_root(request)
    text = render("models.html", overview=found, root=root, mlflow=address, nonce=nonce, cards=written)
    acting = NEVER.replace("form-action 'none'", "form-action 'self'")  # the forms of incidents
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; {acting}"
    return HTMLResponse(text, headers={**SHARED_HEADERS, "Content-Security-Policy": policy})


def page(path: str) -> Response:
    """Return a page below the folder of pages; anything else does not exist."""
    from perennial.settings import load_settings

    file = inside(load_settings().pages_root, path)
    if file is None:
        raise HTTPException(404, detail=f"There is no page {path!r}.")
    headers = {**SHARED_HEADERS, "Content-Security-Policy": REPORT_POLICY}
    return FileResponse(file, media_type=KINDS[file.suffix], headers=headers)


def inside(folder: Path, path: str) -> Path | None:
    """Return the file that `path` names below `folder`, None where it leads out of it or is no page."""
    if "\0" in path:
        return None
    root = folder.resolve()
    file = (root / path).resolve()
    return file if file.is_relative_to(root) and file.suffix in KINDS and file.is_file() else None


def mlflow_outage(address: str) -> tuple[str, ...]:
    """Return a sentence where the MLflow server does not answer, nothing where it does."""
    try:
        httpx.get(f"{address}/health", timeout=MLFLOW_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        why = type(error).__name__
        return (f"MLflow at {address} does not answer ({why}): its links do not work, and no model can be trained.",)
    return ()


def airflow_root(request: Request) -> str:
    """Return the path that Airflow itself is served under; empty where that is the root."""
    mounted: str = request.scope.get("root_path", "")
    return mounted.removesuffix("/perennial")


async def refuse(request: Request, error: AnyHttpError) -> Response:
    """Send a browser without a login to the login page and back here; answer everything else as JSON.

    Who sent a form comes back to the Models page: what was in the form is lost, and its address has no page.
    """
    assert isinstance(error, AnyHttpError)  # noqa: S101  registered for it alone
    if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
        below = _below(request) if request.method == "GET" else "/models"
        here = quote(f"{request.scope.get('root_path', '')}{below}", safe="/")
        return RedirectResponse(f"{airflow_root(request)}/api/v2/auth/login?next={here}", status_code=303)
    return await http_exception_handler(request, error)


def _below(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))
