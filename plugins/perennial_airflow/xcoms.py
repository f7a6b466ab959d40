"""What tasks hand on: records as plain data, and the extra of asset events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from perennial.records import Record


def storable(value: Any) -> Any:
    """Return plain data with None in place of NaN and infinities, which JSON columns of Postgres refuse."""
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def xcom(record: Record) -> dict[str, Any]:
    """Return a record as an XCom can carry it."""
    return dict(storable(record.to_json()))


def tell(context: Mapping[str, Any], outlets: Iterable[Any], **extra: Any) -> None:
    """Put `extra` on the events that the task emits for its outlets when it succeeds."""
    for asset in outlets:
        context["outlet_events"][asset].extra = extra
