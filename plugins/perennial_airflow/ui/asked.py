"""What an address asks for, as arguments of routes: the use case, the outside world, and a day."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Query
from perennial.spec import UseCase

from perennial_airflow.ui.cases import CASE, WORLD

FIRST, LAST = date(1900, 1, 1), date(2999, 12, 31)  # what a Delta table and a chart can take without trouble
SHOWN = 40


def asked_day(
    day: Annotated[str, Query(description="a day, as in 2026-03-01", json_schema_extra={"format": "date"})] = "",
) -> date | None:
    """Return the day, None where the address names none: a form without one sends an empty text.

    Raises:
        HTTPException: 422 where it is no day.
    """
    if not day.strip():
        return None
    try:
        found = date.fromisoformat(day.strip())
    except ValueError:
        found = None
    if found is None or not FIRST <= found <= LAST:
        raise HTTPException(422, detail=f"{day[:SHOWN]!r} is no day. Write it as in 2026-03-01.")
    return found


# Routes read these when the app is made: so the world is no `Adapters`, which would load the lake with them.
Case = Annotated[UseCase, CASE]
World = Annotated[Any, WORLD]
Day = Annotated[date | None, Depends(asked_day)]
