"""What was kept of the checks of a day: how many expectations were met, which were not, and where the page is.

`io.expectations` writes both; this reads them without Great Expectations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from perennial.errors import DataError
from perennial.records import Record


@dataclass(frozen=True, slots=True)
class Unmet(Record):
    """An expectation that was not met: its reason, its severity, and how many of the looked at rows broke it."""

    reason: str
    severity: str
    unexpected: int | None
    rows: int | None
    observed: str


@dataclass(frozen=True, slots=True)
class Validated(Record):
    """The newest checks of one day of a source; `page` is below the pages folder."""

    source: str
    page: str
    expectations: int
    met: int
    unmet: tuple[Unmet, ...]


def place_of(case: str, source: str, day: date) -> str:
    """Return the path of the checks of a day below the pages folder, without its ending."""
    return f"validation/{case}/{source}/{day}"


def validated(pages: Path, case: str, source: str, day: date) -> Validated | None:
    """Return what was kept of the checks of a day; None where nothing was.

    Raises:
        DataError: the file is there and says nothing that can be read.
    """
    place = place_of(case, source, day)
    file = pages / f"{place}.json"
    if not file.is_file():
        return None
    try:
        told = json.loads(file.read_text("utf-8"))
        outcomes = told["results"]
        unmet = tuple(_unmet(each) for each in outcomes if not each["success"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"The checks of {source} of {day} cannot be read, {file.name}: {type(error).__name__}. "
            f"`perennial validate {case} {day}` makes them again."
        ) from error
    return Validated(source, f"{place}.html", len(outcomes), len(outcomes) - len(unmet), unmet)


def _unmet(outcome: Mapping[str, Any]) -> Unmet:
    declared, result = outcome["expectation_config"], outcome["result"]
    reason = (declared.get("meta") or {}).get("reason") or declared["type"]
    observed = result.get("observed_value")
    return Unmet(
        str(reason), str(declared.get("severity") or "critical"), result.get("unexpected_count"),
        result.get("element_count"), "" if observed is None else str(observed),
    )  # fmt: skip
