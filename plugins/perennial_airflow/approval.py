"""Human approval in Airflow: the task that asks and enters the answer, and the one that mails the approvers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context, Param, timezone
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from perennial.spec import HumanApproval, UseCase

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import run_id_of, run_url, starters_of
from perennial_airflow.xcoms import xcom

if TYPE_CHECKING:
    from perennial.approving import Answer
    from perennial.io.questions import Places, Question

TASK = "approve"
REASON = "reason"
# Airflow 3.3 takes a task for failed whose answer comes before the scheduler has heard that it waits: it asks again.
ASK_AGAIN = timedelta(seconds=5)


def asked(case: UseCase, version: Any) -> list[ApproveOperator]:
    """Return the tasks that a promotion has to wait for: none where the gates alone decide.

    Args:
        case: the use case; its `approval` says who is asked.
        version: the version that was evaluated, such as `evaluate.output["version"]`.
    """
    rules = case.human_approval
    if rules is None:
        return []
    # A mail server that is down holds no answer up: the question stands in Airflow as well.
    TellApproversOperator(
        task_id="tell_approvers", task_display_name="Mail the approvers", case=case.name, version=version
    )
    approve = ApproveOperator(
        task_id=TASK, task_display_name="Wait for approval", case=case.name, version=version,
        response_timeout=timedelta(days=rules.timeout_days), assigned_users=assignees(rules), retry_delay=ASK_AGAIN,
    )  # fmt: skip
    return [approve]


def assignees(rules: HumanApproval) -> list[dict[str, str]] | None:
    """Return the users whose answer Airflow takes; None where it knows people by number, as FAB does.

    There Airflow takes the answer of everyone who may answer at all; one of who is not on the list is refused later.
    """
    if not conf.get("core", "auth_manager").endswith("SimpleAuthManager"):
        return None
    return [{"id": name, "name": name} for name in rules.approvers]


class AskingOperator(StageOperator):
    """Base of the operators that ask about a version.

    Args:
        version: the model version, as the evaluation returned it.
    """

    template_fields: Sequence[str] = ("case", "version")

    def __init__(self, *, version: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version

    def question(self, context: Context) -> Question:
        """Return what is asked: the version of this run, by the ledger's evaluation."""
        from perennial.stages import approval

        return approval.ask(self.use_case(), self.version, self.adapters(), run=run_id_of(context))

    def places(self, question: Question, context: Context) -> Places:
        """Return where the question is answered, and what there is to look at."""
        from perennial.io.questions import Places
        from perennial.settings import load_settings

        settings = load_settings()
        answer = f"{run_url(context)}/tasks/{TASK}/required_actions?map_index=-1"
        return Places.of(question, airflow_url=settings.airflow_url, mlflow=settings.mlflow, answer=answer)


class ApproveOperator(AskingOperator, ApprovalOperator):
    """Wait for an approver's answer, and enter it in the ledger; a rejection, also by timeout, skips what follows.

    `promote` goes by the ledger's entry. So a task that was marked as successful by hand approves nothing.
    """

    template_fields: Sequence[str] = ("case", "version", "subject", "body")

    def __init__(self, **kwargs: Any) -> None:
        # Airflow checks the form's defaults when the task starts, so an empty one has to be allowed here.
        form = {REASON: Param("", type="string", title="Why (required; kept in the ledger with your name)")}
        super().__init__(subject="Promote to champion?", defaults=self.REJECT, params=form, **kwargs)

    def execute(self, context: Context) -> Any:
        """Ask, and hand on which evaluation people are shown."""
        from perennial.io.questions import form

        question = self.question(context)
        self.subject, self.body = question.subject, form(question, self.places(question, context))
        try:
            return super().execute(context)
        except TaskAwaitingInput as waiting:
            # Kept with the task while it waits, where nobody can write it: an XCom may be written by hand.
            waiting.kwargs = {"evaluation": question.evaluated.anchor, "version": question.report.version}
            raise

    def execute_complete(self, context: Context, event: dict[str, Any], **shown: str) -> Any:
        """Enter the answer to what was shown, then let Airflow act on it; what does not count fails the task."""
        from perennial.approving import Asked
        from perennial.stages import approval

        asked, now = Asked(**shown, starters=tuple(sorted(starters_of(context)))), timezone.utcnow()
        entry = approval.run(
            self.use_case(), answer_in(event), self.adapters(), asked=asked, now=now, run=run_id_of(context)
        )
        self.log.info("%s: %s by %s, entry %s: %s", self.case, entry.action, entry.who, entry.id, entry.reason)
        return super().execute_complete(context, event)

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Leave the form to the library, which refuses an approval without a reason and asks none of a rejection."""


class TellApproversOperator(AskingOperator):
    """Mail the approvers the gates and the link to the form, once a question."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return who was told; skips where they were told before."""
        from perennial.stages import approval

        from perennial_airflow.hooks import MailHook

        question = self.question(context)
        told = approval.tell(
            question, self.places(question, context), self.adapters(), deliver=MailHook().deliver, now=timezone.utcnow()
        )
        if told is None:
            raise AirflowSkipException(f"The approvers were mailed this question before: {question.subject}")
        return xcom(told)


def answer_in(event: Mapping[str, Any]) -> Answer:
    """Return the answer of the event that Airflow resumes the task with, out of what it has recorded of the answer."""
    from perennial.approving import Answer

    chosen, form = event.get("chosen_options") or (), event.get("params_input") or {}
    who, reason = event.get("responded_by_user") or {}, form.get(REASON)
    return Answer(tuple(chosen), who.get("name"), reason if isinstance(reason, str) else "")
