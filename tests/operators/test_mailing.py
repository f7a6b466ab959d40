"""When a mail is due, what becomes of it where the server refuses, and that nothing is told twice."""

from __future__ import annotations

import smtplib
import socket
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import MailError
from perennial_airflow.notices import FailureMail
from perennial_airflow.operators import AlertOperator
from perennial_airflow.xcoms import xcom

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


def alert(record) -> AlertOperator:
    """Return the task that mails this finding."""
    return AlertOperator(task_id="alert", case="toy", finding=xcom(record))


def test_a_finding_is_mailed_and_kept(catcher, adapters, make_context, make_finding):
    """The mail has text, HTML and the picture inside; the ledger knows that it went out."""
    handed_on = alert(make_finding()).execute(make_context())

    (mail,) = catcher.mails
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"]
    assert (mail["To"], mail["From"]) == ("ops@example.org", "perennial@example.org")
    assert adapters.ledger.saved[0].subject == mail["Subject"] == "[Perennial] toy: data drifted since 2026-03-01"
    assert handed_on["to"] == ["ops@example.org"]


def test_the_picture_is_the_one_the_page_asks_for(catcher, make_context, make_finding):
    """Content-ID and `cid:` agree, and the part is inline, so that mail clients show it in its place."""
    alert(make_finding()).execute(make_context())

    picture = next(part for part in catcher.mails[0].walk() if part.get_content_type() == "image/png")
    assert picture["Content-ID"] == "<drift>"
    assert picture.get_content_disposition() == "inline"
    assert 'src="cid:drift"' in catcher.mails[0].get_body(("html",)).get_content()
    assert picture.get_content().startswith(b"\x89PNG")


def test_one_finding_is_one_mail(catcher, adapters, make_context, make_finding):
    """The same finding on its next day is skipped, and says that it was told."""
    from datetime import date

    alert(make_finding()).execute(make_context())

    with pytest.raises(AirflowSkipException, match=r"drifted since 2026-03-01\) went out before"):
        alert(make_finding(day=date(2026, 3, 2), opens_alert=False)).execute(make_context())
    assert len(catcher.mails) == 1


@pytest.mark.parametrize("verdict", ["stable", "unknown"])
def test_silence_where_there_is_nothing_to_say(verdict, catcher, make_context, make_finding):
    """Neither a stable day nor one that cannot be judged is a reason for a mail."""
    with pytest.raises(AirflowSkipException, match="Nothing to tell"):
        alert(make_finding(verdict=verdict)).execute(make_context())
    assert catcher.mails == []


def test_a_backfill_sends_no_mail(catcher, make_context, make_finding):
    """Not even about a finding."""
    with pytest.raises(AirflowSkipException, match="a backfill sends no mail"):
        alert(make_finding()).execute(make_context("backfill"))
    assert catcher.mails == []


def test_a_refused_mail_is_not_lost(catcher, adapters, make_context, make_finding):
    """The task fails and says what to check; the next day tells of the finding, since nobody was told."""
    catcher.refuses = True
    with pytest.raises(MailError, match=r"to ops@example.org was not delivered.*550.*Check that connection"):
        alert(make_finding()).execute(make_context())
    assert adapters.ledger.saved == []

    catcher.refuses = False
    alert(make_finding(opens_alert=False)).execute(make_context())
    assert len(catcher.mails) == 1


def test_a_server_that_is_down_is_a_mail_error(monkeypatch, make_context, make_finding):
    """A refused connection is told like a refused mail."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", f"smtp://127.0.0.1:{port}/?{OPTIONS}")

    with pytest.raises(MailError, match=r"smtp_default.*ConnectionRefusedError"):
        alert(make_finding()).execute(make_context())


def test_a_missing_connection_is_a_mail_error(monkeypatch, make_context, make_finding):
    """Nobody has set `smtp_default`: the message names it."""
    from perennial_airflow.hooks import MailHook

    monkeypatch.setattr(MailHook, "get_connection", _not_found)

    with pytest.raises(MailError, match="the connection 'smtp_default'"):
        alert(make_finding()).execute(make_context())


def _not_found(_hook: object, _conn_id: str) -> None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    raise AirflowNotFoundException("The conn_id `smtp_default` isn't defined")


def test_a_failed_run_is_one_mail(catcher, make_context):
    """It names the DAG, the day, the task and the reason, all escaped."""
    context = make_context(
        reason="task_failure",
        ti=SimpleNamespace(task_id="<b>ingest", xcom_pull=lambda **_: None),
        run_id="manual & mine",
    )

    FailureMail(case="toy", to=("ops@example.org",))(context)

    (mail,) = catcher.mails
    page = mail.get_body(("html",)).get_content()
    assert mail["Subject"] == "[Perennial] failed: toy__x of 2026-03-01"
    assert "&lt;b&gt;ingest" in page
    assert "manual &amp; mine" in page
    assert "/dags/toy__x/runs/manual%20%26%20mine" in mail.get_body(("plain",)).get_content()


def test_a_failed_backfill_sends_none(catcher, make_context):
    """Who starts a backfill looks at it; ninety mails would help nobody."""
    FailureMail(case="toy", to=("ops@example.org",))(make_context("backfill"))

    assert catcher.mails == []


def test_a_callback_that_knows_little_still_mails(catcher, make_context):
    """Airflow may have no task to tell of."""
    context = make_context(partition_key=None)
    del context["dag_run"]

    FailureMail(case="toy", to=("ops@example.org",))(context)

    assert catcher.mails[0]["Subject"] == "[Perennial] failed: toy__x"


def test_what_the_hook_relies_on_is_there():
    """`_smtp_client` is SmtpHook's own: this is the place that breaks when a release renames it."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    assert SmtpHook()._smtp_client is None
    assert hasattr(smtplib.SMTP, "send_message")
