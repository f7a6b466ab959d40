"""Send what is in the outbox and due, oldest first; what a server does not take stays there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.errors import MailError
from perennial.io.mails import Mail
from perennial.records import AlertRecord, Record

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SendRecord(Record):
    """What went out, how many mails wait for quiet hours to end, and what the server said of those it refused."""

    sent: tuple[AlertRecord, ...]
    waiting: int
    refused: tuple[str, ...]

    def raise_if_refused(self) -> None:
        """Raise MailError where a mail that was due did not go out."""
        if self.refused:
            raise MailError(f"{len(self.refused)} mail(s) stay in the outbox and go out later: {self.refused[0]}")


def run(adapters: Adapters, *, deliver: Callable[[Mail], None], now: datetime, case: str | None = None) -> SendRecord:
    """Hand the mails that are due to a server, of all use cases or of one.

    A mail that the server refuses does not hold up those behind it, nor a recipient the others.

    Raises:
        LedgerError: the ledger does not answer.
    """
    sent, refused, waiting = [], [], 0
    for each in adapters.outbox.waiting(case):
        if each.not_before > now:
            waiting += 1
            continue
        try:
            alert = adapters.outbox.send(each, deliver, now=now)
        except MailError as error:
            log.warning("%s stays in the outbox: %s", each.mail.subject, error)
            refused.append(str(error))
            continue
        if alert is None:
            continue
        sent.append(alert)
        log.info("mailed %r to %s", alert.subject, ", ".join(alert.to))
        missed = sorted(set(each.mail.to) - set(alert.to))
        if missed:
            refused.append(f"{alert.subject} was not taken for {', '.join(missed)}; for the others it was.")
    return SendRecord(tuple(sent), waiting, tuple(refused))
