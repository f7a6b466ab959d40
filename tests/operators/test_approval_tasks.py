"""The task that asks and enters the answer: what Airflow is given to show, what it gives back, and who is mailed."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG, Asset
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from fakes import FakeRegistry
from perennial.approving import Answer
from perennial.errors import MailError, RefusedError
from perennial.io.ledger import Entry, Ledger
from perennial.records import Window
from perennial.spec import HumanApproval, UseCase
from perennial.verdicts import GateReport, GateResult
from perennial_airflow import approval
from perennial_airflow.hooks import MailHook
from perennial_airflow.partitions import starters_of

DAY = date(2026, 3, 1)
APPROVED = {
    "chosen_options": ["Approve"],
    "params_input": {"reason": "it earns more"},
    "responded_by_user": {"id": "7", "name": "ann"},
}


@pytest.fixture
def case(case: UseCase) -> UseCase:
    """Return a use case whose promotions ann or bob approve."""
    return case.model_copy(update={"approval": HumanApproval(approvers=("ann", "bob"), timeout_days=2)})


@pytest.fixture
def ledger(adapters, tmp_path, now) -> Ledger:
    """Put a real ledger in the adapters, with the evaluation of version 7 in the context's run."""
    adapters.ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    adapters.registry = FakeRegistry()  # knows no version, so that no card is written
    result = GateResult("roc_auc at least 0.6", 0.7, 0.6, 0.1)
    report = GateReport("toy", "7", "5", DAY, (result,), {}, Window.of_day(DAY), 100).to_json()
    adapters.ledger.add(
        Entry("toy", now, "evaluated", "airflow", "passed", "run 1", "5", "7", report=report | {"artifact": "f" * 64})
    )
    return adapters.ledger


@pytest.fixture
def requests(monkeypatch) -> list[dict]:
    """Catch what Airflow's server would be asked to keep for the form."""
    caught: list[dict] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **request: caught.append(request))
    return caught


@pytest.fixture
def make_task(case):
    """Return a builder of the approval's task as the DAG has it."""

    def make() -> approval.ApproveOperator:
        with DAG("toy__model_promotion", schedule=None):
            (task,) = approval.asked(case, "7")
        return task

    return make


def ask(task, context) -> TaskAwaitingInput:
    """Run the task up to where it waits, and return what Airflow keeps meanwhile."""
    with pytest.raises(TaskAwaitingInput) as waiting:
        task.execute(context | {"task_instance": SimpleNamespace(id="ti", map_index=-1)})
    return waiting.value


def actions(ledger: Ledger) -> list[tuple[str, str]]:
    """Return what was entered after the evaluation, and by whom, oldest first."""
    return [(each.action, each.who) for each in reversed(ledger.history("toy")[:-1])]


def test_the_form_shows_the_gates_and_wants_a_reason(ledger, requests, make_task, make_context):
    """To the approvers only, for as long as the use case says, with a rejection where nobody answers."""
    waiting = ask(make_task(), make_context())
    (request,) = requests

    assert request["subject"] == "Promote toy version 7 to champion, in place of version 5?"
    assert "| roc_auc at least 0.6 | passed | 0.700 | 0.600 | 0.100 |" in request["body"]
    assert "[Model card](" in request["body"]
    assert "/perennial/pages/cards/toy/version-7.html)" in request["body"]
    assert request["assigned_users"] == [{"id": "ann", "name": "ann"}, {"id": "bob", "name": "bob"}]
    assert (request["options"], request["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert request["params"]["reason"]["schema"]["type"] == "string"
    assert waiting.timeout == timedelta(days=2)
    assert waiting.kwargs == {"evaluation": ledger.latest("toy", "evaluated").anchor, "version": "7"}


def test_an_approval_is_entered_with_who_gave_it(ledger, requests, make_task, make_context):
    """By the name that Airflow has recorded; what was shown comes back from where Airflow kept it."""
    task = make_task()
    shown = ask(task, make_context()).kwargs
    given = task.execute_complete(make_context(), APPROVED | {"responded_at": DAY}, **shown)

    assert actions(ledger) == [("approved", "ann")]
    entry = ledger.answer("toy", run="run 1")
    assert (entry.reason, entry.to_version, entry.report["evaluation"]) == ("it earns more", "7", shown["evaluation"])
    assert given["chosen_options"] == ["Approve"]


def test_what_airflow_keeps_of_question_and_answer_is_enough_to_resume(ledger, requests, make_task, make_context, now):
    """Through Airflow's own code: what the task left when it began to wait, and the answer as its table holds it."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.trigger import handle_event_submit
    from airflow.sdk.serde import deserialize, serialize
    from airflow.triggers.base import TriggerEvent

    task = make_task()
    kept = SimpleNamespace(next_kwargs=serialize(ask(task, make_context()).kwargs))
    answered = HITLDetail(
        chosen_options=["Approve"], params_input={"reason": "it earns more"}, responded_at=now,
        responded_by={"id": "ann", "name": "ann"},
    )  # fmt: skip
    event, session = TriggerEvent(answered.as_resume_event_payload()), SimpleNamespace(flush=lambda: None)
    handle_event_submit(event, task_instance=kept, session=session)
    task.resume_execution("execute_complete", deserialize(kept.next_kwargs), make_context())

    assert actions(ledger) == [("approved", "ann")]


REFUSED = [
    ({"responded_by_user": {"id": "9", "name": "eve"}}, {}, "eve may not approve"),
    ({"responded_by_user": None}, {}, "names nobody"),
    ({"params_input": {}}, {}, "without a reason"),
    ({"params_input": {"reason": 3}}, {}, "without a reason"),
    ({"params_input": None}, {}, "without a reason"),
    ({"chosen_options": []}, {}, "is empty, not Approve"),
    ({}, {"user": "ann"}, "ann started what led to"),
]


@pytest.mark.parametrize(("changed", "run", "said"), REFUSED)
def test_an_answer_that_does_not_count_fails_the_task(ledger, requests, make_task, make_context, changed, run, said):
    """And is entered as refused, with why."""
    task = make_task()
    shown = ask(task, make_context()).kwargs
    with pytest.raises(RefusedError, match=said):
        task.execute_complete(make_context(**run), APPROVED | {"responded_at": DAY} | changed, **shown)

    assert [action for action, _ in actions(ledger)] == ["refused"]


@pytest.mark.parametrize(
    ("event", "who"),
    [
        ({"chosen_options": ["Reject"], "params_input": {"reason": "early"}}, "ann"),
        ({"chosen_options": ["Reject"], "params_input": {"reason": ""}, "responded_by_user": None}, "airflow"),
    ],
)
def test_a_rejection_skips_the_promotion(ledger, requests, make_task, make_context, monkeypatch, event, who):
    """By a person, or by timeout, with which Airflow sends the form's empty default."""
    task, skipped = make_task(), []
    with task.dag:
        task >> approval.StageOperator(task_id="promote", case="toy")
    monkeypatch.setattr(type(task), "skip", lambda self, *, ti, tasks: skipped.extend(each.task_id for each in tasks))
    context = make_context() | {"task": task, "ti": None}
    shown = ask(task, make_context()).kwargs
    task.execute_complete(context, APPROVED | {"responded_at": DAY} | event, **shown)

    assert actions(ledger) == [("refused", who)]
    assert skipped == ["promote"]


def test_what_was_shown_cannot_be_left_out(ledger, make_task, make_context):
    """A task that was resumed without having asked enters nothing."""
    with pytest.raises(TypeError, match="version"):
        make_task().execute_complete(make_context(), APPROVED)
    assert actions(ledger) == []


def test_four_eyes_see_through_the_event_of_a_training(make_context):
    """Whoever started the training is named by the event that started the promotion."""
    named = SimpleNamespace(extra={"version": "7", "who": "ann"})
    events = {Asset("toy/challenger"): [named, SimpleNamespace(extra=None)]}

    assert starters_of(make_context(triggering_asset_events=events)) == {"airflow", "ann"}
    assert starters_of(make_context(user="bob")) == {"bob"}


def test_where_airflow_knows_people_by_number_everyone_may_answer(case, monkeypatch):
    """The list is held against the answer afterwards; a wrong number would lock everyone out."""
    monkeypatch.setattr(approval, "conf", SimpleNamespace(get=lambda *_: "airflow.providers.fab.FabAuthManager"))

    assert approval.assignees(case.human_approval) is None


def test_the_approvers_are_mailed_once(ledger, make_context, monkeypatch):
    """With the link to the form of this run; a server that refuses fails the task, so that it is tried again."""
    sent = []
    task = approval.TellApproversOperator(task_id="tell", case="toy", version="7")

    def refuse(hook, mail):
        raise MailError("down")

    monkeypatch.setattr(MailHook, "deliver", refuse)
    with pytest.raises(MailError):
        task.execute(make_context())
    monkeypatch.setattr(MailHook, "deliver", lambda hook, mail: sent.append(mail))
    told = task.execute(make_context())
    with pytest.raises(AirflowSkipException, match="mailed this question before"):
        task.execute(make_context())

    (mail,) = sent
    assert told["to"] == list(mail.to) == ["ops@example.org"]
    assert "/dags/toy__x/runs/run%201/tasks/approve/required_actions?map_index=-1" in mail.text


def test_the_answer_is_what_airflow_has_recorded():
    """The name, not the number, since Airflow records who starts a run by name."""
    assert approval.answer_in(APPROVED) == Answer(("Approve",), "ann", "it earns more")
    assert approval.answer_in({}) == Answer((), None)
