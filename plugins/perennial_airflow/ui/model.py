"""One use case - what happened to its model, and what can be done."""

from __future__ import annotations

from fastapi import FastAPI


def add_routes(app: FastAPI) -> None:
    """Give the app the pages."""
