"""Runs that fail or are late become incidents: one a cause, whatever it hits, over when all of it has recovered."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial import catalog, raising
from perennial.core.causes import cause
from perennial.incidents import Incident, Kind
from perennial.io.entries import Entry
from perennial.io.incidents import incidents, open_incidents
from perennial.raising import By, Raised
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

GATES = "GateFailedError"
THE_DATA = ("DataError", "SourceError")  # what a source has done, when `ingest` says it
INGEST = "ingest"
# Which stages wait for which: one that is late, or gives up waiting, is late for what those before it suffer from.
BEFORE = {
    "batch_scoring": ("feature_build",),
    "drift_monitoring": ("feature_build", "batch_scoring"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed: a task of a DAG, or the DAG where no task is known.

    Attributes:
        dag: its id.
        task: its id, None where no task is known.
        error: class and message; None where they are not known.
        told: what is said where there is no error.
        day: which day's run, None where a run has none.
    """

    dag: str
    task: str | None
    error: str | None
    told: str
    day: date | None = None

    @property
    def part(self) -> str:
        """Return what recovers when it succeeds."""
        return f"{self.dag}.{self.task}" if self.task else self.dag


def run(case: UseCase, failure: Failure, adapters: Adapters, *, by: By) -> Entry | None:
    """Enter that a run failed, and return the entry; None where the incident has it already.

    A cause that is known, in whatever use case, is one incident: it grows. So does the incident of a stage that a task
    has waited for in vain. A gate that held a challenger back is an incident of its own kind, of which by default
    nobody is mailed: the champion stays, and nobody has to act.

    Raises:
        LedgerError: the ledger does not answer.
    """
    kind = _kind_of(failure)
    about = f"{kind}: {case.name if kind == 'challenger held back' else cause_of(case.name, failure)}"
    waited_for = _waited_for(case, failure, adapters) if (failure.task or "").startswith("wait_for") else None
    if waited_for is not None:
        about = waited_for.about
    where = f"{failure.part}{f' of {failure.day}' if failure.day else ''} failed: {_line(failure)}"
    return _enter(case, failure, adapters, kind=kind, about=about, reason=where, by=by)


def cause_of(case: str, failure: Failure) -> str:
    """Return a short name of why something failed; equal in all use cases where they fail for one reason."""
    names = filter(None, {*catalog.names(), case, failure.dag, failure.task})
    return cause(failure.error, names=names, otherwise=failure.part)


def late(case: UseCase, failure: Failure, adapters: Adapters, *, by: By) -> Entry | None:
    """Enter that a run is not done by its deadline; one incident a DAG, over when a run of it ends well.

    Where it waits for a stage that an open incident is about, it is part of that one.

    Raises:
        LedgerError: the ledger does not answer.
    """
    hours = case.alerts.deadline_hours
    reason = f"{failure.dag}{f' of {failure.day}' if failure.day else ''} is not done {hours:g} hours after its start."
    waited_for = _waited_for(case, failure, adapters)
    about = waited_for.about if waited_for is not None else f"deadline missed: {failure.dag}"
    return _enter(case, failure, adapters, kind="deadline missed", about=about, reason=reason, by=by)


def recovered(dag: str, task: str, adapters: Adapters, *, by: By, ends_run: bool) -> tuple[Entry, ...]:
    """Enter that a task has ended well, and with the main one of its DAG the run; return the entries.

    Raises:
        LedgerError: the ledger does not answer.
    """
    parts = {f"{dag}.{task}", *([dag] if ends_run else [])}
    entries: list[Entry] = []
    for incident in open_incidents(adapters.ledger):
        if mended := parts & set(incident.parts):
            entries += _ease(incident, mended, adapters, by=by)
    return tuple(entries)


def _kind_of(failure: Failure) -> Kind:
    """Return what kind of incident a failure is: a source that `ingest` refuses is a broken feed."""
    error = failure.error or ""
    if error.startswith(GATES):
        return "challenger held back"
    return "feed broken" if failure.task == INGEST and error.startswith(THE_DATA) else "run failed"


def _waited_for(case: UseCase, failure: Failure, adapters: Adapters) -> Incident | None:
    """Return the open incident about a stage that the failure's DAG waits for, None where there is none."""
    stage = failure.dag.removeprefix(f"{case.name}__")
    before = tuple(f"{case.name}__{each}" for each in BEFORE.get(stage, ()))
    for incident in open_incidents(adapters.ledger, case.name):
        if any(part.partition(".")[0] in before for part in incident.parts):
            return incident
    return None


def _enter(
    case: UseCase, failure: Failure, adapters: Adapters, *, kind: Kind, about: str, reason: str, by: By
) -> Entry | None:
    known = [each for each in incidents(adapters.ledger) if each.about == about]
    opened = next((each for each in known if each.is_open), None)
    if opened is None:
        raised = Raised(
            case.name, kind, about, case.alerts.opens_as(kind), failure.day or by.now.date(), reason,
            version=adapters.ledger.champion(case.name), part=failure.part, error=failure.error or failure.told,
        )  # fmt: skip
        return raising.raise_incident(raised, adapters, by=by, after=known[0].id if known else 0)
    if failure.part in opened.parts and case.name in opened.cases:
        log.info("%s is part of incident %s already", failure.part, opened.id)
        return None
    return raising.follow(opened, "incident grew", adapters, reason=reason, by=by, case=case.name, part=failure.part)


def _ease(incident: Incident, mended: set[str], adapters: Adapters, *, by: By) -> list[Entry]:
    entries = [
        raising.follow(incident, "incident eased", adapters, reason=f"{part} ended well", by=by, part=part)
        for part in sorted(mended)
    ]
    if not set(incident.parts) - mended:
        reason = f"{', '.join(sorted(mended))} ended well in {by.run}; nothing of it fails any more."
        entries += raising.close(incident, adapters, reason=reason, by=by)
    return entries


def _line(failure: Failure) -> str:
    return (failure.error or failure.told).partition("\n")[0]
