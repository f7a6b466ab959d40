"""Decide whether a day's finding asks for a new model, and remember having asked."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import TYPE_CHECKING

from perennial.core import retraining
from perennial.core.retraining import History
from perennial.errors import DataError
from perennial.io.ledger import Entry
from perennial.records import RetrainDecision
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


def run(case: UseCase, day: date, adapters: Adapters, *, now: datetime, run: str = "manual") -> RetrainDecision:
    """Return the decision about a day; a request is kept in the ledger, once a day however often it is asked.

    Raises:
        DataError: the day was not monitored.
        LedgerError: the ledger does not answer.
    """
    ledger = adapters.ledger
    finding = ledger.monitor(case.name, day)
    if finding is None:
        raise DataError(f"{case.name} has no finding of {day}. Look first: perennial monitor {case.name} {day}.")
    trained = ledger.latest(case.name, "trained")
    requested = ledger.latest(case.name, "retrain requested", before=day)
    history = History(trained.day if trained else None, requested.day if requested else None)
    decision = retraining.decide(finding, history, retraining=case.retraining)
    if decision.wanted:
        entry = Entry(
            case.name, now, "retrain requested", who=run, reason=decision.reason, run=run,
            from_version=finding.model_version, day=day,
        )  # fmt: skip
        ledger.add(entry, once=f"retraining of {case.name} on {day}")
    log.info("%s of %s: %s; %s", case.name, day, "retrain" if decision.wanted else "no retraining", decision.reason)
    return decision
