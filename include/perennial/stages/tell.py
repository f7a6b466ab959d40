"""Write the mails that entries of the ledger ask for, each once: incidents, and rollbacks.

They go into the outbox, not out: what sends them is `perennial.stages.send`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from perennial.errors import LakeError, RegistryError
from perennial.incidents import DAY_KINDS, Incident
from perennial.io.entries import Action, Entry
from perennial.io.incidentmails import Facts, incident_mail
from perennial.io.incidents import fold, thread
from perennial.io.mails import Links, Mail, decision_mail
from perennial.records import AlertRecord
from perennial.spec import UseCase
from perennial.stages.movers import movers

if TYPE_CHECKING:
    from perennial.adapters import Adapters

TOLD: tuple[Action, ...] = ("incident opened", "incident worse", "incident grew", "incident closed", "rolled back")
DONE: tuple[Action, ...] = ("retrain requested", "trained", "evaluated", "promoted", "rolled back", "refused")

NOWHERE: Mapping[str, str] = MappingProxyType({})

log = logging.getLogger(__name__)


def run(case: UseCase, adapters: Adapters, *, now: datetime, urls: Mapping[str, str] = NOWHERE) -> tuple[str, ...]:
    """Put the mails that are due about a use case into the outbox; return their subjects, oldest first.

    Who is told goes by the severity of the incident. Nobody is told that an incident is over who was not told that it
    had begun; while an incident is snoozed only its end is told.

    Args:
        case: the use case.
        adapters: ledger and outbox; lake and registry for the pictures.
        now: when the mails are written.
        urls: where people can look at runs, by their ids; entries of others lead to the Models page.

    Raises:
        LedgerError: the ledger does not answer.
    """
    told = []
    for entry in adapters.outbox.untold(case.name, TOLD):
        if not _asks_for_mail(entry):
            continue
        url = entry.report.get("url") or urls.get(entry.run, "")
        rolled_back = entry.action == "rolled back"
        mail = _decision(case, entry, adapters, url) if rolled_back else _about(case, entry, adapters, now, url)
        if mail is None:
            continue
        if mail.to:
            adapters.outbox.put(mail, case=case.name, topic=entry.topic, at=now, not_before=_when(case, entry, now))
            told.append(mail.subject)
        else:  # so that nobody writes it again
            day = entry.at.date()
            adapters.ledger.save_alert(AlertRecord(case.name, entry.topic, day, day, mail.subject, (), now))
    return tuple(told)


def _asks_for_mail(entry: Entry) -> bool:
    """Tell whether anybody is mailed about such an entry; those of before incidents had kinds were told then."""
    return entry.action == "rolled back" or "kind" in entry.report or entry.report.get("about") == "aliases"


def _decision(case: UseCase, entry: Entry, adapters: Adapters, url: str) -> Mail:
    return decision_mail(case, entry, _links(url, adapters, section="rollback"))


def _about(case: UseCase, entry: Entry, adapters: Adapters, now: datetime, url: str) -> Mail | None:
    """Return the mail about an entry of an incident, None while it waits; one to nobody where nobody is told."""
    entries = thread(adapters.ledger, int(entry.report.get("opened", entry.id)))
    if not entries:
        log.warning("entry %s is about an incident that the ledger does not hold; nobody is mailed", entry.id)
        return None
    (then,) = fold(each for each in entries if each.id <= entry.id)
    (today,) = fold(entries)
    snoozed = today.snoozed_until is not None and now.date() < today.snoozed_until
    if entry.action == "incident worse" and today.is_open and snoozed:
        return None
    facts = _facts(case, then, entries[0], entry, adapters)
    report = facts.record.report if facts.record else None
    links = _links(url, adapters, section=then.kind, report=report)
    to = _recipients(case, entry, entries, adapters) if today.is_open or entry.action != "incident worse" else ()
    return incident_mail(case, then, opening=entries[0], entry=entry, facts=facts, links=links, to=to)


def _recipients(case: UseCase, entry: Entry, entries: Sequence[Entry], adapters: Adapters) -> tuple[str, ...]:
    """Return who is told: by severity, of the end all who were told of anything of it, each once an incident."""
    reached = _reached(entry, entries, adapters)
    if entry.action == "incident closed":
        return reached.get(case.name, ())
    (incident,) = fold(each for each in entries if each.id <= entry.id)
    to = case.alerts.of(incident.severity)
    if entry.action == "incident grew":  # the same people were told for another use case
        return () if set(to) <= {address for each in reached.values() for address in each} else to
    return to


def _reached(entry: Entry, entries: Sequence[Entry], adapters: Adapters) -> dict[str, tuple[str, ...]]:
    """Return who was mailed about an incident before an entry, by use case."""
    before: dict[str, list[str]] = {}
    for each in entries:
        if each.id < entry.id:
            before.setdefault(each.case, []).append(each.topic)
    return {name: adapters.outbox.recipients(name, topics) for name, topics in before.items()}


def _facts(case: UseCase, incident: Incident, opening: Entry, entry: Entry, adapters: Adapters) -> Facts:
    """Return what the mail says of the day; a lake or registry that does not answer costs the pictures only."""
    done = _done(case, opening, entry, adapters)
    if incident.kind not in DAY_KINDS or entry.day is None:
        return Facts(done=done, error=str(entry.report.get("error", "")))
    record = adapters.ledger.monitor(case.name, entry.day)
    if record is None or entry.action == "incident closed":
        return Facts(record, done=done)
    try:
        return Facts(record, movers(case, record, adapters), done)
    except (LakeError, RegistryError) as error:
        log.warning("the mail about incident %s has no pictures: %s", incident.id, error)
        return Facts(record, done=done)


def _done(case: UseCase, opening: Entry, entry: Entry, adapters: Adapters) -> tuple[str, ...]:
    """Return what has been done about the model since the incident opened, oldest first, a sentence each."""
    (incident,) = fold([opening])
    return tuple(
        _sentence(each)
        for each in reversed(adapters.ledger.history(case.name, actions=DONE, limit=None))
        if each.id < entry.id and (each.id > opening.id or _began_it(each, incident))
    )


def _began_it(entry: Entry, incident: Incident) -> bool:
    """Tell whether an entry is the request that the days led to before the incident was opened."""
    return entry.action == "retrain requested" and entry.day is not None and entry.day >= incident.since


def _sentence(entry: Entry) -> str:
    version = f" version {entry.to_version}" if entry.to_version else ""
    trigger = (
        f" ({entry.report['trigger']})" if entry.action == "retrain requested" and "trigger" in entry.report else ""
    )
    return f"{entry.at:%Y-%m-%d %H:%M} UTC: {entry.action}{trigger}{version} by {entry.who}. {entry.reason}"


def _links(run: str, adapters: Adapters, *, section: str, report: str | None = None) -> Links:
    root = adapters.settings.airflow_url
    return Links.of(root, run=run or Links.of(root, run="").models, report=report, section=section)


def _when(case: UseCase, entry: Entry, now: datetime) -> datetime:
    """Return when the mail may go out: now, or after the quiet hours where it is not critical."""
    quiet = case.alerts.quiet_hours
    urgent = entry.report.get("severity") == "critical" or entry.action == "rolled back"
    until = None if quiet is None or urgent else quiet.wait_until(now)
    return until or now
