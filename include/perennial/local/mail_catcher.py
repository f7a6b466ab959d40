"""A real SMTP server that keeps every mail as a file: `python -m perennial.local.mail_catcher PORT FOLDER`."""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Catcher:
    """Stores each mail whole or not at all; the name sorts by the time it came in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802  aiosmtpd's name
        """Store one mail and tell the sender that it is kept."""
        content = envelope.content or b""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}"
        draft = self.folder / f"{name}.part"
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())
        draft.replace(self.folder / f"{name}.eml")
        return "250 kept"


def serve(*, host: str, port: int, folder: Path) -> None:
    """Catch mails until SIGTERM or SIGINT."""
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    folder.mkdir(parents=True, exist_ok=True)
    controller = Controller(Catcher(folder), hostname=host, port=port)
    controller.start()
    signal.sigwait(stops)
    controller.stop()


if __name__ == "__main__":
    serve(host=sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1", port=int(sys.argv[1]), folder=Path(sys.argv[2]))
