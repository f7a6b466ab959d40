"""Decide whether a day's finding asks for a new model, and remember having asked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from perennial.core import escalation, retraining
from perennial.core.escalation import Judged
from perennial.core.retraining import History
from perennial.core.triage import triage
from perennial.errors import DataError
from perennial.io.entries import Action, Entry
from perennial.records import RetrainDecision
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

LOOKED_BACK = 90  # days with a finding
LOST_AFTER = timedelta(days=1)  # a request that led to no training by then is not running any more
STEPS: tuple[Action, ...] = ("retrain requested", "trained", "evaluated", "refused", "promoted", "rolled back")

log = logging.getLogger(__name__)


def run(case: UseCase, day: date, adapters: Adapters, *, now: datetime, run: str = "manual") -> RetrainDecision:
    """Return the decision about a day; a request is kept in the ledger, once a day however often it is asked.

    Raises:
        DataError: the day was not monitored.
        LedgerError: the ledger does not answer.
    """
    finding = adapters.ledger.monitor(case.name, day)
    if finding is None:
        raise DataError(f"{case.name} has no finding of {day}. Look first: perennial monitor {case.name} {day}.")
    history = _history(case, day, adapters, now=now)
    known = adapters.ledger.monitors(case.name, days=LOOKED_BACK)
    days = [Judged(each.day, triage(each)) for each in (finding, *(each for each in known if each.day < day))]
    standing = escalation.confirmed(days, alerts=case.alerts)
    decision = retraining.decide(case.name, day, standing, history, retraining=case.retraining)
    if decision.wanted:
        entry = Entry(
            case.name, now, "retrain requested", who=run, reason=decision.reason, run=run,
            from_version=finding.model_version, day=day, report={"trigger": decision.trigger},
        )  # fmt: skip
        adapters.ledger.add(entry, once=f"retraining of {case.name} on {day}")
    log.info("%s of %s: %s; %s", case.name, day, "retrain" if decision.wanted else "no retraining", decision.reason)
    return decision


def _history(case: UseCase, day: date, adapters: Adapters, *, now: datetime) -> History:
    """Return what the ledger says was done about the model, but for a request of this very day."""
    found = adapters.ledger.history(case.name, actions=STEPS, limit=None)
    entries = [each for each in found if not (each.action == "retrain requested" and each.day == day)]
    trained = next((each for each in entries if each.action == "trained"), None)
    asked = next((each for each in entries if each.action == "retrain requested"), None)
    running = asked is not None and (trained is None or asked.id > trained.id) and now - asked.at < LOST_AFTER
    return History(
        trained_as_of=trained.day if trained else None,
        requests=tuple(
            each.day for each in entries if each.action == "retrain requested" and each.day and each.day < day
        ),
        running=running,
        in_vain=_in_vain(entries),
        new_labels=_new_labels(case, day, adapters, since=trained.day if trained else None),
    )


def _in_vain(entries: Sequence[Entry]) -> int:
    """Return how many requests, the newest ones, led to a training after which nothing was promoted.

    A request counts once a later version was evaluated and cannot be promoted any more: a gate held it back, somebody
    refused it, or another version was evaluated after it. One that waits for its approval is not in vain yet. Entries
    are the newest first.
    """
    vain, ended, refused, newer = 0, False, set(), False
    for entry in entries:
        if entry.action in {"promoted", "rolled back"}:
            return vain
        if entry.action == "refused":
            refused.add(entry.to_version)
        if entry.action == "evaluated":
            ended = ended or newer or _held_back(entry) or entry.to_version in refused
            newer = True
        if entry.action == "retrain requested" and ended:
            vain, ended = vain + 1, False
    return vain


def _held_back(evaluation: Entry) -> bool:
    """Tell whether an enforced gate did not pass; an evaluation without gates could not be promoted."""
    results = evaluation.report.get("results", [])
    return not results or any(result["mode"] == "enforce" and not result["margin"] >= 0 for result in results)


def _new_labels(case: UseCase, day: date, adapters: Adapters, *, since: date | None) -> int | None:
    """Return how many snapshot rows have matured since a training as of `since`; None where nobody needs it."""
    rules = case.retraining
    if since is None or (rules.every_new_labels is None and not rules.min_new_labels):
        return None
    first, last = since - case.horizon, day - case.horizon
    return sum(held.rows for each, held in adapters.lake.held(case.features_table).items() if first < each <= last)
