"""Waiting for what a live stack does by itself, and looking at its pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from perennial.local.layout import Layout
from perennial.local.mailbox import Mail, mails

# Opens Airflow's pages, logged in as somebody.
Browser = Callable[[str], AbstractContextManager[Any]]
MAIL_SECONDS = 30.0


def await_mails(layout: Layout, *, since: datetime) -> list[Mail]:
    """Return the mails caught since then, as soon as there is one."""
    deadline = time.monotonic() + MAIL_SECONDS
    while not (found := mails(layout.mail, since=since)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def await_true(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait until something is so; the assertion fails where it does not become so."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert condition()
