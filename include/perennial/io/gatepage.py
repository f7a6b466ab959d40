"""The page of a gate report: one file without scripts or outside links; and the table of it that a mail carries."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass

from perennial import cards
from perennial.io.pages import render
from perennial.verdicts import GateReport, GateResult

WIDTH, ROOM = 200.0, 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an interval and its limit lie in a picture of `WIDTH`."""

    low: float
    high: float
    limit: float


def path(report: GateReport) -> str:
    """Return where the page lies below the folder of pages; another champion is another page."""
    return f"gates/{report.case}/version-{report.version}-against-{report.champion or 'none'}.html"


def page(report: GateReport, *, title: str, pictures: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        report: what was judged.
        title: of the use case.
        pictures: PNGs by name, shown below the table.
    """
    encoded = {name: base64.b64encode(png).decode() for name, png in pictures.items()}
    rows = [(result, place(result)) for result in report.results]
    card = f"../../{cards.path(report.case, report.version)}"
    return render("gates.html", report=report, title=title, rows=rows, pictures=encoded, card=card)


def mail_table(report: GateReport) -> str:
    """Return the gates as a table for a mail: styles inline, no pictures, verdicts in words."""
    return render("gates_mail.html", report=report)


def place(result: GateResult) -> Place | None:
    """Return where a result's interval and limit are drawn, None where it has no interval.

    >>> place(GateResult("gain", 1.0, 0.0, 1.0, low=1.0, high=2.0))
    Place(low=100.0, high=190.0, limit=10.0)
    """
    if result.low is None or result.high is None:
        return None
    ends = (result.low, result.high, result.limit)
    if not all(math.isfinite(end) for end in ends):
        return None
    least, span = min(ends), (max(ends) - min(ends)) or 1.0
    return Place(*(round(ROOM + (end - least) / span * (WIDTH - 2 * ROOM), 1) for end in ends))
