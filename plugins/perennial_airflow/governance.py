"""The operators of what people decide: roll back, watch the aliases, and tell everyone concerned."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context, timezone
from airflow.sdk.exceptions import AirflowSkipException

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import is_backfill, run_id_of, run_url, who_started
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
        from perennial.io.mails import Links
        from perennial.settings import load_settings
        from perennial.stages import tell as telling

        from perennial_airflow.hooks import MailHook

        if is_backfill(context):
            raise AirflowSkipException(f"{run_id_of(context)} is a backfill, and a backfill sends no mail.")
        adapters, run, now = self.adapters(), run_id_of(context), timezone.utcnow()
        projection.watch(self.case, adapters, now=now, who=run, run=run)
        links = Links.of(load_settings().airflow_url, run=run_url(context))
        told = telling.run(self.use_case(), adapters, deliver=MailHook().deliver, links=links, now=now)
        if not told:
            raise AirflowSkipException("Nothing to tell: the aliases are where the ledger says, or it was told before.")
        return [xcom(each) for each in told]
