"""What an approval has to be, and when it counts: values in, a refusal out; asked when it comes, and again to promote.

An answer is entered in the ledger by the task that Airflow resumes with it, and by nothing else. So a task that was
marked as successful by hand, or an XCom that was written by hand, leaves no approval behind.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from perennial.errors import RefusedError
from perennial.io.entries import ARTIFACT, EVALUATION, Entry
from perennial.records import Record
from perennial.spec import HumanApproval, UseCase

APPROVE, REJECT = "Approve", "Reject"
STARTERS = "starters"


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """What Airflow has recorded as the answer; `who` is None where time ran out and nobody gave one."""

    chosen: tuple[str, ...]
    who: str | None
    reason: str = ""

    @property
    def rejects(self) -> bool:
        """Tell whether it says no, be it by a person or because time ran out."""
        return self.chosen == (REJECT,)


@dataclass(frozen=True, slots=True)
class Asked(Record):
    """What people were asked: the version, the anchor of the evaluation they saw, and who led to the question."""

    version: str
    evaluation: str
    starters: tuple[str, ...]


def refuse_changed(case: UseCase, version: str, evaluated: Entry, *, fingerprint: str) -> None:
    """Refuse a version whose artifact or manifest is not what its evaluation has measured.

    Raises:
        RefusedError: it differs; or a person has to approve it, and its evaluation has kept no fingerprint.
    """
    kept = evaluated.report.get(ARTIFACT)
    if kept is None and case.human_approval is None:
        return  # evaluated by a version of Perennial that kept none
    if kept != fingerprint:
        raise RefusedError(
            f"{case.name} version {version} is not the model that was evaluated: its artifact and manifest have the "
            f"fingerprint {fingerprint[:12]}, and entry {evaluated.id} measured {str(kept or 'none')[:12]}. Train a "
            f"new one, or look who changed it, then evaluate it: perennial evaluate {case.name} --version {version}."
        )


def refuse_stale(case: UseCase, rules: HumanApproval, evaluated: Entry, *, now: datetime) -> None:
    """Refuse an evaluation that is older than `max_age_days`; one of exactly that age counts."""
    if now - evaluated.at > timedelta(days=rules.max_age_days):
        raise RefusedError(
            f"{case.name} version {evaluated.to_version} was evaluated at {evaluated.at:%Y-%m-%d %H:%M} UTC (entry "
            f"{evaluated.id}), more than approval.max_age_days {rules.max_age_days:g} before {now:%Y-%m-%d %H:%M} UTC. "
            f"Start {dag_of(case)} again: it evaluates, and asks anew."
        )


def refuse_answer(case: UseCase, rules: HumanApproval, answer: Answer, *, starters: Collection[str]) -> None:
    """Refuse what is no approval: no choice, nobody, somebody else, whoever started it, or no reason.

    Args:
        case: whose promotion.
        rules: who may approve.
        answer: what Airflow has recorded.
        starters: who started the run, its training or its evaluation.

    Raises:
        RefusedError: names what is wrong, and who could do it right.
    """
    again = f"Clear the task `approve` of {dag_of(case)} to ask again."
    people = ", ".join(rules.approvers)
    if answer.chosen != (APPROVE,):
        raise RefusedError(
            f"the answer about {case.name} is {', '.join(answer.chosen) or 'empty'}, not {APPROVE}. {again}"
        )
    if not answer.who:
        raise RefusedError(f"the approval of {case.name} names nobody who gave it; {people} may. {again}")
    if answer.who not in rules.approvers:
        raise RefusedError(f"{answer.who} may not approve a promotion of {case.name}; {people} may. {again}")
    if rules.four_eyes and answer.who in starters:
        raise RefusedError(
            f"{answer.who} started what led to this promotion of {case.name}, and approval.four_eyes wants somebody "
            f"else of {people} to approve it. {again}"
        )
    if not answer.reason.strip():
        raise RefusedError(f"{answer.who} approved a promotion of {case.name} without a reason. {again}")


def refuse_unapproved(case: UseCase, rules: HumanApproval, evaluated: Entry, answered: Entry | None) -> Entry:
    """Return the approval of exactly this evaluation; refuse everything else.

    Args:
        case: whose promotion.
        rules: as they are now: who is not on the list any more approves nothing.
        evaluated: the version's newest evaluation.
        answered: the newest answer that was entered in this very run, None where there is none.
    """
    version = evaluated.to_version
    if answered is None:
        raise RefusedError(
            f"{case.name} version {version} is promoted with the approval of {', '.join(rules.approvers)} only, and "
            f"the ledger holds none of this run: start {dag_of(case)}, and answer its task `approve`. A task that was "
            "marked as successful by hand approves nothing."
        )
    if answered.action != "approved":
        raise RefusedError(f"the promotion of {case.name} was not approved (entry {answered.id}): {answered.reason}")
    if answered.to_version != version or answered.report.get(EVALUATION) != evaluated.anchor:
        raise RefusedError(
            f"entry {answered.id} approves {case.name} version {answered.to_version} by its evaluation "
            f"{_place(answered.report.get(EVALUATION))}, and this would promote version {version} by its evaluation "
            f"{evaluated.id}. Start {dag_of(case)} again."
        )
    given = Answer((APPROVE,), answered.who, answered.reason)
    refuse_answer(case, rules, given, starters=(*answered.report.get(STARTERS, ()), evaluated.who))
    return answered


def dag_of(case: UseCase) -> str:
    """Return the DAG that asks for approvals."""
    return f"{case.name}__model_promotion"


def _place(anchor: str | None) -> str:
    return (anchor or "none").partition(":")[0]
