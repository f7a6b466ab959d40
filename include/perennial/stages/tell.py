"""Tell the people of a use case of what somebody did: rollbacks, aliases that were moved by hand, and their return.

One mail an entry of the ledger. What the server did not take stays due, for whatever runs next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.io.mails import Links, Mail, decision_mail
from perennial.records import AlertRecord
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)


def run(
    case: UseCase, adapters: Adapters, *, deliver: Callable[[Mail], None], links: Links, now: datetime
) -> tuple[AlertRecord, ...]:
    """Mail what is due, oldest first, and return what went out.

    Raises:
        MailError: a mail was not delivered; it and those behind it stay due.
        LedgerError: the ledger does not answer.
    """
    told = []
    for entry in adapters.ledger.untold(case.name):
        mail, day = decision_mail(case, entry, links), entry.at.date()
        deliver(mail)
        told.append(AlertRecord(case.name, entry.topic, day, day, mail.subject, mail.to, now))
        adapters.ledger.save_alert(told[-1])
        log.info("mailed %r to %s", mail.subject, ", ".join(mail.to))
    return tuple(told)
