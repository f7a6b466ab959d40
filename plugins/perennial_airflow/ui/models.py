"""All use cases at a glance: the Models page."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

from perennial_airflow.ui.security import SHARED_HEADERS
from perennial_airflow.ui.shown import airflow_root

MLFLOW_SECONDS = 2.0


def add_routes(app: FastAPI) -> None:
    """Give the app the page."""
    app.add_api_route("/models", models, response_class=HTMLResponse, include_in_schema=False)


def models(request: Request) -> HTMLResponse:
    """Return the Models page; what does not answer is said on it."""
    from perennial.adapters import Adapters
    from perennial.catalog import broken_use_cases, use_cases
    from perennial.io.pages import render
    from perennial.overview import overview

    adapters, nonce = Adapters.from_env(), secrets.token_urlsafe(16)
    uri = adapters.settings.mlflow
    address = uri.rstrip("/") if uri.startswith(("http://", "https://")) else None
    outages = mlflow_outage(address) if address else ()
    found = overview(use_cases(), broken_use_cases(), adapters, now=datetime.now(UTC), outages=outages)
    text = render("models.html", overview=found, root=airflow_root(request), mlflow=address, nonce=nonce, cards={})
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    )
    return HTMLResponse(text, headers={**SHARED_HEADERS, "Content-Security-Policy": policy})


def mlflow_outage(address: str) -> tuple[str, ...]:
    """Return a sentence where the MLflow server does not answer, nothing where it does."""
    try:
        httpx.get(f"{address}/health", timeout=MLFLOW_SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        why = type(error).__name__
        return (f"MLflow at {address} does not answer ({why}): its links do not work, and no model can be trained.",)
    return ()
