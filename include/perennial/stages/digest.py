"""One mail a week about a use case: what was open, what is over, how it scored; for those who want it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from perennial.io.incidents import incidents
from perennial.io.mails import Links, Mail
from perennial.io.pages import render
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

MONDAY = 0
DAYS = 7


def run(case: UseCase, adapters: Adapters, *, now: datetime) -> Mail | None:
    """Put the week's digest into the outbox, on Mondays (UTC) and once; None where none is due.

    Raises:
        LedgerError: the ledger does not answer.
    """
    topic = f"digest {now:%Y-%m-%d}"
    if case.alerts.digest != "weekly" or now.weekday() != MONDAY or topic in adapters.outbox.topics(case.name):
        return None
    begin = now - timedelta(days=DAYS)
    known = incidents(adapters.ledger, case.name)
    records = [each for each in adapters.ledger.monitors(case.name, days=DAYS) if each.day >= begin.date()]
    values = {
        "case": case,
        "since": begin.date(),
        "opened": [each for each in known if each.is_open],
        "over": [each for each in known if each.closed_at is not None and each.closed_at >= begin],
        "records": records,
        "champion": adapters.ledger.champion(case.name),
        "decisions": adapters.ledger.history(case.name, actions=("promoted", "rolled back", "retrain requested")),
        "begin": begin,
        "links": Links.of(adapters.settings.airflow_url, run=""),
    }
    mail = Mail(
        to=case.alerts.everyone,
        subject=f"[Perennial] {case.name}: the week until {now:%Y-%m-%d}",
        html=render("digest_mail.html", **values),
        text=render("digest_mail.txt", **values),
    )
    adapters.outbox.put(mail, case=case.name, topic=topic, at=now)
    return mail
