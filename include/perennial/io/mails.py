"""The mails that people get: what is in them, and how they are put together so that every mail client shows them.

A mail is HTML with its pictures inside and the same in plain text. Nothing here talks to a mail server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from perennial.changes import BackfillSummary
from perennial.io.entries import Entry
from perennial.io.pages import address, render
from perennial.spec import UseCase

DOMAIN = "perennial.invalid"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail before it has a sender; `pictures` maps the name after `cid:` in the HTML to a PNG.

    `message_id` tells it from all others, by default a new one; `thread` is that of the mail that began its thread.
    """

    to: tuple[str, ...]
    subject: str
    html: str
    text: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    message_id: str | None = None
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Where a mail sends its reader; all absolute."""

    run: str
    models: str
    report: str | None = None
    runbook: str = ""

    @classmethod
    def of(cls, airflow_url: str, *, run: str, report: str | None = None, section: str = "") -> Links:
        """Return the links of one run below Airflow's address.

        Args:
            airflow_url: where Airflow answers.
            run: address of the run.
            report: relative to the folder of pages.
            section: kind of incident that the runbook is opened at.
        """
        root = airflow_url.rstrip("/")
        page = address(root, report) if report else None
        anchor = f"#{section.replace(' ', '-')}" if section else ""
        return cls(run=run, models=f"{root}/plugin/models", report=page, runbook=f"{root}/perennial/runbook{anchor}")


@dataclass(frozen=True, slots=True)
class FailedRun:
    """What Airflow says about a run that failed."""

    dag_id: str
    title: str
    run_id: str
    day: str | None
    reason: str
    task_id: str | None = None
    error: str | None = None


def failure_mail(to: Iterable[str], run: FailedRun, links: Links) -> Mail:
    """Return the mail about a DAG run that failed."""
    values = {"run": run, "links": links}
    of_day = f" of {run.day}" if run.day else ""
    return Mail(
        to=tuple(to),
        subject=one_line(f"[Perennial] failed: {run.dag_id}{of_day}"),
        html=render("failure_mail.html", **values),
        text=render("failure_mail.txt", **values),
    )


def backfill_mail(to: Iterable[str], record: BackfillSummary, links: Links, *, dry_run: bool) -> Mail:
    """Return the one mail about a backfill, to who asked for it."""
    ended = "planned" if dry_run else "done" if record.done == record.parts else "not complete"
    last = record.window.end - timedelta(days=1)
    values = {"record": record, "links": links, "ended": ended, "last": last}
    return Mail(
        to=tuple(to),
        subject=one_line(f"[Perennial] backfill of {record.case} {ended}: {record.window.start} to {last}"),
        html=render("backfill_mail.html", **values),
        text=render("backfill_mail.txt", **values),
    )


def decision_mail(case: UseCase, entry: Entry, links: Links) -> Mail:
    """Return the mail about a rollback."""
    title = f"rolled back to version {entry.to_version}"
    values = {"case": case, "entry": entry, "links": links, "title": title}
    return Mail(
        to=case.alerts.of("critical"),
        subject=one_line(f"[Perennial] {case.name}: {title}"),
        html=render("decision_mail.html", **values),
        text=render("decision_mail.txt", **values),
    )


def one_line(subject: str) -> str:
    """Return a subject without the line breaks that a header may not have."""
    return " ".join(subject.split())


def compose(mail: Mail, *, sender: str, sent_at: float | None = None) -> EmailMessage:
    """Return the message to hand to a server: plain text, or HTML together with its pictures.

    Args:
        mail: what to say, and to whom.
        sender: the From address.
        sent_at: seconds since 1970 for the Date header; None is now.
    """
    message = EmailMessage()
    message["Subject"] = mail.subject
    message["From"] = sender
    message["To"] = ", ".join(mail.to)
    message["Date"] = formatdate(sent_at)
    message["Message-ID"] = mail.message_id or make_msgid(domain=DOMAIN)
    if mail.thread is not None:
        message["In-Reply-To"] = message["References"] = mail.thread
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    page = message.get_body(("html",))
    for name, png in mail.pictures.items():
        page.add_related(png, "image", "png", cid=f"<{name}>", disposition="inline", filename=f"{name}.png")  # type: ignore[union-attr]
    return message
