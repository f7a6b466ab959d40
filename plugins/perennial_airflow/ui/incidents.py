"""What people do about incidents on the Models page, each kept in the ledger with their name; and the runbook."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from perennial.errors import LedgerError, RefusedError

from perennial_airflow.ui.security import MAY_ACT, SAME_ORIGIN, SHARED_HEADERS, USER
from perennial_airflow.ui.shown import back

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.raising import By

    Act = Callable[[Adapters, By], Any]

Reason = Annotated[str, Form(max_length=500)]
From = Annotated[str, Form(max_length=100)]
RUN = "Models page"


def add_routes(app: FastAPI) -> None:
    """Give the app the forms of incidents, and the runbook."""
    posted = {"methods": ["POST"], "dependencies": [MAY_ACT, SAME_ORIGIN], "include_in_schema": False}
    app.add_api_route("/incidents/{number}/acknowledge", acknowledge, **posted)  # type: ignore[arg-type]
    app.add_api_route("/incidents/{number}/snooze", snooze, **posted)  # type: ignore[arg-type]
    app.add_api_route("/runbook", runbook, response_class=HTMLResponse, include_in_schema=False)


def acknowledge(
    request: Request, number: int, reason: Reason, user: Annotated[str, USER], case: From = ""
) -> RedirectResponse:
    """Enter that the reader is at work on an incident, and return to the page."""
    from perennial.stages import handle

    _act(lambda adapters, by: handle.acknowledge(number, adapters, reason=reason, by=by), user)
    return back(request, f"{_page(case)}#incident-{number}", done="acknowledged")


def snooze(
    request: Request, number: int, reason: Reason, days: Annotated[int, Form()], user: Annotated[str, USER],
    case: From = "",
) -> RedirectResponse:  # fmt: skip
    """Enter that nobody is mailed about an incident for some days, and return to the page."""
    from perennial.stages import handle

    _act(lambda adapters, by: handle.snooze(number, adapters, days=days, reason=reason, by=by), user)
    return back(request, f"{_page(case)}#incident-{number}", done="snoozed")


def _page(case: str) -> str:
    """Return the page that the form was on: that of a use case, or the one of all."""
    return f"/models/{quote(case, safe='')}" if case else "/models"


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


def _act(act: Act, user: str) -> None:
    """Act in somebody's name.

    Raises:
        HTTPException: what is refused is told as it is; so is a ledger that does not answer.
    """
    from perennial.adapters import Adapters
    from perennial.raising import By

    try:
        act(Adapters.from_env(), By(user, RUN, datetime.now(UTC)))
    except RefusedError as error:
        raise HTTPException(409, detail=str(error)) from error
    except LedgerError as error:
        raise HTTPException(503, detail=str(error)) from error
