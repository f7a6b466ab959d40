"""What a backfill would touch, and its start."""

from __future__ import annotations

from fastapi import FastAPI


def add_routes(app: FastAPI) -> None:
    """Give the app the pages."""
