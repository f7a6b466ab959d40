"""Which days the monitor has looked at, and what it found in a word; a part of the ledger (`perennial.io.ledger`).

Read from columns alone: a year of days costs as much as one finding with its measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from perennial.io.entries import metadata
from perennial.io.ledger import Ledger
from perennial.records import Record


@dataclass(frozen=True, slots=True)
class Looked(Record):
    """A day that was looked at: the newest look's verdict, and the champion of then; empty where there was none."""

    day: date
    verdict: str
    model_version: str


def days(case: str, ledger: Ledger) -> tuple[Looked, ...]:
    """Return the days of a use case that were looked at, oldest first.

    Raises:
        LedgerError: the ledger does not answer.
    """
    found = metadata.tables["ledger_monitors"]
    newest = sa.select(sa.func.max(found.c.id)).where(found.c.case == case).group_by(found.c.day)
    query = sa.select(found.c.day, found.c.verdict, found.c.model_version).where(found.c.id.in_(newest))
    with ledger.transaction() as connection:
        rows = connection.execute(query.order_by(found.c.day)).all()
    return tuple(Looked(row.day, row.verdict, row.model_version) for row in rows)
