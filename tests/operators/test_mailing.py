"""When a mail is due, what becomes of it where the server refuses, and that nothing is told twice."""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import MailError
from perennial.io.ledger import Ledger
from perennial.io.outbox import Outbox
from perennial_airflow.governance import SendMailOperator
from perennial_airflow.notices import FailureNotice, note_late, note_success
from perennial_airflow.operators import AlertOperator

OPTIONS = "disable_ssl=true&disable_tls=true&from_email=perennial%40example.org&timeout=5&retry_limit=0"


class Catcher:
    """A real SMTP server on a free port that keeps what it is sent."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  aiosmtpd's name
        """Refuse recipients where a test says so."""
        if self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  aiosmtpd's name
        """Keep the mail."""
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def catcher(monkeypatch) -> Iterator[Catcher]:
    """Run a mail server and point `smtp_default` at it."""
    controller_module = pytest.importorskip("aiosmtpd.controller", reason="uv sync --extra local installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    catcher = Catcher()
    controller = controller_module.Controller(catcher, hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}/?{OPTIONS}")
    yield catcher
    controller.stop()
    assert not any(thread.name.startswith("aiosmtpd") for thread in threading.enumerate())


def looked(adapters, record) -> AlertOperator:
    """Keep a day's finding, and return the task that follows it."""
    adapters.ledger.add_monitor(record, at=datetime(2026, 3, 2, 1, tzinfo=UTC), run="run 1")
    return AlertOperator(task_id="alert", case="toy")


def test_an_incident_is_mailed_and_kept(catcher, adapters, make_context, make_finding):
    """The mail has text and HTML, its links lead to the run; the ledger knows that it went out."""
    handed_on = looked(adapters, make_finding()).execute(make_context())

    (mail,) = catcher.mails
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert (mail["To"], mail["From"]) == ("ops@example.org", "perennial@example.org")
    assert mail["Subject"] == "[Perennial] toy: feed broken since 2026-03-01"
    assert "/dags/toy__x/runs/run%201" in mail.get_body(("plain",)).get_content()
    assert handed_on["sent"] == [mail["Subject"]] == [alert.subject for alert in adapters.ledger.alerts("toy")]
    assert handed_on["entries"][0]["action"] == "incident opened"


def test_one_incident_is_one_mail(catcher, adapters, make_context, make_finding):
    """Its next day is skipped."""
    looked(adapters, make_finding()).execute(make_context())
    later = make_finding(day=date(2026, 3, 2))

    with pytest.raises(AirflowSkipException, match="no incident opens, gets worse or ends"):
        looked(adapters, later).execute(make_context(partition_key="2026-03-02"))
    assert len(catcher.mails) == 1


def test_opening_and_end_are_one_thread_on_the_wire(catcher, adapters, make_context, make_finding):
    """As the server got them: Message-ID, In-Reply-To, References, and the subject behind `Re:`."""
    looked(adapters, make_finding()).execute(make_context())
    for day in ("2026-03-02", "2026-03-03"):
        calm = looked(adapters, make_finding(day=date.fromisoformat(day), verdict="stable", measures=()))
        if day == "2026-03-02":
            with pytest.raises(AirflowSkipException):
                calm.execute(make_context(partition_key=day))
        else:
            calm.execute(make_context(partition_key=day))

    first, over = catcher.mails
    assert over["In-Reply-To"] == over["References"] == first["Message-ID"] != over["Message-ID"]
    assert over["Subject"] == f"Re: {first['Subject']}"
    assert "is over" in over.get_body(("plain",)).get_content()


def test_silence_where_there_is_nothing_to_say(catcher, adapters, make_context, make_finding):
    """Drift without consequence is no reason for a mail."""
    with pytest.raises(AirflowSkipException, match="Nothing to tell"):
        looked(adapters, make_finding(measures=())).execute(make_context())
    assert catcher.mails == []


def test_a_backfill_raises_no_incident_and_sends_no_mail(catcher, adapters, make_context, make_finding):
    """Not even about a broken feed."""
    with pytest.raises(AirflowSkipException, match="it raises no incident and sends no mail"):
        looked(adapters, make_finding()).execute(make_context("backfill"))
    assert catcher.mails == []
    assert adapters.ledger.history() == ()


def test_a_refused_mail_waits_and_fails_nothing(catcher, adapters, make_context, make_finding):
    """The incident is in the ledger; the mail goes out with whatever runs next, once."""
    catcher.refuses = True
    assert looked(adapters, make_finding()).execute(make_context())["sent"] == []
    assert len(adapters.outbox.waiting()) == 1

    catcher.refuses = False
    for _ in range(2):
        with suppress(AirflowSkipException):
            SendMailOperator(task_id="send_mail").execute(make_context())
    assert len(catcher.mails) == 1


def test_a_server_that_is_down_fails_the_task_that_only_sends(monkeypatch, adapters, make_context, make_finding):
    """So that somebody sees it; the mail is still there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}/?{OPTIONS}")
    looked(adapters, make_finding()).execute(make_context())

    with pytest.raises(MailError, match=r"1 mail\(s\) stay in the outbox.*smtp_default.*ConnectionRefusedError"):
        SendMailOperator(task_id="send_mail").execute(make_context())
    assert len(adapters.outbox.waiting()) == 1


def test_a_missing_connection_is_a_mail_error(monkeypatch, adapters, make_context, make_finding):
    """Nobody has set `smtp_default`: the message names it."""
    from perennial_airflow.hooks import MailHook

    monkeypatch.setattr(MailHook, "get_connection", _not_found)
    looked(adapters, make_finding()).execute(make_context())

    with pytest.raises(MailError, match="the connection 'smtp_default'"):
        SendMailOperator(task_id="send_mail").execute(make_context())


def test_nothing_that_is_due_is_a_skip(catcher, make_context):
    """Four times an hour, all year."""
    with pytest.raises(AirflowSkipException, match=r"Nothing is due; 0 mail\(s\) wait"):
        SendMailOperator(task_id="send_mail").execute(make_context())


def _not_found(_hook: object, _conn_id: str) -> None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    raise AirflowNotFoundException("The conn_id `smtp_default` isn't defined")


def failed(make_context, task: str = "ingest", error: str | None = None, **fields):
    """Return the context of a run in which a task failed."""
    return make_context(reason="task_failure", ti=SimpleNamespace(task_id=task, xcom_pull=lambda **_: error), **fields)


def test_a_failed_run_is_one_mail(catcher, make_context):
    """It names the DAG, the day, the task and the error, all escaped."""
    FailureNotice("toy", to=("ops@example.org",))(
        failed(make_context, "<b>ingest", "DataError: <i>rows", run_id="manual & mine")
    )

    (mail,) = catcher.mails
    page = mail.get_body(("html",)).get_content()
    assert mail["Subject"] == "[Perennial] toy: runs fail since 2026-03-01"
    assert "&lt;b&gt;ingest" in page
    assert "DataError: &lt;i&gt;rows" in page
    assert "/dags/toy__x/runs/manual%20%26%20mine" in mail.get_body(("plain",)).get_content()


def test_many_tasks_that_fail_for_one_reason_are_one_mail(catcher, make_context):
    """Forty of them."""
    for place in range(40):
        FailureNotice("toy", to=("ops@example.org",))(
            failed(make_context, f"task_{place}", f"LakeError: no disk {place}")
        )

    assert len(catcher.mails) == 1


def test_a_task_that_ends_well_ends_its_incident(catcher, make_context):
    """With one mail; another task's success does not."""
    FailureNotice("toy", to=("ops@example.org",))(failed(make_context))
    note_success(failed(make_context, "features"))
    assert len(catcher.mails) == 1
    note_success(failed(make_context))
    note_success(failed(make_context))

    assert [mail["Subject"].startswith("Re: ") for mail in catcher.mails] == [False, True]


def test_a_failed_backfill_sends_none(catcher, adapters, make_context):
    """Who starts a backfill looks at it; ninety mails would help nobody. Nor does it end an incident."""
    FailureNotice("toy", to=("ops@example.org",))(make_context("backfill"))
    note_success(make_context("backfill", ti=SimpleNamespace(task_id="x")))

    assert catcher.mails == []
    assert adapters.ledger.history() == ()


def test_a_callback_that_knows_little_still_mails(catcher, make_context):
    """Airflow may have no task to tell of."""
    context = make_context(partition_key=None)
    del context["dag_run"]

    FailureNotice("toy", to=("ops@example.org",))(context)

    assert catcher.mails[0]["Subject"].startswith("[Perennial] toy: runs fail since ")


def test_with_a_dead_ledger_a_failure_is_mailed_all_the_same_once(catcher, adapters, make_context, monkeypatch):
    """Nothing can be entered; forty tasks that fail for it are still one mail, and a day later another."""
    adapters.ledger = Ledger("postgresql://nobody@127.0.0.1:9/none")
    adapters.outbox = Outbox(adapters.ledger)
    for place in range(3):
        FailureNotice("toy", to=("ops@example.org",))(
            failed(make_context, f"task_{place}", f"LedgerError: no answer {place}")
        )
    (mail,) = catcher.mails
    assert mail["Subject"] == "[Perennial] failed: toy__x of 2026-03-01"

    monkeypatch.setattr("perennial_airflow.notices.UNROUTED_FOR", timedelta(0))
    FailureNotice("toy", to=("ops@example.org",))(failed(make_context, "task_0", "LedgerError: no answer 0"))
    assert len(catcher.mails) == 2


def test_a_success_with_a_dead_ledger_stays_one(adapters, make_context):
    """The task has done its work."""
    adapters.ledger = Ledger("postgresql://nobody@127.0.0.1:9/none")

    note_success(failed(make_context))


@pytest.mark.parametrize(("run", "mails"), [("scheduled__2026-03-02", 1), ("backfill__2026-03-02", 0)])
def test_a_missed_deadline_is_one_mail(catcher, run: str, mails: int):
    """None of a backfill; the context is what Airflow hands a deadline's callback."""
    for _ in range(2):
        note_late({"dag_run": {"dag_run_id": run, "partition_key": "2026-03-01"}}, case="toy", dag="toy__batch_scoring")

    assert len(catcher.mails) == mails
    if mails:
        assert catcher.mails[0]["Subject"] == "[Perennial] toy: a run is late since 2026-03-01"
        assert (
            "/dags/toy__batch_scoring/runs/scheduled__2026-03-02" in catcher.mails[0].get_body(("plain",)).get_content()
        )


def test_what_the_hook_relies_on_is_there():
    """`_smtp_client` is SmtpHook's own: this is the place that breaks when a release renames it."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    assert SmtpHook()._smtp_client is None
    assert hasattr(smtplib.SMTP, "send_message")
