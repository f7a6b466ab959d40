"""Who was champion when, why and by whom: from the ledger alone, also of a use case that was deleted since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.errors import DataError, nearest
from perennial.io.entries import Entry
from perennial.records import Record

if TYPE_CHECKING:
    from perennial.io.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Reign(Record):
    """A version's time as the champion: `since` is in it, `until` is not, and None where it goes on.

    `by` is the entry that made it champion, `ended_by` the one that ended it, `evaluation` the gate report before `by`.
    """

    case: str
    version: str
    since: datetime
    until: datetime | None
    by: Entry
    ended_by: Entry | None
    evaluation: Entry | None


def at(case: str, moment: datetime, ledger: Ledger) -> Reign | None:
    """Return who was champion at a moment, None where nobody was.

    Args:
        case: its name; its folder need not be there any more.
        moment: with its time zone; a decision counts from its own moment on.
        ledger: the ledger.

    Raises:
        DataError: the ledger has no entry about such a use case.
        LedgerError: the ledger does not answer.
    """
    known = ledger.cases()
    if case not in known:
        raise DataError(f"The ledger has no entry about a use case {case!r}. {nearest(case, known)}")
    crownings = ledger.reigns(case)
    number = max((index for index, each in enumerate(crownings) if each.at <= moment), default=None)
    if number is None:
        return None
    entry, successor = crownings[number], next(iter(crownings[number + 1 :]), None)
    return Reign(
        case=case,
        version=str(entry.to_version),
        since=entry.at,
        until=successor.at if successor else None,
        by=entry,
        ended_by=successor,
        evaluation=ledger.evaluation_before(entry),
    )
