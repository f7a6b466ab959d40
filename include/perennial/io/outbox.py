"""The outbox: mails that are to go out, each once, kept until a server has taken them.

A mail is put in before anybody tries to send it, so that a server that is down, quiet hours and a process that is
killed lose nothing. The ledger's table of mails says which went out; the same mail is never written twice.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from perennial.io import chain
from perennial.io.entries import identity, metadata, utc
from perennial.io.ledger import ALERTS, UPGRADE_LOCK, Ledger, alert_row
from perennial.io.mails import Mail
from perennial.records import AlertRecord, Record

DELIVERY_LOCK = UPGRADE_LOCK + 2

_outbox = sa.Table(
    "ledger_outbox",
    metadata,
    *identity(),
    sa.Column("not_before", sa.DateTime(timezone=True)),
    sa.Column("topic", sa.String(40)),
    sa.Column("mail", sa.Text),
)


@dataclass(frozen=True, slots=True)
class Waiting(Record):
    """A mail that has not gone out.

    Attributes:
        id: its number; smaller ones go first.
        case: the use case it is about.
        at: when it was put in.
        not_before: when it may go out.
        topic: what it is about; of each topic there is one mail.
        mail: what it says.
    """

    id: int
    case: str
    at: datetime
    not_before: datetime
    topic: str
    mail: Mail


class Outbox:
    """The mails of a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def put(self, mail: Mail, *, case: str, topic: str, at: datetime, not_before: datetime | None = None) -> None:
        """Keep a mail to be sent; of a topic that is there already nothing is written.

        Raises:
            LedgerError: the ledger does not answer.
        """
        row = {
            "case": case, "at": utc(at), "not_before": utc(not_before or at), "topic": topic, "mail": _to_json(mail),
        }  # fmt: skip
        with self._ledger.transaction(lock=DELIVERY_LOCK) as connection:
            if connection.execute(sa.select(_outbox.c.id).where(_outbox.c.topic == topic)).first() is None:
                connection.execute(sa.insert(_outbox).values(row))

    def topics(self, case: str) -> frozenset[str]:
        """Return what mails about a use case were put in or went out about."""
        kept = sa.select(_outbox.c.topic).where(_outbox.c.case == case)
        sent = sa.select(ALERTS.c.verdict).where(ALERTS.c.case == case)
        with self._ledger.transaction() as connection:
            return frozenset(connection.scalars(sa.union(kept, sent)))

    def recipients(self, case: str) -> dict[str, tuple[str, ...]]:
        """Return whom each topic of a use case was written to."""
        with self._ledger.transaction() as connection:
            rows = connection.execute(sa.select(_outbox.c.topic, _outbox.c.mail).where(_outbox.c.case == case)).all()
        return {row.topic: tuple(json.loads(row.mail)["to"]) for row in rows}

    def waiting(self, case: str | None = None) -> tuple[Waiting, ...]:
        """Return the mails that have not gone out, oldest first."""
        with self._ledger.transaction() as connection:
            rows = connection.execute(_unsent(case).order_by(_outbox.c.id)).mappings().all()
        return tuple(_read(row) for row in rows)

    def send(self, waiting: Waiting, deliver: Callable[[Mail], None], *, now: datetime) -> AlertRecord | None:
        """Hand a mail to a server and remember it, None where another process was faster.

        Nobody else sends meanwhile. Only a process that is killed between the server's answer and the database's sends
        a mail again, under the same Message-ID.

        Raises:
            MailError: the server did not take it; it stays.
        """
        with self._ledger.transaction(lock=DELIVERY_LOCK) as connection:
            if connection.execute(_unsent(waiting.case).where(_outbox.c.id == waiting.id)).first() is None:
                return None
            deliver(waiting.mail)
            day = waiting.at.date()
            alert = AlertRecord(waiting.case, waiting.topic, day, day, waiting.mail.subject, waiting.mail.to, now)
            connection.execute(sa.insert(ALERTS).values(alert_row(alert)))
            return alert


def _unsent(case: str | None) -> sa.Select[Any]:
    sent = sa.select(ALERTS.c.id).where(ALERTS.c.case == _outbox.c.case, ALERTS.c.verdict == _outbox.c.topic)
    query = sa.select(_outbox).where(~sent.exists())
    return query if case is None else query.where(_outbox.c.case == case)


def _to_json(mail: Mail) -> str:
    pictures = {name: base64.b64encode(png).decode() for name, png in mail.pictures.items()}
    return json.dumps({**asdict(mail), "pictures": pictures})


def _read(row: sa.RowMapping) -> Waiting:
    known = json.loads(row["mail"])
    pictures = {name: base64.b64decode(text) for name, text in known.pop("pictures").items()}
    mail = Mail(
        to=tuple(known["to"]),
        subject=known["subject"],
        html=known["html"],
        text=known["text"],
        pictures=pictures,
        message_id=known["message_id"],
        thread=known["thread"],
    )
    return Waiting(row["id"], row["case"], chain.utc(row["at"]), chain.utc(row["not_before"]), row["topic"], mail)
