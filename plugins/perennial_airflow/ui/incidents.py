"""What people do about incidents on the Models page, each kept in the ledger with their name; and the runbook."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from perennial.errors import LedgerError, RefusedError

from perennial_airflow.ui.security import MAY_ACT, SAME_ORIGIN, SHARED_HEADERS, USER

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.raising import By

    Act = Callable[[Adapters, By], Any]

Reason = Annotated[str, Form(max_length=500)]
RUN = "Models page"


def add_routes(app: FastAPI) -> None:
    """Give the app the forms of incidents, and the runbook."""
    acting = [MAY_ACT, SAME_ORIGIN]
    app.add_api_route("/incidents/{number}/acknowledge", acknowledge, methods=["POST"], dependencies=acting)
    app.add_api_route("/incidents/{number}/snooze", snooze, methods=["POST"], dependencies=acting)
    app.add_api_route("/runbook", runbook, response_class=HTMLResponse)


def acknowledge(request: Request, number: int, reason: Reason, user: Annotated[str, USER]) -> RedirectResponse:
    """Enter that the reader is at work on an incident, and return to the page."""
    from perennial.stages import handle

    return _done(request, number, lambda adapters, by: handle.acknowledge(number, adapters, reason=reason, by=by), user)


def snooze(
    request: Request, number: int, reason: Reason, days: Annotated[int, Form()], user: Annotated[str, USER]
) -> RedirectResponse:
    """Enter that nobody is mailed about an incident for some days, and return to the page."""
    from perennial.stages import handle

    return _done(
        request, number, lambda adapters, by: handle.snooze(number, adapters, days=days, reason=reason, by=by), user
    )


def runbook() -> HTMLResponse:
    """Return what to do about each kind of incident, as a page."""
    from perennial.io.runbook import page

    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    try:
        text = page(nonce=nonce)
    except OSError as error:
        raise HTTPException(404, detail=f"docs/runbook.md is not deployed here: {error.strerror}.") from error
    return HTMLResponse(text, headers={**SHARED_HEADERS, "Content-Security-Policy": policy})


def _done(request: Request, number: int, act: Act, user: str) -> RedirectResponse:
    """Act, and lead back to the incident on the page; what is refused is told as it is."""
    from perennial.adapters import Adapters
    from perennial.raising import By

    try:
        act(Adapters.from_env(), By(user, RUN, datetime.now(UTC)))
    except RefusedError as error:
        raise HTTPException(409, detail=str(error)) from error
    except LedgerError as error:
        raise HTTPException(503, detail=str(error)) from error
    mounted: str = request.scope.get("root_path", "")
    return RedirectResponse(f"{mounted}/models#incident-{number}", status_code=303)
