"""When evidence asks for a new model, and when it is too soon to ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from perennial.records import MonitorRecord, Record, RetrainDecision
from perennial.spec import Retraining


@dataclass(frozen=True, slots=True)
class History(Record):
    """What has been done about the model so far; None where it has not been done yet.

    `trained_as_of` is the `as_of` of the newest training, `requested` the day of the newest request before
    this one.
    """

    trained_as_of: date | None
    requested: date | None


def decide(finding: MonitorRecord, history: History, *, retraining: Retraining) -> RetrainDecision:
    """Return whether the day's finding asks for a retraining.

    It does where the verdict is "drifted" or "decayed", the last request is `cooldown_days` or more days old,
    and `min_new_days` or more days of labels have matured since the last training (a day matures a day).
    """
    held_back = _too_soon(finding.day, history, retraining=retraining)
    if finding.verdict not in {"drifted", "decayed"}:
        return _answer(
            finding,
            wanted=False,
            reason=f"Nothing asks for it: the verdict of {finding.day} is {finding.verdict}.",
        )
    if held_back:
        return _answer(finding, wanted=False, reason=f"{finding.reason} {held_back}")
    return _answer(finding, wanted=True, reason=finding.reason)


def _too_soon(day: date, history: History, *, retraining: Retraining) -> str:
    """Return why this day is too early for a request, or an empty text."""
    if history.requested is not None:
        next_day = history.requested + timedelta(days=retraining.cooldown_days)
        if day < next_day:
            return f"A retraining was asked for on {history.requested}; the cool-down lasts until {next_day}."
    if history.trained_as_of is not None:
        new_days = (day - history.trained_as_of).days
        if new_days < retraining.min_new_days:
            return (
                f"Labels of {max(new_days, 0)} days have matured since the training as of "
                f"{history.trained_as_of}; {retraining.min_new_days} needed (retraining.min_new_days)."
            )
    return ""


def _answer(finding: MonitorRecord, *, wanted: bool, reason: str) -> RetrainDecision:
    """Return the decision with what triggered it; "none" where nothing is wanted."""
    trigger: Literal["performance", "drift"] = "performance" if finding.verdict == "decayed" else "drift"
    return RetrainDecision(finding.case, finding.day, wanted, trigger if wanted else "none", reason)
