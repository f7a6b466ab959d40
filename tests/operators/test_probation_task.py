"""The task that watches a probation: silent, or a rollback with its event and its mail."""

from __future__ import annotations

import sys
from datetime import date
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import RefusedError
from perennial.io.ledger import Entry
from perennial.records import PromotionRecord
from perennial_airflow.probation import WatchProbationOperator

DAY = date(2026, 3, 1)
REASON = "On probation by log_loss against version 5. Worse by +0.04 a row; 20 days looked at."


@pytest.fixture
def entry(adapters, now) -> Entry:
    """Put a real ledger in the adapters that holds a rollback by probation."""
    return adapters.ledger.add(Entry("toy", now, "rolled back", "probation", REASON, "run 1", "7", "5"))


@pytest.fixture
def supervising(monkeypatch) -> SimpleNamespace:
    """Put a fake in place of what looks and rolls back; it gives, or raises, what a test says."""
    import perennial

    module, calls = ModuleType("perennial.supervising"), SimpleNamespace(args=(), kwargs={}, gives=None)

    def run(*args: Any, **kwargs: Any) -> Any:
        calls.args, calls.kwargs = args, kwargs
        if isinstance(calls.gives, Exception):
            raise calls.gives
        return calls.gives

    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "perennial.supervising", module)
    monkeypatch.setattr(perennial, "supervising", module, raising=False)
    return calls


def watched(back: PromotionRecord | None = None) -> SimpleNamespace:
    """Return what the library says."""
    return SimpleNamespace(rolled_back=back, told=lambda: "version 7 on probation, going on: 3 days looked at")


def task(**options) -> WatchProbationOperator:
    """Return the task."""
    return WatchProbationOperator(task_id="watch_probation", case="toy", **options)


def test_a_probation_that_goes_on_is_a_skipped_task(case, adapters, supervising, make_context):
    """No event, no mail; the log says how it stands."""
    supervising.gives = watched()
    with pytest.raises(AirflowSkipException, match="going on: 3 days looked at"):
        task().execute(make_context())

    assert supervising.args == (case, DAY, adapters)
    assert supervising.kwargs["run"] == "run 1"
    assert supervising.kwargs["now"].tzinfo is not None


def test_a_rollback_is_told_at_once(entry, supervising, mails, make_context):
    """The champion's asset, and one mail: who, why with numbers, what to do next."""
    supervising.gives = watched(PromotionRecord.of(entry, changed=True))
    context, asset = make_context(), Asset("toy/champion")
    handed_on = task(outlets=[asset]).execute(context)

    assert handed_on["entry"] == entry.id
    assert context["outlet_events"][asset].extra == {"version": "5", "previous": "7", "who": "probation"}
    (mail,) = mails.sent
    assert mail.subject == "[Perennial] toy: rolled back to version 5"
    for text in (mail.html, mail.text):
        assert REASON in text
        assert "which has failed its probation: Perennial has rolled it back by itself" in " ".join(text.split())
        assert "perennial rollback toy --to 7 --reason" in text


def test_a_refused_mail_waits_and_is_sent_once(entry, supervising, mails, make_context):
    """The rollback is done; a run that finds it again sends the mail, and a further one has nothing to tell."""
    supervising.gives = watched(PromotionRecord.of(entry, changed=False))
    mails.refuses = True
    task().execute(make_context())
    mails.refuses = False
    for _ in range(2):
        task().execute(make_context())

    assert len(mails.sent) == 1


def test_a_backfill_is_not_even_looked_at(supervising, make_context):
    """It rolls nothing back and writes nothing."""
    with pytest.raises(AirflowSkipException, match="a backfill rolls nothing back"):
        task().execute(make_context("backfill"))

    assert supervising.args == ()


def test_a_refused_rollback_fails_the_task(supervising, make_context):
    """Somebody has to act: the failure mail has the words."""
    supervising.gives = RefusedError("version 7 has failed its probation and stays champion")

    with pytest.raises(RefusedError, match="stays champion"):
        task().execute(make_context())
