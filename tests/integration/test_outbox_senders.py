"""The outbox under many senders and under processes that are killed, on a real database and a real mail server."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from functools import partial

import pytest
import servers
from perennial.io.ledger import Ledger
from perennial.io.mails import Mail
from perennial.io.outbox import Outbox
from perennial.io.post import deliver

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENDERS, MAILS = 8, 20
POINTS = ("before it is put in", "before it is sent", "before the answer", "after the answer")


class Inbox:
    """A real SMTP server that counts Message-IDs."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802  aiosmtpd's name
        """Keep the mail."""
        with self._lock:
            self.ids[message_from_bytes(envelope.content)["Message-ID"]] += 1  # type: ignore[attr-defined]
        return "250 OK"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a ledger on PostgreSQL."""
    with servers.postgres(tmp_path_factory.mktemp("p")) as address:
        Ledger(address).upgrade()
        yield address


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, str]]:
    """Return a mail server and its address."""
    controller = pytest.importorskip("aiosmtpd.controller", reason="uv sync --extra local installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inbox = Inbox()
    running = controller.Controller(inbox, hostname="127.0.0.1", port=port)
    running.start()
    yield inbox, f"smtp://127.0.0.1:{port}/?disable_ssl=true&disable_tls=true&timeout=10"
    running.stop()


def mail(case: str, number: int) -> Mail:
    """Return a mail of its own."""
    name = f"<{case}-{number}@perennial>"
    return Mail(("ops@example.org",), f"mail {number}", "<p></p>", "x", {}, name)


def put(outbox: Outbox, case: str, number: int) -> None:
    """Keep a mail to be sent."""
    outbox.put(mail(case, number), case=case, topic=f"entry {number}", at=NOW)


def race(url: str, address: str, start: object) -> None:
    """Put in and send all mails, together with others who do the same; run in a process of its own."""
    outbox = Outbox(Ledger(url))
    start.wait()  # type: ignore[attr-defined]
    for number in range(MAILS):
        put(outbox, "race", number)
    for waiting in outbox.waiting("race"):
        outbox.send(waiting, partial(deliver, address=address), now=NOW)


def die(here: str, point: str) -> None:
    """Kill this very process where it is to be killed."""
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)


def live(url: str, address: str, case: str, number: int, point: str) -> None:
    """Do what a task does about one mail, up to a point; run in a process of its own."""
    outbox = Outbox(Ledger(url))
    die("before it is put in", point)
    put(outbox, case, number)
    die("before it is sent", point)

    def hand_over(mail: Mail) -> None:
        die("before the answer", point)
        deliver(mail, address)
        die("after the answer", point)

    for waiting in outbox.waiting(case):
        outbox.send(waiting, hand_over, now=NOW)


def test_eight_senders_of_the_same_twenty_mails_send_each_once(url: str, inbox: tuple[Inbox, str]) -> None:
    """At once, in processes of their own."""
    kept, address = inbox
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(SENDERS)
    running = [context.Process(target=race, args=(url, address, start)) for _ in range(SENDERS)]
    for process in running:
        process.start()
    for process in running:
        process.join(120)

    assert [process.exitcode for process in running] == [0] * SENDERS
    assert kept.ids == Counter({f"<race-{number}@perennial>": 1 for number in range(MAILS)})
    assert len(Ledger(url).alerts("race")) == MAILS


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_sender_loses_nothing_and_doubles_only_what_was_answered(
    url: str, inbox: tuple[Inbox, str], seed: int
) -> None:
    """Killed at seeded points, one after the other; whoever comes next sends the rest, under the same Message-ID."""
    kept, address = inbox
    case, context = f"kill{seed}", multiprocessing.get_context("spawn")
    points = [*POINTS, *random.Random(seed).choices(POINTS, k=2)]
    random.Random(seed).shuffle(points)
    for number, point in enumerate(points):
        process = context.Process(target=live, args=(url, address, case, number, point))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    outbox = Outbox(Ledger(url))
    for number in range(len(points)):
        put(outbox, case, number)
    for _ in range(2):
        for waiting in outbox.waiting(case):
            outbox.send(waiting, partial(deliver, address=address), now=NOW)

    assert set(kept.ids) == {f"<{case}-{number}@perennial>" for number in range(len(points))}
    answered = points.count("after the answer")
    assert sum(kept.ids.values()) - len(points) == answered
    assert len(Ledger(url).alerts(case)) == len(points)
