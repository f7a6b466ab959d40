"""The day that the address of a page asks for, where it may name none."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import Depends, Query

from perennial_airflow.ui.data import day_of


def asked_day(
    day: Annotated[str, Query(description="a day, as in 2026-03-01", json_schema_extra={"format": "date"})] = "",
) -> date | None:
    """Return the day, None where the address names none: a form without one sends an empty text.

    Raises:
        HTTPException: 422 where it is no day.
    """
    return day_of(day) if day.strip() else None


Day = Annotated[date | None, Depends(asked_day)]
