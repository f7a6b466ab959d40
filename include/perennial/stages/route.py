"""Turn a day's finding into what becomes of incidents: one opens, gets worse, or is over; mails follow from that.

Days are looked at in any order; only the newest one that was monitored changes anything.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING

from perennial import carding, raising
from perennial.core import escalation
from perennial.core.escalation import Judged
from perennial.core.triage import triage
from perennial.incidents import DAY_KINDS, DayKind, Incident, Step
from perennial.io.entries import Entry
from perennial.io.incidents import incidents
from perennial.raising import By, Raised
from perennial.records import MonitorRecord
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

LOOKED_BACK = 90  # days with a finding

log = logging.getLogger(__name__)


def run(case: UseCase, day: date, adapters: Adapters, *, by: By) -> tuple[Entry, ...]:
    """Return the entries that a day led to; none where it changes nothing, or where a later day was looked at.

    Raises:
        LedgerError: the ledger does not answer.
    """
    records = adapters.ledger.monitors(case.name, days=LOOKED_BACK)
    if not records or records[0].day != day:
        log.info("%s of %s: not the newest day that was looked at, no incident is touched", case.name, day)
        return ()
    known = incidents(adapters.ledger, case.name)
    # A feed that `ingest` refuses is an incident of runs: those end when the runs end well.
    opened: dict[DayKind, Incident] = {
        kind: each for kind in DAY_KINDS for each in known if each.is_open and each.about == kind
    }
    judged = [Judged(record.day, triage(record)) for record in records]
    log.info("%s of %s: %s; %s", case.name, day, judged[0].triage.verdict, judged[0].triage.reason)
    entries: list[Entry] = []
    for step in escalation.steps(judged, opened, alerts=case.alerts):
        entries += _enter(step, records[0], adapters, known=known, by=by)
    if entries and records[0].model_version:
        carding.keep(case.name, records[0].model_version, adapters, case=case)
    return tuple(entries)


def _enter(
    step: Step, record: MonitorRecord, adapters: Adapters, *, known: tuple[Incident, ...], by: By
) -> tuple[Entry, ...]:
    """Write a step into the ledger."""
    ours = [incident for incident in known if incident.about == step.kind]
    log.info("%s: %s %s (%s); %s", record.case, step.kind, step.action, step.severity, step.reason)
    if step.action == "opens":
        raised = Raised(
            record.case, step.kind, step.kind, step.severity, step.since, step.reason, day=record.day,
            version=record.model_version or None,
        )  # fmt: skip
        return (raising.raise_incident(raised, adapters, by=by, after=ours[0].id if ours else 0),)
    incident = next(each for each in ours if each.is_open)
    if step.action == "ends":
        return raising.close(incident, adapters, reason=step.reason, by=by, day=record.day)
    once = f"incident {incident.id} is {step.severity}"
    worse = raising.follow(
        incident,
        "incident worse",
        adapters,
        reason=step.reason,
        by=by,
        day=record.day,
        once=once,
        severity=step.severity,
    )
    return (worse,)
