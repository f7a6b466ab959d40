"""How a page is sent: its template, its tabs, its scripts and styles from here alone, and a policy that holds that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from perennial_airflow.ui.security import SHARED_HEADERS

# No script, style or address but those of this server; forms go to it alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
KINDS = {".css": "text/css", ".js": "text/javascript"}
TABS = {"Model": "", "Data": "/data", "Drift": "/drift", "Explain": "/explain", "Backfill": "/backfill"}


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of a use case."""

    name: str
    href: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is: what it needs to link to other pages, and to Airflow.

    Attributes:
        root: path that Airflow itself is served under; empty where that is the root.
        case: use case that the page is about; empty for pages about all.
        tab: which of its pages it is.
    """

    root: str
    case: str = ""
    tab: str = ""

    @property
    def base(self) -> str:
        """Return the path of Perennial's pages."""
        return f"{self.root}/perennial"

    @property
    def tabs(self) -> tuple[Tab, ...]:
        """Return the pages of the use case."""
        return tuple(Tab(name, f"{self.model(self.case)}{path}") for name, path in TABS.items()) if self.case else ()

    def static(self, name: str) -> str:
        """Return the address of a script or style; it changes with its content, so that browsers may keep it."""
        return f"{self.base}/static/{name}?v={_versions()[name]}"

    def model(self, case: str) -> str:
        """Return the address of a use case's page."""
        return f"{self.base}/models/{quote(case, safe='')}"

    def page(self, path: str) -> str:
        """Return the address of a page that a stage has written."""
        return f"{self.base}/pages/{quote(path)}"


def airflow_root(request: Request) -> str:
    """Return the path that Airflow itself is served under; empty where that is the root."""
    mounted: str = request.scope.get("root_path", "")
    return mounted.removesuffix("/perennial")


def show(
    request: Request, template: str, *, case: str = "", tab: str = "", outages: Sequence[str] = (), status: int = 200,
    **values: Any,
) -> HTMLResponse:  # fmt: skip
    """Return a page.

    Args:
        request: asks for it.
        template: extends `frame.html`; finds where it is in `at`.
        case: use case that it is about.
        tab: one of `TABS`.
        outages: what does not answer, a sentence each.
        status: HTTP's.
        values: what the template shows.
    """
    from perennial.io.pages import render

    at = Place(airflow_root(request), case, tab)
    text = render(template, at=at, outages=outages, done=_told(request), **values)
    return HTMLResponse(text, status_code=status, headers={**SHARED_HEADERS, "Content-Security-Policy": POLICY})


def back(request: Request, path: str, *, done: str = "") -> RedirectResponse:
    """Send the browser to a page of ours after a form, with what was done.

    Args:
        request: sent the form.
        path: below `/perennial`; may end in a fragment.
        done: a key of `DONE`.
    """
    address, _, fragment = path.partition("#")
    asked = f"?done={done}" if done else ""
    return RedirectResponse(
        f"{airflow_root(request)}/perennial{address}{asked}{f'#{fragment}' if fragment else ''}", status_code=303
    )


# What a page says after a form; the address carries the key alone, so that nobody can make a page say anything else.
DONE = {
    "acknowledged": "Entered in the ledger: you are at work on it.",
    "snoozed": "Entered in the ledger: no mails about it until then, but for its end.",
    "training": "Airflow has started the training; it shows here once it is done.",
    "rollback": "Airflow has started the rollback; the champion changes in a moment.",
    "backfill": "Airflow has started the backfill.",
    "redrive": "Airflow has started to re-drive the rows.",
    "built": "Airflow has started to build the day again.",
}


def _told(request: Request) -> str:
    return DONE.get(request.query_params.get("done", ""), "")


def static(name: str) -> FileResponse:
    """Return a script or style of the pages; its address names its content, so it may be kept for a year."""
    if name not in _versions():
        raise HTTPException(404, detail="There is no such file.")
    file = _folder() / name
    kept = {**SHARED_HEADERS, "Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(file, media_type=KINDS[file.suffix], headers=kept)


def _folder() -> Path:
    import perennial

    return Path(perennial.__file__).parent / "static"


@cache
def _versions() -> dict[str, str]:
    """Return sixteen hex digits of the content of each file that is handed out."""
    files = (file for file in _folder().iterdir() if file.suffix in KINDS)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}
