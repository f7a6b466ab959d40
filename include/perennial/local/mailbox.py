"""Reads what the mail catcher kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mail:
    """One caught mail."""

    path: Path
    at: datetime
    message: EmailMessage

    @property
    def subject(self) -> str:
        """Return the subject in plain text."""
        return str(self.message["subject"])


def mails(folder: Path, *, since: datetime | None = None) -> list[Mail]:
    """Return the caught mails, oldest first; of those after `since` where it is given."""
    found = [_read(path) for path in sorted(folder.glob("*.eml"))]
    return [mail for mail in found if since is None or mail.at >= since]


def _read(path: Path) -> Mail:
    with path.open("rb") as file:
        message = BytesParser(EmailMessage, policy=policy.default).parse(file)
    at = datetime.strptime(path.name.split("-", 1)[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    return Mail(path, at, message)
