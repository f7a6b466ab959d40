"""The outbox: what it keeps, when it may go out, and who is left where a server refuses somebody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from perennial.errors import MailError
from perennial.io.ledger import Ledger
from perennial.io.mails import Mail
from perennial.io.outbox import Outbox
from perennial.stages import send

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAIL = Mail(
    ("ops@example.org",),
    "Grüße 🎉",
    "<p>Ü</p>",
    "Ü",
    {"mover0": b"\x89PNG\r\n\x00\xff"},
    "<a@perennial>",
    "<b@perennial>",
)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    """Return an empty outbox."""
    return Outbox(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"))


def put(outbox: Outbox, topic: str = "entry 1", *to: str, case: str = "toy", **more: datetime) -> None:
    """Keep a mail."""
    outbox.put(Mail(to or ("ops@example.org",), topic, "<p></p>", "x"), case=case, topic=topic, at=NOW, **more)


def sent(outbox: Outbox, deliver: Callable[[Mail], None], now: datetime = NOW) -> send.SendRecord:
    """Send what is due."""
    return send.run(SimpleNamespace(outbox=outbox), deliver=deliver, now=now)  # type: ignore[arg-type]


def test_a_mail_comes_out_as_it_was_put_in(outbox: Outbox):
    """With its pictures to the last byte, umlauts, Message-ID and thread."""
    outbox.put(MAIL, case="toy", topic="entry 1", at=NOW)
    (waiting,) = outbox.waiting()

    assert (waiting.mail, waiting.case, waiting.topic) == (MAIL, "toy", "entry 1")
    assert waiting.at == waiting.not_before == NOW


def test_a_mail_has_one_message_id_however_often_it_is_sent(outbox: Outbox):
    """One without any gets it when it is put in: a digest that is sent again is recognised."""
    put(outbox)

    assert outbox.waiting()[0].mail.message_id == outbox.waiting()[0].mail.message_id is not None


def test_of_a_topic_there_is_one_mail_a_use_case(outbox: Outbox):
    """The week's digests of two use cases have the same topic, and both go out."""
    for case in ("toy", "shop", "toy"):
        put(outbox, "digest 2026-03-02", case=case)

    assert [each.case for each in outbox.waiting()] == ["toy", "shop"]
    assert outbox.topics("toy") == outbox.topics("shop") == {"digest 2026-03-02"}


@pytest.mark.parametrize("statement", ["update ledger_outbox set mail = 'x'", "delete from ledger_outbox"])
def test_what_is_in_it_cannot_be_changed(outbox: Outbox, tmp_path: Path, statement: str):
    """Nobody can send another mail than was decided."""
    put(outbox)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")

    with pytest.raises(sa.exc.IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))


@pytest.mark.parametrize(("seconds", "goes"), [(-1, False), (0, True), (1, True)])
def test_a_mail_goes_out_on_the_second_it_may(outbox: Outbox, seconds: int, goes: bool):  # noqa: FBT001  a parameter
    """Neither one before nor one after."""
    seven = NOW + timedelta(hours=7)
    put(outbox, not_before=seven)
    inbox: list[Mail] = []
    record = sent(outbox, inbox.append, seven + timedelta(seconds=seconds))

    assert (len(inbox), record.waiting) == (int(goes), int(not goes))


def test_a_refused_mail_does_not_hold_up_the_others(outbox: Outbox):
    """It stays, the others go, and the record says so."""
    for place in range(3):
        put(outbox, f"entry {place}", f"p{place}@example.org")

    def deliver(mail: Mail) -> None:
        if mail.to == ("p1@example.org",):
            raise MailError("550 no such mailbox")

    record = sent(outbox, deliver)
    assert [alert.to for alert in record.sent] == [("p0@example.org",), ("p2@example.org",)]
    assert [each.topic for each in outbox.waiting()] == ["entry 1"]
    with pytest.raises(MailError, match=r"1 mail\(s\) stay in the outbox"):
        record.raise_if_refused()


def test_a_refused_recipient_costs_the_others_nothing_and_doubles_nothing(outbox: Outbox):
    """Who got the mail does not get it again; the same one waits for who did not, and goes out when it can."""
    put(outbox, "entry 1", "ann@example.org", "gone@example.org", "bob@example.org", "full@example.org")
    refused, inbox = {"gone@example.org", "full@example.org"}, []

    def deliver(mail: Mail) -> None:
        taken = [each for each in mail.to if each not in refused]
        inbox.extend((each, mail.message_id) for each in taken)
        if not taken:
            raise MailError("all refused")
        if len(taken) < len(mail.to):
            raise MailError.for_some("refused", set(mail.to) - set(taken))

    assert len(sent(outbox, deliver).refused) == 1
    for _ in range(3):
        assert len(sent(outbox, deliver).refused) == 1
    refused.remove("full@example.org")
    sent(outbox, deliver)
    refused.clear()
    sent(outbox, deliver)

    assert sorted(each for each, _ in inbox) == [
        "ann@example.org", "bob@example.org", "full@example.org", "gone@example.org",
    ]  # fmt: skip
    assert len({message_id for _, message_id in inbox}) == 1
    assert outbox.waiting() == ()


def test_what_another_process_has_sent_is_not_sent(outbox: Outbox):
    """Whoever looked before that finds it gone."""
    put(outbox)
    (seen,) = outbox.waiting()
    inbox: list[Mail] = []

    assert outbox.send(seen, inbox.append, now=NOW) is not None
    assert outbox.send(seen, inbox.append, now=NOW) is None
    assert len(inbox) == 1
