"""The question that approvers are asked: as the body of Airflow's form, in Markdown, and as a mail."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from perennial import cards
from perennial.io import gatepage
from perennial.io.entries import ARTIFACT, Entry
from perennial.io.mails import Mail, one_line
from perennial.io.pages import address, render
from perennial.spec import HumanApproval, UseCase
from perennial.verdicts import GateReport


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: this version, in place of that champion, by this evaluation."""

    case: UseCase
    rules: HumanApproval
    evaluated: Entry
    report: GateReport

    @property
    def subject(self) -> str:
        """Return the question in a line."""
        instead = f"in place of version {self.report.champion}" if self.report.champion else "the first one"
        return one_line(f"Promote {self.case.name} version {self.report.version} to champion, {instead}?")

    @property
    def topic(self) -> str:
        """Return what the mail about it is kept under in the ledger."""
        return f"approval {self.evaluated.id}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where whoever is asked can look and answer; None where there is no such page."""

    answer: str
    gates: str | None
    card: str
    mlflow: str | None
    models: str

    @classmethod
    def of(cls, question: Question, *, airflow_url: str, mlflow: str, answer: str) -> Places:
        """Return the addresses of the question's pages; MLflow without a server has none."""
        report, root = question.report, airflow_url.rstrip("/")
        version = f"{mlflow.rstrip('/')}/#/models/{quote(report.case)}/versions/{report.version}"
        return cls(
            answer=answer,
            gates=address(root, report.page) if report.page else None,
            card=address(root, cards.path(report.case, report.version)),
            mlflow=version if mlflow.startswith(("http://", "https://")) else None,
            models=f"{root}/plugin/models",
        )


def form(question: Question, places: Places) -> str:
    """Return the body of Airflow's form: what will change, the gates as a table, links, and what counts."""
    return render("approval.md", question=question, places=places, fingerprint=_fingerprint(question)).strip()


def mail(question: Question, places: Places) -> Mail:
    """Return the mail to the approvers, with the link to the form."""
    values = {"question": question, "places": places, "fingerprint": _fingerprint(question)}
    table = gatepage.mail_table(question.report)
    return Mail(
        to=question.rules.mail_to or question.case.alerts.to,
        subject=f"[Perennial] {question.subject}",
        html=render("approval_mail.html", **values, table=table),
        text=render("approval_mail.txt", **values),
    )


def _fingerprint(question: Question) -> str:
    return str(question.evaluated.report.get(ARTIFACT) or "none")[:12]
