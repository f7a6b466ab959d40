"""Incidents as the ledger's entries about them add up: nothing of an incident is kept anywhere else.

| entry | what it changes |
|---|---|
| incident opened | there is one; its number is the entry's |
| incident worse | its severity, and why |
| incident grew, incident eased | what has failed, and what has recovered |
| incident acknowledged, incident snoozed | who is at work on it; until when nobody is mailed |
| incident closed | it is over |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from perennial.incidents import KINDS, OPENS_AS, SEVERITIES, Incident, Kind, Severity, rank
from perennial.io.entries import Action, Entry

if TYPE_CHECKING:
    from perennial.io.ledger import Ledger

ACTIONS: tuple[Action, ...] = (
    "incident opened", "incident worse", "incident grew", "incident eased", "incident acknowledged",
    "incident snoozed", "incident closed",
)  # fmt: skip
# What incidents were about before they had kinds.
FORMER: Mapping[str, Kind] = {"aliases": "aliases moved", "drifted": "world changed", "decayed": "model decayed"}


def incidents(ledger: Ledger, case: str | None = None) -> tuple[Incident, ...]:
    """Return all incidents, or those that have hit a use case, the newest first.

    Raises:
        LedgerError: the ledger does not answer.
    """
    found = fold(reversed(ledger.history(actions=ACTIONS, limit=None)))
    return tuple(each for each in reversed(found) if case is None or case in each.cases)


def open_incidents(ledger: Ledger, case: str | None = None) -> tuple[Incident, ...]:
    """Return the incidents that are not over, the newest first; only entries since the oldest of them are read.

    Raises:
        LedgerError: the ledger does not answer.
    """
    first = ledger.first_open_incident()
    if first is None:
        return ()
    found = fold(reversed(ledger.history(actions=ACTIONS, after=first - 1, limit=None)))
    return tuple(each for each in reversed(found) if each.is_open and (case is None or case in each.cases))


def fold(entries: Iterable[Entry]) -> list[Incident]:
    """Return the incidents that entries add up to.

    Args:
        entries: about incidents, oldest first; those about an incident whose opening is not among them are left out.
    """
    found: dict[int, Incident] = {}
    for entry in entries:
        if entry.action == "incident opened":
            found[entry.id] = _opened(entry)
        elif (known := found.get(entry.report.get("opened", 0))) is not None:
            found[known.id] = _changed(known, entry)
    return list(found.values())


def _opened(entry: Entry) -> Incident:
    report = entry.report
    about = str(report.get("about", ""))
    kind = report.get("kind") or FORMER.get(about, about)
    known: Kind = kind if kind in KINDS else "run failed"
    since = report.get("since")
    return Incident(
        id=entry.id,
        case=entry.case,
        about=about,
        kind=known,
        severity=_severity(report, OPENS_AS[known]),
        since=date.fromisoformat(since) if since else entry.day or entry.at.date(),
        opened_at=entry.at,
        reason=entry.reason,
        version=entry.to_version,
        parts=tuple(filter(None, [report.get("part")])),
        cases=(entry.case,),
    )


def _changed(known: Incident, entry: Entry) -> Incident:
    report = entry.report
    changes: dict[str, Any] = {"cases": tuple(dict.fromkeys((*known.cases, entry.case)))}
    match entry.action:
        case "incident worse":
            worse = max(known.severity, _severity(report, known.severity), key=rank)
            changes |= {"severity": worse, "reason": entry.reason}
        case "incident grew":
            changes |= {"parts": tuple(dict.fromkeys(filter(None, (*known.parts, report.get("part")))))}
        case "incident eased":
            changes |= {"parts": tuple(part for part in known.parts if part != report.get("part"))}
        case "incident acknowledged":
            changes |= {"acknowledged_by": entry.who}
        case "incident snoozed" if "until" in report:
            changes |= {"snoozed_until": date.fromisoformat(report["until"])}
        case "incident closed" if known.is_open:
            changes |= {"closed_at": entry.at, "closed_because": entry.reason}
    return replace(known, **changes)


def _severity(report: Mapping[str, Any], otherwise: Severity) -> Severity:
    """Return the severity that an entry names; of one that a later version wrote and nobody knows, `otherwise`."""
    named = report.get("severity")
    return named if named in SEVERITIES else otherwise


def thread(ledger: Ledger, opened: int) -> tuple[Entry, ...]:
    """Return the entries of one incident, oldest first; none where the ledger holds no such opening."""
    found = tuple(reversed(ledger.history(actions=ACTIONS, after=opened - 1, limit=None)))
    mine = tuple(entry for entry in found if entry.id == opened or entry.report.get("opened") == opened)
    return mine if mine and mine[0].id == opened else ()
