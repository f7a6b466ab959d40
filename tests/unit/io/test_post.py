"""Mails from the command line, to a real server on a free port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from perennial.errors import MailError
from perennial.io.mails import Mail
from perennial.io.post import deliver

MAIL = Mail(("ops@example.org",), "Look", "<p>Look</p>", "Look")
PLAIN = "disable_ssl=true&disable_tls=true&from_email=perennial%40example.org&timeout=5"


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """Run a mail server that keeps what it is sent; `refuses` are the recipients that it does not take."""
    controller = pytest.importorskip("aiosmtpd.controller", reason="uv sync --extra local installs it")
    kept = SimpleNamespace(sent=[], refuses=set(), address="")

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  aiosmtpd's name
            if address in kept.refuses:
                return "550 no such mailbox"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope):  # noqa: N802  aiosmtpd's name
            kept.sent.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            return "250 OK"

    running = controller.Controller(Handler(), hostname="127.0.0.1", port=free_port())
    running.start()
    kept.address = f"smtp://127.0.0.1:{running.port}/?{PLAIN}"
    yield kept
    running.stop()


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_mail_is_delivered(server: SimpleNamespace):
    """From the connection's sender, to everyone."""
    deliver(MAIL, server.address)

    ((sender, to, content),) = server.sent
    assert (sender, to) == ("perennial@example.org", ["ops@example.org"])
    assert b"Subject: Look" in content


@pytest.mark.parametrize("to", [("ops@example.org",), ("ops@example.org", "ann@example.org")])
def test_a_refused_recipient_is_an_error(server: SimpleNamespace, to: tuple[str, ...]):
    """Whether it is the only one or one of two."""
    server.refuses = {"ops@example.org"}

    with pytest.raises(MailError, match=r"The mail 'Look' was not delivered through 127.0.0.1:\d+: .*ops@example.org"):
        deliver(Mail(to, "Look", "", "Look"), server.address)


def test_a_server_that_is_down_is_an_error_without_the_password():
    """Within seconds."""
    with pytest.raises(MailError, match="ConnectionRefusedError") as caught:
        deliver(MAIL, f"smtp://ada:secret@127.0.0.1:{free_port()}/?{PLAIN}")

    assert "secret" not in str(caught.value)


def test_encryption_that_the_server_lacks_is_an_error_and_no_plain_mail(server: SimpleNamespace):
    """Unless the connection says otherwise, nothing travels in the open."""
    for options in ("disable_ssl=true&timeout=5", "timeout=5"):
        with pytest.raises(MailError):
            deliver(MAIL, server.address.replace(PLAIN, options))

    assert server.sent == []
