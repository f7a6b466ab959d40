"""What becomes of runs that fail, are late, or recover: incidents, with one mail each.

Airflow calls what is here as callbacks: of tasks in their worker, of runs in the DAG processor, of deadlines in a
worker. An error here ends up in a log and harms no run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import timezone
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
from perennial.errors import LedgerError, MailError, PerennialError, SpecError

from perennial_airflow.partitions import RunContext, address_of, is_backfill, run_id_of, run_url

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.io.mails import FailedRun
    from perennial.raising import By
    from perennial.spec import UseCase
    from perennial.stages.failures import Failure

log = logging.getLogger(__name__)

ERROR = "error"
LONGEST_ERROR = 4000
# When one of these has ended well, the run has done what a deadline is for.
MAIN = frozenset({"features", "train", "promote", "score", "monitor"})
UNROUTED_FOR = timedelta(days=1)


def keep_error(context: RunContext) -> None:
    """Keep what a task failed with; a task's `on_failure_callback`, for the incident about the run."""
    error = context.get("exception")
    if error is not None:
        context["ti"].xcom_push(key=ERROR, value=f"{type(error).__name__}: {error}"[:LONGEST_ERROR])


def kept_error(context: RunContext) -> str | None:
    """Return what the failed task of the callback's context has kept, None where it is not to be had."""
    ti = context.get("ti")
    if ti is None:
        return None
    try:
        kept = ti.xcom_pull(task_ids=ti.task_id, key=ERROR)
    except (AirflowException, AirflowRuntimeError) as error:
        log.warning("the error of %s cannot be read: %s", ti.task_id, error)
        return None
    return str(kept) if kept else None


def note_success(context: RunContext) -> None:
    """End the incidents that were about this task alone; a task's `on_success_callback`."""
    from perennial.adapters import Adapters
    from perennial.stages import failures

    if is_backfill(context):
        return
    adapters, task = Adapters.from_env(), context["ti"].task_id
    try:
        entries = failures.recovered(
            context["dag"].dag_id, task, adapters, by=_by(context, "airflow"), ends_run=task in MAIN
        )
        _tell({entry.case for entry in entries}, adapters, context)
    except PerennialError as error:
        log.warning("whether %s ends an incident is not known: %s", task, error)


@dataclass(frozen=True, slots=True)
class FailureNotice:
    """A DAG's `on_failure_callback`: an incident about a failed run; none about a backfilled one.

    `to` is who is mailed where neither the ledger nor the use case can be read any more.
    """

    case: str
    to: tuple[str, ...]

    def __call__(self, context: RunContext) -> None:
        """Enter the failure of the run that `context` describes, and mail it where it is news."""
        if is_backfill(context):
            log.info("run %s is a backfill: no incident; the Backfills page shows it", run_id_of(context))
            return
        failure = failure_of(context)
        if (failure.error or "").startswith("AliasMovedError"):
            log.info("run %s failed for an alias that was moved: that is an incident of its own", run_id_of(context))
            return
        _route(self, failure, context)


def note_late(context: dict[str, Any], *, case: str, dag: str) -> None:
    """Enter that a run has missed its deadline; a deadline's callback.

    Args:
        context: Airflow's: `dag_run` as plain data.
        case: the use case.
        dag: id of the DAG.
    """
    from perennial.adapters import Adapters
    from perennial.catalog import load_use_case
    from perennial.raising import By
    from perennial.stages import failures
    from perennial.stages.failures import Failure

    run = context.get("dag_run") or {}
    name = str(run.get("dag_run_id") or run.get("run_id") or "")
    if name.startswith("backfill__"):
        log.info("run %s is a backfill: it has no deadline", name)
        return
    adapters, spec = Adapters.from_env(), load_use_case(case)
    failure = Failure(dag, None, None, "late", _day(run.get("partition_key")))
    failures.late(spec, failure, adapters, by=By("airflow", name, timezone.utcnow(), address_of(dag, name)))
    _tell({case}, adapters, context)


def deadline(case: UseCase, dag_id: str) -> DeadlineAlert:
    """Return by when a run of a daily DAG has to be done, from its start on, and what happens where it is not."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=case.alerts.deadline_hours),
        callback=SyncCallback(note_late, kwargs={"case": case.name, "dag": dag_id}),
        name=f"{dag_id} is done",
    )


def failure_of(context: RunContext) -> Failure:
    """Return what the callback's context says about the run; it may know no task."""
    from perennial.stages.failures import Failure

    reason = str(context.get("reason") or "no reason given").replace("_", " ")
    task = getattr(context.get("ti"), "task_id", None)
    return Failure(context["dag"].dag_id, task, kept_error(context), reason, _day(context.get("partition_key")))


def _route(notice: FailureNotice, failure: Failure, context: RunContext) -> None:
    """Enter a failure; where ledger or use case do not answer, mail it without, one mail a cause and day."""
    from perennial.adapters import Adapters
    from perennial.catalog import load_use_case
    from perennial.stages import failures

    adapters = Adapters.from_env()
    try:
        failures.run(load_use_case(notice.case), failure, adapters, by=_by(context, "airflow"))
        _tell({notice.case}, adapters, context)
    except (LedgerError, SpecError) as error:
        log.warning("the failure of %s cannot be entered: %s", failure.part, error)
        _mail_unrouted(notice, failure, context, adapters)


def _mail_unrouted(notice: FailureNotice, failure: Failure, context: RunContext, adapters: Adapters) -> None:
    from perennial.io.mails import Links, failure_mail
    from perennial.stages import failures

    from perennial_airflow.hooks import MailHook

    marker = adapters.settings.home / "unrouted" / failures.cause_of(notice.case, failure).replace(" ", "-")
    now = timezone.utcnow()
    if marker.exists() and now.timestamp() - marker.stat().st_mtime < UNROUTED_FOR.total_seconds():
        log.info("a mail about this cause went out within a day: %s", marker.name)
        return
    links = Links.of(adapters.settings.airflow_url, run=run_url(context), section="run failed")
    try:
        MailHook().deliver(failure_mail(notice.to, failed_run(context, failure), links))
    except MailError as error:
        if not error.refused:
            raise
        log.warning("not everybody was told: %s", error)  # those who were shall not be told again
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def failed_run(context: RunContext, failure: Failure) -> FailedRun:
    """Return a failure as its mail tells it."""
    from perennial.io.mails import FailedRun

    dag = context["dag"]
    return FailedRun(
        dag_id=failure.dag,
        title=dag.dag_display_name or failure.dag,
        run_id=run_id_of(context),
        day=context.get("partition_key"),
        reason=failure.told,
        task_id=failure.task,
        error=failure.error,
    )


def _tell(names: set[str], adapters: Adapters, context: RunContext) -> None:
    """Mail what is due about use cases that can still be loaded."""
    from perennial.catalog import use_cases

    from perennial_airflow.mailing import tell

    if names:
        tell([case for case in use_cases() if case.name in names], adapters, context=context)


def _by(context: RunContext, who: str) -> By:
    from perennial.raising import By

    return By(who, run_id_of(context), timezone.utcnow(), run_url(context))


def _day(key: Any) -> date | None:
    try:
        return date.fromisoformat(str(key))
    except ValueError:
        return None
