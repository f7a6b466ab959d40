"""The operators of what people decide: roll back, watch the aliases, and tell everyone concerned."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator, Context, timezone
from airflow.sdk.exceptions import AirflowSkipException

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import is_backfill, run_id_of, who_started
from perennial_airflow.xcoms import tell, xcom


class RollbackOperator(StageOperator):
    """Make the former champion that the form names the champion again."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the ledger's entry."""
        from perennial.stages import rollback

        asked, who = context["params"], who_started(context)
        record = rollback.run(
            self.use_case(), str(asked["to_version"]).strip(), self.adapters(), who=who, reason=asked["reason"] or "",
            now=timezone.utcnow(), run=run_id_of(context),
        )  # fmt: skip
        self.log.info("%s version %s is champion again, was %s", self.case, record.version, record.previous)
        tell(context, self.outlets, version=record.version, previous=record.previous, who=who)
        return xcom(record)


class TellDecisionsOperator(StageOperator):
    """Watch the aliases, and mail what nobody was told of yet: rollbacks, moved aliases, and their return."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return who was told of what; skips where there is nothing to tell."""
        from perennial import projection

        from perennial_airflow.mailing import tell as mail

        if is_backfill(context):
            raise AirflowSkipException(f"{run_id_of(context)} is a backfill, and a backfill sends no mail.")
        adapters, run, now = self.adapters(), run_id_of(context), timezone.utcnow()
        projection.watch(self.case, adapters, now=now, who=run, run=run)
        told = [alert for record in mail([self.use_case()], adapters, context=context) for alert in record.sent]
        if not told:
            raise AirflowSkipException("Nothing to tell: the aliases are where the ledger says, or it was told before.")
        return [xcom(each) for each in told]


class SendMailOperator(BaseOperator):
    """Write and send the mails of all use cases that are due; fails where a server refuses one, and loses none."""

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  Airflow passes it
        """Return the record of what went out."""
        from perennial.adapters import Adapters
        from perennial.catalog import use_cases
        from perennial.stages import digest, send
        from perennial.stages import tell as writing

        from perennial_airflow.hooks import MailHook

        adapters, now = Adapters.from_env(), timezone.utcnow()
        for case in use_cases():
            digest.run(case, adapters, now=now)
            writing.run(case, adapters, now=now)
        # Once for all: each mail that a server refuses is tried once a run, also that of a use case that is gone.
        record = send.run(adapters, deliver=MailHook().deliver, now=now)
        record.raise_if_refused()
        if not record.sent:
            raise AirflowSkipException(f"Nothing is due; {record.waiting} mail(s) wait for quiet hours to end.")
        return {"sent": [alert.subject for alert in record.sent], "waiting": record.waiting}
