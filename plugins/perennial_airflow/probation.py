"""The operator of a probation: look at it each day, roll back where it has failed, and tell everyone at once."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context, timezone
from airflow.sdk.exceptions import AirflowSkipException

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import day_of, is_backfill, run_id_of
from perennial_airflow.xcoms import tell, xcom


class WatchProbationOperator(StageOperator):
    """Hold the new champion against the former one; skips, and emits no event, unless it rolls back."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the rollback; the mail about it goes out before the task ends, or waits in the outbox."""
        from perennial import supervising

        from perennial_airflow.mailing import tell as mail

        if is_backfill(context):
            raise AirflowSkipException(f"{run_id_of(context)} is a backfill, and a backfill rolls nothing back.")
        adapters, run = self.adapters(), run_id_of(context)
        watched = supervising.run(self.use_case(), day_of(context), adapters, run=run, now=timezone.utcnow())
        self.log.info("%s: %s", self.case, watched.told())
        back = watched.rolled_back
        if back is None:
            raise AirflowSkipException(f"Nothing is rolled back: {watched.told()}")
        tell(context, self.outlets, version=back.version, previous=back.previous, who=back.who)
        mail([self.use_case()], adapters, context=context)
        return xcom(back)
