"""What a benchmark claims: figures of one run, each held against a limit, and the one table that shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the table.

    Attributes:
        section: what part of the product it is about, such as "features, 10M events".
        figure: who did what, such as "a year by a range, against one day at a time in SQL".
        measured: the figure with its unit or ratio, such as "3.1x".
        limit: what was promised, such as "at least 2x"; empty where the figure is only told.
        holds: whether the promise is kept; True where there is none.
    """

    section: str
    figure: str
    measured: str
    limit: str = ""
    holds: bool = True


def peak() -> float:
    """Return this process's largest resident size in MB; `getrusage` would count its parent's before the exec."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def show(claims: Iterable[Claim]) -> int:
    """Print one table of all claims; return 1 where one does not hold."""
    claims = list(claims)
    table = Table("section", "figure", "measured", "limit", "")
    for claim in claims:
        verdict = "" if not claim.limit else "holds" if claim.holds else "FAILS"
        table.add_row(claim.section, claim.figure, claim.measured, claim.limit, verdict)
    Console(width=130).print(table)
    return 0 if all(claim.holds for claim in claims) else 1
