"""Rollback and the mails about decisions: what reaches the stage, who is told, and what stays due."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import AliasMovedError, RefusedError
from perennial.io.ledger import Entry, Ledger
from perennial.records import PromotionRecord
from perennial_airflow.governance import RollbackOperator, TellDecisionsOperator
from perennial_airflow.notices import FailureNotice

FORM = {"to_version": " 5 ", "reason": "it loses money"}


@pytest.fixture
def ledger(adapters, monkeypatch) -> Ledger:
    """Put a real ledger in the adapters, and aliases that nobody has moved."""
    projection = ModuleType("perennial.projection")
    projection.watch = lambda *args, **options: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "perennial.projection", projection)
    monkeypatch.setattr("perennial.projection", projection, raising=False)
    return adapters.ledger


def enter(ledger: Ledger, now, action, **fields) -> Entry:
    """Write a decision about the aliases."""
    return ledger.add(Entry("toy", now, action, "ann", "it <loses> money", "run 1", "7", "5", **fields))


def tell(context) -> list:
    """Run the task."""
    return TellDecisionsOperator(task_id="tell", case="toy").execute(context)


def test_a_rollback_hands_over_the_form_and_who_filled_it_in(case, adapters, fake_stage, make_context, now):
    """The event of the asset says what is champion now."""
    record = PromotionRecord("toy", "5", "7", "ann", now, "it loses money", 9, changed=True)
    stage = fake_stage("rollback", gives=record)
    context, asset = make_context(user="ann", params=FORM), Asset("toy/champion")
    handed_on = RollbackOperator(task_id="rollback", case="toy", outlets=[asset]).execute(context)

    assert stage.args == (case, "5", adapters)
    assert (stage.kwargs["who"], stage.kwargs["reason"], stage.kwargs["run"]) == ("ann", "it loses money", "run 1")
    assert stage.kwargs["now"].tzinfo is not None
    assert handed_on["entry"] == 9
    assert context["outlet_events"][asset].extra == {"version": "5", "previous": "7", "who": "ann"}


def test_a_refused_rollback_fails_the_task(fake_stage, make_context):
    """With the stage's own words."""
    fake_stage("rollback", gives=RefusedError("it never was champion"))

    with pytest.raises(RefusedError, match="never was champion"):
        RollbackOperator(task_id="rollback", case="toy").execute(make_context(params=FORM))


SUBJECTS = [
    ("rolled back", {}, "[Perennial] toy: rolled back to version 5"),
]


@pytest.mark.parametrize(("action", "fields", "subject"), SUBJECTS)
def test_a_decision_is_one_mail(ledger, mails, make_context, now, action, fields, subject):
    """Who, why, the entry with its hash, all escaped; the second run has nothing to tell."""
    entry = enter(ledger, now, action, **fields)
    (told,) = tell(make_context())
    with pytest.raises(AirflowSkipException, match="Nothing to tell"):
        tell(make_context())

    (mail,) = mails.sent
    assert (mail.subject, mail.to) == (subject, ("ops@example.org",))
    assert told["subject"] == subject
    assert "it &lt;loses&gt; money" in mail.html
    assert entry.anchor in mail.html
    assert "it <loses> money" in mail.text
    assert "/dags/toy__x/runs/run%201" in mail.text


def test_a_moved_alias_is_one_thread_of_two_mails(ledger, mails, make_context, now):
    """That it was moved, and that it is back, with who and why."""
    opened = enter(ledger, now, "incident opened", report={"about": "aliases"})
    tell(make_context())
    enter(ledger, now, "incident closed", report={"about": "aliases", "opened": opened.id})
    tell(make_context())

    moved, back = mails.sent
    assert moved.subject == "[Perennial] toy: aliases moved since 2026-03-02"
    assert back.thread == moved.message_id
    assert "critical" in moved.text
    assert "is over" in back.text
    assert opened.anchor in moved.html
    assert "it &lt;loses&gt; money" in moved.html


def test_other_incidents_and_promotions_are_not_told_here(ledger, mails, make_context, now):
    """A finding of the daily check has a mail of its own."""
    enter(ledger, now, "promoted")
    enter(ledger, now, "incident opened", report={"about": "drifted"})

    with pytest.raises(AirflowSkipException):
        tell(make_context())
    assert mails.sent == []


def test_a_backfill_tells_nothing(ledger, mails, make_context, now):
    """The next daily run does."""
    enter(ledger, now, "rolled back")
    with pytest.raises(AirflowSkipException, match="a backfill sends no mail"):
        tell(make_context("backfill"))

    assert len(tell(make_context())) == 1


def test_a_refused_mail_stays_due(ledger, mails, make_context, now):
    """Nobody was told, so the next run tells."""
    enter(ledger, now, "rolled back")
    mails.refuses = True
    with pytest.raises(AirflowSkipException):
        tell(make_context())
    mails.refuses = False

    assert len(tell(make_context())) == 1


def test_a_run_that_failed_for_a_moved_alias_has_no_mail_of_its_own(mails, make_context):
    """The incident has one; a failure for anything else is told."""
    for error, sent in ((AliasMovedError("it was moved"), 0), (RefusedError("no"), 1)):
        text = f"{type(error).__name__}: {error}"
        ti = SimpleNamespace(task_id="score", xcom_pull=lambda text=text, **_: text)
        FailureNotice("toy", to=("ops@example.org",))(make_context(ti=ti, reason="task_failure"))

        assert len(mails.sent) == sent
