"""What people do about an incident: say that they are at work on it, or that it may wait; each in the ledger."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from perennial import raising
from perennial.errors import RefusedError
from perennial.incidents import Incident
from perennial.io.entries import Entry
from perennial.io.incidents import incidents
from perennial.raising import By

if TYPE_CHECKING:
    from perennial.adapters import Adapters

LONGEST_SNOOZE = 30  # days


def acknowledge(number: int, adapters: Adapters, *, reason: str, by: By) -> Entry:
    """Enter that somebody is at work on an incident; what gets worse and its end are mailed nevertheless.

    Raises:
        RefusedError: there is no such incident, it is over, or there is no reason.
        LedgerError: the ledger does not answer.
    """
    incident = _open(number, adapters, what="acknowledged", reason=reason)
    return raising.follow(incident, "incident acknowledged", adapters, reason=reason.strip(), by=by)


def snooze(number: int, adapters: Adapters, *, days: int, reason: str, by: By) -> Entry:
    """Enter that nobody is mailed about an incident for some days, but for its end.

    Args:
        number: of the incident.
        adapters: ledger.
        days: from today on; the day after them mails go out again. 1 to 30.
        reason: why.
        by: who says so, and when.

    Raises:
        RefusedError: there is no such incident, it is over, there is no reason, or the days are too few or too many.
        LedgerError: the ledger does not answer.
    """
    if not 1 <= days <= LONGEST_SNOOZE:
        raise RefusedError(f"Incident {number} is not snoozed for {days} days: choose 1 to {LONGEST_SNOOZE}.")
    incident = _open(number, adapters, what="snoozed", reason=reason)
    until: date = by.now.date() + timedelta(days=days)
    return raising.follow(incident, "incident snoozed", adapters, reason=reason.strip(), by=by, until=until.isoformat())


def _open(number: int, adapters: Adapters, *, what: str, reason: str) -> Incident:
    known = {each.id: each for each in incidents(adapters.ledger)}
    incident = known.get(number)
    if incident is None:
        numbers = ", ".join(str(each.id) for each in known.values() if each.is_open) or "none"
        raise RefusedError(f"There is no incident {number}. Open: {numbers}; perennial incidents lists them.")
    if incident.closed_at is not None:
        raise RefusedError(
            f"Incident {number} is over since {incident.closed_at:%Y-%m-%d %H:%M} UTC: it is not {what}."
        )
    if not reason.strip():
        raise RefusedError(f"Incident {number} is not {what} without a reason, which the others read. Give one.")
    if "\0" in reason:  # PostgreSQL keeps every character but this one
        raise RefusedError(f"Incident {number} is not {what}: the reason holds a character that cannot be kept.")
    return incident
