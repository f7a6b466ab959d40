"""Make a version the champion, if the ledger holds a passing gate report of it against the champion of the day.

The ledger is written first, the aliases follow it: where a promotion breaks off in between, doing it again
writes nothing new and moves the aliases to where the ledger says they are. Two promotions at once build upon
the same entry, of which the ledger takes only the first.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.errors import GateFailedError
from perennial.io.ledger import Entry
from perennial.io.registry import CHAMPION, PREVIOUS
from perennial.records import GateReport, PromotionRecord
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
        version: what to promote; it must have passed its gates against the present champion.
        adapters: ledger and registry.
        who: who decided.
        reason: why.
        now: when.
        run: what started it.

    Raises:
        GateFailedError: there is no passing report of that version against the present champion.
        LedgerError: another version was promoted in the meantime, or the ledger does not answer.
        RegistryError: MLflow does not answer; the ledger has the promotion, doing it again moves the aliases.
    """
    standing = adapters.ledger.latest_promotion(case.name)
    champion = standing.to_version if standing else adapters.registry.version_of(case.name, CHAMPION)
    if standing is not None and champion == version:
        _project(case, adapters)
        log.info("%s version %s is the champion already", case.name, version)
        return _record(standing, changed=False)
    report = adapters.ledger.latest_report(case.name, version=version)
    _refuse_without_report(case, version, report=report, champion=champion)
    replaced = None if champion == version else champion
    entry = Entry(case.name, now, "promoted", who, reason, run, from_version=replaced, to_version=version)
    written = adapters.ledger.crown(entry, after=standing)
    _project(case, adapters)
    log.info("%s version %s is the champion, was %s", case.name, version, champion)
    return _record(written, changed=True)


def _refuse_without_report(case: UseCase, version: str, *, report: GateReport | None, champion: str | None) -> None:
    """Refuse a version whose newest gate report is not there, failed, or met another champion."""
    step = f"Evaluate it: perennial evaluate {case.name} --version {version}."
    if report is None:
        raise GateFailedError(f"{case.name} version {version} was never evaluated, so it is not promoted. {step}")
    report.raise_if_failed()
    if report.champion != champion:
        raise GateFailedError(
            f"{case.name} version {version} was evaluated against champion {report.champion or 'none'}, and the "
            f"champion is version {champion or 'none'} now. {step}"
        )


def _project(case: UseCase, adapters: Adapters) -> None:
    """Move the aliases to where the ledger says they are; again, where it has moved on meanwhile."""
    entry = adapters.ledger.latest_promotion(case.name)
    while entry is not None and entry.to_version is not None:
        if entry.from_version is not None:
            adapters.registry.set_alias(case.name, PREVIOUS, entry.from_version)
        adapters.registry.set_alias(case.name, CHAMPION, entry.to_version)
        newest = adapters.ledger.latest_promotion(case.name)
        entry = None if newest == entry else newest


def _record(entry: Entry, *, changed: bool) -> PromotionRecord:
    """Return the record of a ledger entry."""
    return PromotionRecord(
        case=entry.case,
        version=str(entry.to_version),
        previous=entry.from_version,
        who=entry.who,
        at=entry.at,
        reason=entry.reason,
        entry=entry.id,
        changed=changed,
    )
