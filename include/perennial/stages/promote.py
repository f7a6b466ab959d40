"""Make a version the champion, if the ledger holds a passing gate report of it against the champion of the day.

Where the use case has people approve, the ledger has to hold their approval of that very report too, of the same run.

The ledger is written first, the aliases follow it: where a promotion breaks off in between, doing it again, or whatever
asks for the champion next, moves the aliases to where the ledger says they are. Two promotions at once build upon the
same entry, of which the ledger takes only the first. What is refused is an entry too.
Where the use case declares a probation, one begins with the same entry.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import approving, carding, probations, projection
from perennial.errors import GateFailedError, RefusedError
from perennial.io.ledger import Entry
from perennial.records import PromotionRecord, Record
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


def run(
    case: UseCase, version: str, adapters: Adapters, *, who: str, reason: str, now: datetime, run: str = "manual"
) -> PromotionRecord:
    """Point `champion` at a version and `previous` at the one before; safe to repeat.

    Args:
        case: whose model.
        version: what to promote; it must have passed its gates against the present champion, since that one reigns.
        adapters: ledger and registry.
        who: who decided.
        reason: why.
        now: when.
        run: what started it; an approval of another run does not count.

    Raises:
        GateFailedError: there is no passing report of that version against the present champion.
        RefusedError: another version has become champion in the meantime; this one was rolled back, or is not what was
            evaluated; or people have to approve it, and did not.
        LedgerError: the ledger does not answer.
        RegistryError: MLflow does not answer; the ledger has the promotion, doing it again moves the aliases.
    """
    standing = projection.watch(case.name, adapters, now=now, who=who, run=run)
    if standing.entry is not None and standing.champion == version:
        projection.project(case.name, adapters)
        probations.begin(standing.entry, adapters.ledger, run=run)
        log.info("%s version %s is the champion already", case.name, version)
        return PromotionRecord.of(standing.entry, changed=False)
    entry = Entry(case.name, now, "promoted", who, reason, run, from_version=standing.champion, to_version=version)
    try:
        evaluated = _refuse_without_report(case, version, adapters, standing=standing.entry)
        decided = _on_probation(case, _approved(case, entry, evaluated, adapters), evaluated, adapters)
        written = adapters.ledger.crown(decided, after=standing.entry)
    except (GateFailedError, RefusedError) as error:
        adapters.ledger.add(replace(entry, action="refused", reason=f"promotion: {error}"))
        carding.keep(case.name, version, adapters, case=case)
        raise
    projection.project(case.name, adapters)
    probations.begin(written, adapters.ledger, run=run)
    projection.watch(case.name, adapters, now=now, who=who, run=run)
    carding.keep(case.name, version, adapters, case=case)
    log.info("%s version %s is the champion, was %s", case.name, version, standing.champion)
    return PromotionRecord.of(written, changed=decided.became(written))


@dataclass(frozen=True, slots=True)
class Preview(Record):
    """What a promotion would do now: who replaces whom, what refuses it, and who has to approve it in which DAG."""

    case: str
    version: str
    champion: str | None
    refused: str | None
    approvers: tuple[str, ...]
    asked_by: str | None


def preview(case: UseCase, version: str, adapters: Adapters, *, now: datetime) -> Preview:
    """Return what `run` would do at this moment; nothing is written, and no alias moves."""
    standing = adapters.ledger.latest_promotion(case.name)
    rules, refused = case.human_approval, None
    if standing is not None and standing.to_version == version:
        refused = f"{case.name} version {version} is the champion already"
    else:
        try:
            evaluated = _refuse_without_report(case, version, adapters, standing=standing)
            if rules is not None:
                approving.refuse_stale(case, rules, evaluated, now=now)
        except (GateFailedError, RefusedError) as error:
            refused = str(error)
    approvers, asked_by = (rules.approvers, approving.dag_of(case)) if rules else ((), None)
    return Preview(case.name, version, standing.to_version if standing else None, refused, approvers, asked_by)


def _approved(case: UseCase, entry: Entry, evaluated: Entry, adapters: Adapters) -> Entry:
    """Return the entry with the name and the reason of whoever approved it; as it is where nobody has to."""
    rules = case.human_approval
    if rules is None:
        return entry
    answered = adapters.ledger.answer(case.name, run=entry.run)
    approved = approving.refuse_unapproved(case, rules, evaluated, answered)
    approving.refuse_stale(case, rules, evaluated, now=entry.at)
    return replace(entry, who=approved.who, reason=f"{approved.reason} (approved in entry {approved.id})")


def _on_probation(case: UseCase, entry: Entry, evaluated: Entry, adapters: Adapters) -> Entry:
    """Return the entry with the terms of the probation that it begins; as it is where nobody was champion before."""
    if entry.from_version is None or case.probation is None:
        return entry
    scored = adapters.lake.days(case.predictions_table)
    terms = probations.declared(case, trained=evaluated.day, scored=scored)
    return entry if terms is None else replace(entry, report={probations.PROBATION: terms.to_json()})


def _refuse_without_report(case: UseCase, version: str, adapters: Adapters, *, standing: Entry | None) -> Entry:
    """Return the newest evaluation; refuse a version without one, that failed, met another champion, or has changed."""
    step = f"Evaluate it: perennial evaluate {case.name} --version {version}."
    _refuse_rolled_back(case, version, adapters)
    evaluated = adapters.ledger.latest_evaluation(case.name, version=version)
    report = adapters.ledger.latest_report(case.name, version=version)
    if evaluated is None or report is None:
        raise GateFailedError(f"{case.name} version {version} was never evaluated, so it is not promoted. {step}")
    report.raise_if_failed()
    champion = standing.to_version if standing else None
    if report.champion != champion:
        raise GateFailedError(
            f"{case.name} version {version} was evaluated against champion {report.champion or 'none'}, and the "
            f"champion is version {champion or 'none'} now. {step}"
        )
    if standing is not None and evaluated.id < standing.id:
        raise GateFailedError(
            f"{case.name} version {version} was evaluated before version {champion} was {standing.action} by "
            f"{standing.who} (entry {standing.id}), so its report is of another day. {step}"
        )
    found = adapters.registry.fingerprint(case.name, version)
    approving.refuse_changed(case, version, evaluated, fingerprint=found)
    return evaluated


def _refuse_rolled_back(case: UseCase, version: str, adapters: Adapters) -> None:
    """Refuse a version that somebody took out of production: gates that it had passed have not seen why."""
    back = [each for each in adapters.ledger.reigns(case.name) if each.action == "rolled back"]
    judged = next((each for each in reversed(back) if version in {each.from_version, each.to_version}), None)
    if judged is not None and judged.from_version == version:
        raise RefusedError(
            f"{case.name} version {version} is not promoted: {judged.who} rolled it back at {judged.at:%Y-%m-%d %H:%M} "
            f"UTC (entry {judged.id}): {judged.reason}. Train a new one; or, if that was wrong, bring it back: "
            f"perennial rollback {case.name} --to {version} --reason …"
        )
