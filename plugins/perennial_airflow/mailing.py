"""Mails from Airflow: what entries of the ledger ask for goes into the outbox, and out through `smtp_default`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import timezone

from perennial_airflow.partitions import RunContext, run_id_of, run_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perennial.adapters import Adapters
    from perennial.spec import UseCase
    from perennial.stages.send import SendRecord


def tell(cases: Iterable[UseCase], adapters: Adapters, *, context: RunContext) -> list[SendRecord]:
    """Write the mails that are due about use cases and send them; return what went out, a record a use case.

    Mails about what the run of `context` entered lead to it. A server that is down fails nothing: the mails wait in the
    outbox, and `perennial__mail` sends them.

    Raises:
        LedgerError: the ledger does not answer.
    """
    from perennial.stages import send
    from perennial.stages import tell as writing

    from perennial_airflow.hooks import MailHook

    records, urls = [], {run_id_of(context): run_url(context)}
    for case in cases:
        now = timezone.utcnow()
        writing.run(case, adapters, now=now, urls=urls)
        records.append(send.run(adapters, deliver=MailHook().deliver, now=now, case=case.name))
    return records
