"""The outbox: mails that are to go out, each once, kept until a server has taken them.

A mail is put in before anybody tries to send it, so that a server that is down, quiet hours and a process that is
killed lose nothing. The ledger's table of mails says which went out; the same mail is never written twice.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from email.utils import make_msgid
from typing import Any

import sqlalchemy as sa

from perennial.core.causes import digest
from perennial.errors import MailError
from perennial.io import chain
from perennial.io.entries import TOPIC, Action, Entry, entries, identity, metadata, read, utc
from perennial.io.ledger import ALERTS, UPGRADE_LOCK, Ledger, alert_row
from perennial.io.mails import DOMAIN, Mail
from perennial.records import AlertRecord, Record

DELIVERY_LOCK = UPGRADE_LOCK + 2
REST = ", rest "

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
        topic: what it is about; of each topic of a use case there is one mail.
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
        """Keep a mail to be sent; of a topic that the use case has already nothing is written.

        A mail without a Message-ID gets one here, so that it has the same one however often it is sent.

        Raises:
            LedgerError: the ledger does not answer.
        """
        kept = replace(mail, message_id=mail.message_id or make_msgid(domain=DOMAIN))
        row = _row(kept, case=case, topic=topic, at=at, not_before=not_before or at)
        same = sa.select(_outbox.c.id).where(_outbox.c.case == case, _outbox.c.topic == topic)
        with self._ledger.transaction(lock=DELIVERY_LOCK) as connection:
            if connection.execute(same).first() is None:
                connection.execute(sa.insert(_outbox).values(row))

    def untold(self, case: str, actions: Collection[Action]) -> tuple[Entry, ...]:
        """Return a use case's entries of some actions that no mail was written about, oldest first."""
        topic = sa.literal(TOPIC).concat(sa.cast(entries.c.id, sa.String))
        kept = sa.select(_outbox.c.id).where(_outbox.c.case == case, _outbox.c.topic == topic)
        sent = sa.select(ALERTS.c.id).where(ALERTS.c.case == case, ALERTS.c.verdict == topic)
        query = sa.select(entries).where(entries.c.case == case, entries.c.action.in_(actions))
        with self._ledger.transaction() as connection:
            rows = connection.execute(query.where(~kept.exists(), ~sent.exists()).order_by(entries.c.id)).mappings()
            return tuple(read(row) for row in rows)

    def topics(self, case: str) -> frozenset[str]:
        """Return what mails about a use case were put in or went out about."""
        kept = sa.select(_outbox.c.topic).where(_outbox.c.case == case)
        sent = sa.select(ALERTS.c.verdict).where(ALERTS.c.case == case)
        with self._ledger.transaction() as connection:
            return frozenset(connection.scalars(sa.union(kept, sent)))

    def recipients(self, case: str, topics: Collection[str]) -> tuple[str, ...]:
        """Return whom mails about these topics of a use case were written to, each once, in the topics' order."""
        query = sa.select(_outbox.c.topic, _outbox.c.mail).where(_outbox.c.case == case, _outbox.c.topic.in_(topics))
        with self._ledger.transaction() as connection:
            told = {row.topic: json.loads(row.mail)["to"] for row in connection.execute(query)}
        return tuple(dict.fromkeys(address for topic in topics for address in told.get(topic, ())))

    def waiting(self, case: str | None = None) -> tuple[Waiting, ...]:
        """Return the mails that have not gone out, oldest first."""
        with self._ledger.transaction() as connection:
            rows = connection.execute(_unsent(case).order_by(_outbox.c.id)).mappings().all()
        return tuple(_read(row) for row in rows)

    def send(self, waiting: Waiting, deliver: Callable[[Mail], None], *, now: datetime) -> AlertRecord | None:
        """Hand a mail to a server and remember who got it, None where another process was faster.

        Nobody else sends meanwhile. Only a process that is killed between the server's answer and the database's sends
        a mail again, under the same Message-ID. Where the server refuses some recipients, the same mail to these alone
        stays behind: the others got theirs.

        Raises:
            MailError: the server took it for nobody; it stays.
        """
        with self._ledger.transaction(lock=DELIVERY_LOCK) as connection:
            if connection.execute(_unsent(waiting.case).where(_outbox.c.id == waiting.id)).first() is None:
                return None
            refused = _refused(waiting.mail, deliver)
            if refused:
                connection.execute(sa.insert(_outbox).values(_rest(waiting, refused, now=now)))
            day, taken = waiting.at.date(), tuple(each for each in waiting.mail.to if each not in refused)
            alert = AlertRecord(waiting.case, waiting.topic, day, day, waiting.mail.subject, taken, now)
            connection.execute(sa.insert(ALERTS).values(alert_row(alert)))
            return alert


def _refused(mail: Mail, deliver: Callable[[Mail], None]) -> tuple[str, ...]:
    """Deliver a mail, and return the recipients that the server did not take it for."""
    try:
        deliver(mail)
    except MailError as error:
        if not error.refused:
            raise
        return tuple(each for each in mail.to if each in error.refused)
    return ()


def _rest(waiting: Waiting, refused: tuple[str, ...], *, now: datetime) -> dict[str, Any]:
    """Return the row of the same mail to those who did not get it."""
    topic = f"{waiting.topic.partition(REST)[0]}{REST}{digest(' '.join(refused))}"
    mail = replace(waiting.mail, to=refused)
    return _row(mail, case=waiting.case, topic=topic, at=now, not_before=now)


def _row(mail: Mail, *, case: str, topic: str, at: datetime, not_before: datetime) -> dict[str, Any]:
    return {"case": case, "at": utc(at), "not_before": utc(not_before), "topic": topic, "mail": _to_json(mail)}


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
