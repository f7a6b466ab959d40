"""Refused rows of a source as they are: whole, with all their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.records import Json, Record, Window
from perennial.spec import UseCase
from perennial.stages.quarantine import Chosen
from perennial.views import dataday
from perennial.views.lakeasking import Tables

if TYPE_CHECKING:
    from perennial.adapters import Adapters

LIMIT = 100


@dataclass(frozen=True, slots=True)
class RowsView(Record):
    """Rows in quarantine, up to `limit` of them: of a day, or the oldest of all days.

    Attributes:
        case: the use case.
        source: whose rows.
        day: the day that was asked for; None for all days.
        because: part of a reason that was asked for; empty for all.
        limit: how many are shown at most.
        rows: as `perennial quarantine show` prints them.
        outages: what cannot be read.
    """

    case: str
    source: str
    day: date | None
    because: str
    limit: int
    rows: tuple[Json, ...]
    outages: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of the rows that could be typed."""
        return columns(self.rows)


def run(case: UseCase, adapters: Adapters, *, source: str, day: date | None, because: str) -> RowsView:
    """Return refused rows.

    Args:
        case: whose rows.
        adapters: the lake.
        source: one of the use case's.
        day: only of this day.
        because: only with this text in a reason.
    """
    tables = Tables()
    chosen = Chosen(source, None if day is None else Window.of_day(day), reason=because or None)
    rows = dataday.samples(case, adapters, chosen, tables=tables, limit=LIMIT)
    return RowsView(case.name, source, day, because, LIMIT, rows, tables.outages)


def columns(rows: tuple[Json, ...]) -> tuple[str, ...]:
    """Return the columns of the rows that could be typed, in their order.

    >>> columns(({"row": {"a": 1, "b": 2}}, {"row": "what could not be read"}))
    ('a', 'b')
    """
    return tuple(dict.fromkeys(name for each in rows if isinstance(each["row"], dict) for name in each["row"]))
