"""Ask people whether a version that passed its gates becomes the champion, and enter what they answer.

Airflow carries question and answer; this says what is asked, and what the answer is worth. Nothing is promoted here:
`promote` goes by the ledger alone, and holds the approval against everything once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from perennial import approving, carding
from perennial.approving import STARTERS, Answer, Asked
from perennial.errors import RefusedError, SpecError
from perennial.io import pages
from perennial.io.entries import EVALUATION
from perennial.io.ledger import Entry
from perennial.io.mails import Mail
from perennial.io.questions import Places, Question, mail
from perennial.records import AlertRecord
from perennial.spec import HumanApproval, UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


def ask(case: UseCase, version: str, adapters: Adapters, *, run: str) -> Question:
    """Return what to ask about a version that this very run has evaluated.

    Raises:
        SpecError: the use case asks nobody.
        RefusedError: the newest evaluation of the version is not of this run.
        GateFailedError: it did not pass its gates.
    """
    rules = _rules(case)
    evaluated = adapters.ledger.latest_evaluation(case.name, version=version)
    report = adapters.ledger.latest_report(case.name, version=version)
    if evaluated is None or report is None or evaluated.run != run:
        found = f"is of {evaluated.run}" if evaluated else "is not there"
        raise RefusedError(
            f"{case.name} version {version} cannot be approved in {run}: its newest evaluation {found}. Clear the task "
            "`evaluate`, so that people see the gates of this run."
        )
    report.raise_if_failed()
    return Question(case, rules, evaluated, report)


def run(case: UseCase, answer: Answer, adapters: Adapters, *, asked: Asked, now: datetime, run: str) -> Entry:
    """Enter an approval, or a rejection, and return the entry.

    Args:
        case: whose promotion; who may approve counts as it is declared now.
        answer: as Airflow has recorded it.
        adapters: ledger.
        asked: what people saw.
        now: when the answer is entered.
        run: which run has asked.

    Raises:
        RefusedError: it says yes, and does not count; the ledger has the refusal.
    """
    rules = _rules(case)
    shown = adapters.ledger.latest_evaluation(case.name, version=asked.version)
    entry = Entry(
        case.name, now, "approved", answer.who or "airflow", answer.reason.strip(), run,
        from_version=adapters.ledger.champion(case.name), to_version=asked.version,
        report={EVALUATION: asked.evaluation, STARTERS: list(asked.starters)},
    )  # fmt: skip
    if answer.rejects:
        said = f"rejected: {answer.reason}" if answer.who else f"nobody answered in {pages.days(rules.timeout_days)}"
        return _enter(replace(entry, action="refused", reason=f"approval: {said}"), case, adapters)
    try:
        evaluated = _refuse_overtaken(case, shown, asked)
        approving.refuse_answer(case, rules, answer, starters=(*asked.starters, evaluated.who))
    except RefusedError as error:
        _enter(replace(entry, action="refused", reason=f"approval: {error}"), case, adapters)
        raise
    log.info("%s version %s approved by %s: %s", case.name, asked.version, answer.who, answer.reason)
    return _enter(entry, case, adapters)


def tell(
    question: Question, places: Places, adapters: Adapters, *, deliver: Callable[[Mail], None], now: datetime
) -> AlertRecord | None:
    """Mail the approvers a question, and return what went out; None where they were mailed it before.

    Raises:
        MailError: the mail was not delivered; doing it again tries again.
    """
    case, day = question.case.name, question.evaluated.at.date()
    if adapters.ledger.was_alerted(case, verdict=question.topic, since=day):
        return None
    letter = mail(question, places)
    deliver(letter)
    told = AlertRecord(case, question.topic, day, day, letter.subject, letter.to, now)
    adapters.ledger.save_alert(told)
    return told


def _enter(entry: Entry, case: UseCase, adapters: Adapters) -> Entry:
    """Write an answer into the ledger, and what it says onto the version's card."""
    written = adapters.ledger.add(entry)
    carding.keep(case.name, str(entry.to_version), adapters, case=case)
    return written


def _rules(case: UseCase) -> HumanApproval:
    if case.human_approval is None:
        raise SpecError(f"{case.name} asks nobody for approval: approval is {case.approval!r} in its use_case.yaml.")
    return case.human_approval


def _refuse_overtaken(case: UseCase, shown: Entry | None, asked: Asked) -> Entry:
    """Return the evaluation that people saw; refuse where it is not the newest any more: the figures are others."""
    if shown is None or shown.anchor != asked.evaluation:
        newest = f"entry {shown.id} by {shown.who}" if shown else "gone"
        raise RefusedError(
            f"{case.name} version {asked.version} was evaluated again while people were asked: the newest evaluation "
            f"is {newest}, and they saw entry {asked.evaluation.partition(':')[0] or 'none'}. Start "
            f"{approving.dag_of(case)} again."
        )
    return shown
