"""Days of a source as they would be counted; a test names only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from perennial.core.vitals import Categories, Vitals

MONDAY = date(2026, 6, 1)
HISTORY = 35


def days_of(*, rows: Sequence[int] | int = 1000, last: date | None = None, **fields: Any) -> Vitals:
    """Return a month of days of the source `orders`, by default with 1,000 rows each; `rows` may be that of each."""
    counts = np.full(HISTORY + 1, rows) if isinstance(rows, int) else np.array(rows)
    days = tuple(MONDAY + timedelta(days=at) for at in range(counts.size))
    plain: dict[str, Any] = {"refused": np.zeros(counts.size, np.int64)}
    return Vitals("orders", last or days[-1], days, counts.astype(np.int64), **plain | fields)


def ending(value: Any, *, before: Any) -> np.ndarray:
    """Return a figure a day: `before` on each, and `value` on the last."""
    return np.array([before] * HISTORY + [value])


def texts(counts: dict[str, Sequence[int]], *, young: int = 0) -> Categories:
    """Return a column of texts; `young` rows of the last day have a new one."""
    column = np.column_stack([np.array(each) for each in counts.values()])
    new = ending(young, before=0)
    return Categories(tuple(counts), column, new, np.arange(HISTORY + 1) >= 14)
