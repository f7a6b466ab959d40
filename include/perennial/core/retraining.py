"""When evidence asks for a new model, and when it is too soon to ask.

The five triggers of a training, after Google's *MLOps: Continuous delivery and automation pipelines in machine
learning*, level 1 and 2; the first two need no evidence, and are named where a training starts.

| trigger | what |
|---|---|
| on demand | somebody starts it |
| schedule | `training.cron` |
| new data | `retraining.every_new_labels` labels have matured since the last training |
| performance drop | the model has decayed, or the world has changed and the results say so |
| distribution change | the world has changed, and the scores say so |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from perennial.incidents import Triage
from perennial.modelling import Retraining
from perennial.records import Record, RetrainDecision, Trigger

BUDGET_DAYS = 30
MOST_BACK_OFF = 8  # times the cool-down


@dataclass(frozen=True, slots=True)
class History(Record):
    """What has been done about the model so far.

    Attributes:
        trained_as_of: the `as_of` of the newest training, None where there was none.
        requests: the days of the requests before this day, any order.
        running: a request has not led to a training yet.
        in_vain: how many requested trainings in a row, the newest ones, did not end in a promotion.
        new_labels: how many labels have matured since the newest training; None where nobody counted.
    """

    trained_as_of: date | None
    requests: tuple[date, ...] = ()
    running: bool = False
    in_vain: int = 0
    new_labels: int | None = None


def decide(case: str, day: date, triage: Triage, history: History, *, retraining: Retraining) -> RetrainDecision:
    """Return whether a day asks for a retraining, which trigger does, and why or why not.

    It does where a trigger is there and nothing holds it back:

    | held back by | where |
    |---|---|
    | the data | the feed is broken or labels are late: a model would learn that |
    | one that runs | a request has not led to a training yet |
    | the cool-down | the last request is less than `cooldown_days` days old; doubled for each training in vain |
    | the budget | `max_requests` requests lie within the last 30 days |
    | too little that is new | `min_new_days` days or `min_new_labels` labels have not matured since the last one |
    """
    trigger, why = _trigger(triage, history, retraining=retraining)
    if trigger == "none":
        return RetrainDecision(case, day, wanted=False, trigger="none", reason=f"Nothing asks for it: {why}")
    held = _held_back(day, history, retraining=retraining)
    if held:
        return RetrainDecision(case, day, wanted=False, trigger="none", reason=f"{why} {held}")
    return RetrainDecision(case, day, wanted=True, trigger=trigger, reason=why)


def cooldown_of(history: History, *, retraining: Retraining) -> int:
    """Return the days between two requests: `cooldown_days`, doubled for each training in vain, eightfold at most."""
    return int(retraining.cooldown_days * min(2**history.in_vain, MOST_BACK_OFF))


def _trigger(triage: Triage, history: History, *, retraining: Retraining) -> tuple[Trigger, str]:
    """Return the trigger that is there, "none" where none is, and what it goes by."""
    if triage.verdict in {"feed broken", "labels late"}:
        return "none", f"{triage.verdict}. {triage.reason} A model is not trained on that."
    if triage.verdict == "model decayed" or (triage.verdict == "world changed" and triage.hurts):
        return "performance drop", triage.reason
    if triage.verdict == "world changed":
        return "distribution change", triage.reason
    wanted = retraining.every_new_labels
    if wanted is not None and history.new_labels is not None and history.new_labels >= wanted:
        return (
            "new data",
            f"{history.new_labels:,} labels have matured since the last training, {wanted:,} ask for one.",
        )
    return "none", triage.reason


def _held_back(day: date, history: History, *, retraining: Retraining) -> str:
    """Return why this day is too early for a request, or an empty text."""
    if history.running:
        return "A retraining was asked for and has not ended yet."
    newest = max(history.requests, default=None)
    days = cooldown_of(history, retraining=retraining)
    if newest is not None and day < newest + timedelta(days=days):
        vain = f" ({history.in_vain} in vain so far)" if history.in_vain else ""
        return (
            f"A retraining was asked for on {newest}{vain}; the cool-down lasts until {newest + timedelta(days=days)}."
        )
    recent = [asked for asked in history.requests if asked > day - timedelta(days=BUDGET_DAYS)]
    if len(recent) >= retraining.max_requests:
        return f"{len(recent)} requests within {BUDGET_DAYS} days are the budget (retraining.max_requests)."
    return _too_little(day, history, retraining=retraining)


def _too_little(day: date, history: History, *, retraining: Retraining) -> str:
    """Return what is missing for a training that could change the model, or an empty text; a day matures a day."""
    if history.trained_as_of is None:
        return ""
    since = f"since the training as of {history.trained_as_of}"
    new_days = (day - history.trained_as_of).days
    if new_days < retraining.min_new_days:
        return (
            f"Labels of {max(new_days, 0)} days have matured {since}; "
            f"{retraining.min_new_days} needed (retraining.min_new_days)."
        )
    if history.new_labels is not None and history.new_labels < retraining.min_new_labels:
        return (
            f"{history.new_labels:,} labels have matured {since}; "
            f"{retraining.min_new_labels:,} needed (retraining.min_new_labels)."
        )
    return ""
