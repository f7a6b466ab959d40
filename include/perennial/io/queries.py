"""The parameters of a database query: found, and replaced by what a driver binds; texts and comments are left alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

# Whatever a colon may stand in without being a parameter comes first, so that the parameter itself is the last group.
TOKENS = re.compile(
    r"'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|`[^`]*`"
    r"|--[^\n]*"
    r"|/\*.*?\*/"
    r"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"
    r"|::"
    r"|(?<![:\w]):(?P<parameter>[a-zA-Z_]\w*)",
    re.DOTALL,
)


Moment = date | datetime


@dataclass(frozen=True, slots=True)
class Window:
    """The bounds that a query is bound to, half-open; in the zone and type of the source's time column."""

    start: Moment
    end: Moment

    def parameters(self) -> dict[str, Moment]:
        """Return the bounds by the names that a query uses."""
        return {"start": self.start, "end": self.end}


def parameters(query: str) -> set[str]:
    """Return the names of the parameters that a query takes.

    >>> sorted(parameters("select '12:30', at::date from t where at >= :start and at < :end -- :no"))
    ['end', 'start']
    """
    return {found["parameter"] for found in TOKENS.finditer(query) if found["parameter"]}


def replaced(query: str, parameter: Callable[[str], str], other: Callable[[str], str] = str) -> str:
    """Return the query with each parameter replaced, and `other` applied to its texts, comments and casts.

    >>> replaced("at::date >= :start", lambda name: f"${name}")
    'at::date >= $start'
    """

    def replacement(found: re.Match[str]) -> str:
        return parameter(found["parameter"]) if found["parameter"] else other(found[0])

    return TOKENS.sub(replacement, query.rstrip().rstrip(";"))
