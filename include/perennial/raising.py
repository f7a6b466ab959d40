"""Enter incidents into the ledger: that one has begun, what becomes of it, and that it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from perennial.incidents import Incident, Kind, Severity
from perennial.io.entries import END, Action, Entry

if TYPE_CHECKING:
    from perennial.adapters import Adapters


@dataclass(frozen=True, slots=True)
class By:
    """Who enters something, in which run, when; `url` is where people can look at the run."""

    who: str
    run: str
    now: datetime
    url: str = ""


@dataclass(frozen=True, slots=True)
class Raised:
    """An incident that is to be opened; `about` is the kind, or the kind and its cause."""

    case: str
    kind: Kind
    about: str
    severity: Severity
    since: date
    reason: str
    day: date | None = None
    version: str | None = None
    part: str | None = None
    error: str = ""


def raise_incident(raised: Raised, adapters: Adapters, *, by: By, after: int) -> Entry:
    """Open an incident and return its entry; of two processes that see the same thing the first one opens it.

    Args:
        raised: what has happened.
        adapters: ledger.
        by: who enters it.
        after: number of the newest incident about the same thing, 0 where there was none: it is over, and this is
            another one.
    """
    report: dict[str, Any] = {
        "about": raised.about,
        "kind": raised.kind,
        "severity": raised.severity,
        "since": raised.since.isoformat(),
        "url": by.url,
    }
    report |= {name: value for name, value in (("part", raised.part), ("error", raised.error)) if value}
    entry = Entry(
        raised.case, by.now, "incident opened", by.who, raised.reason, by.run, to_version=raised.version,
        day=raised.day, report=report,
    )  # fmt: skip
    return adapters.ledger.add(entry, once=f"{raised.about} after incident {after} of {raised.case}"[:200])


def follow(
    incident: Incident, action: Action, adapters: Adapters, *, reason: str, by: By, day: date | None = None, **more: Any
) -> Entry:
    """Enter what becomes of an incident, and return the entry.

    Args:
        incident: as it is now.
        action: worse, grew, eased, acknowledged or snoozed.
        adapters: ledger.
        reason: why.
        by: who enters it.
        day: the day that says so.
        more: `once` (of equal texts only the first entry is written), `case` (by default the incident's own), and
            what the action brings to the entry's report: severity, part, until.
    """
    case, once = more.pop("case", incident.case), more.pop("once", None)
    report = {"about": incident.about, "kind": incident.kind, "opened": incident.id, "url": by.url, **more}
    entry = Entry(case, by.now, action, by.who, reason, by.run, to_version=incident.version, day=day, report=report)
    return adapters.ledger.add(entry, once=once)


def close(incident: Incident, adapters: Adapters, *, reason: str, by: By, day: date | None = None) -> tuple[Entry, ...]:
    """Enter that an incident is over, for each use case that it has hit; once, whoever sees it first."""
    written = []
    for case in incident.cases:
        once = f"{END}{incident.id}" + ("" if case == incident.case else f" for {case}")
        written.append(
            follow(incident, "incident closed", adapters, reason=reason, by=by, day=day, case=case, once=once)
        )
    return tuple(written)
