"""What people are told: a finding of the daily check, and a run that failed.

One place decides whether a mail is due. Grouping findings into incidents would go in here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import timezone
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError, AirflowSkipException
from perennial.records import AlertRecord, MonitorRecord
from perennial.settings import load_settings

from perennial_airflow.partitions import RunContext, is_backfill, run_id_of, run_url

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.io.mails import FailedRun
    from perennial.spec import UseCase

log = logging.getLogger(__name__)

ERROR = "error"
LONGEST_ERROR = 4000


def monitor_record(finding: Mapping[str, Any]) -> MonitorRecord:
    """Return the monitor record that went through an XCom; a metric that is no number there is left out."""
    from pydantic import TypeAdapter

    known = {name: value for name, value in finding["performance"].items() if value is not None}
    return TypeAdapter(MonitorRecord).validate_python({**finding, "performance": known})


def send_finding(case: UseCase, finding: Mapping[str, Any], adapters: Adapters, *, run_url: str) -> dict[str, Any]:
    """Mail a finding once: on its first day, or on a later one where no mail about it went out yet.

    Returns:
        The ledger's entry about the mail, as plain data.

    Raises:
        AirflowSkipException: there is no finding, or it has been mailed.
        MailError: the mail was not delivered; then the ledger says so too, by having no entry.
    """
    from perennial.io.mails import Links, finding_mail

    from perennial_airflow.hooks import MailHook

    record = monitor_record(finding)
    since = record.since or record.day
    if record.verdict in {"stable", "unknown"}:
        raise AirflowSkipException(f"Nothing to tell: {record.verdict}; {record.reason}")
    if adapters.ledger.was_alerted(case.name, verdict=record.verdict, since=since):
        raise AirflowSkipException(f"A mail about this finding ({record.verdict} since {since}) went out before.")
    mail = finding_mail(case, record, Links.of(load_settings().airflow_url, run=run_url, report=record.report))
    MailHook().deliver(mail)
    alert = AlertRecord(
        case=case.name, verdict=record.verdict, since=since, day=record.day, subject=mail.subject, to=mail.to,
        at=timezone.utcnow(),
    )  # fmt: skip
    adapters.ledger.save_alert(alert)
    log.info("mailed %r to %s", mail.subject, ", ".join(mail.to))
    return alert.to_json()


def keep_error(context: RunContext) -> None:
    """Keep what a task failed with; a task's `on_failure_callback`, for the mail about the run."""
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


@dataclass(frozen=True, slots=True)
class FailureMail:
    """A DAG's `on_failure_callback`: one mail about a failed run; none about a backfilled one.

    Airflow calls it in the DAG processor, where an error ends up in the log and harms no run.
    """

    case: str
    to: tuple[str, ...]

    def __call__(self, context: RunContext) -> None:
        """Mail the failure of the run that `context` describes."""
        from perennial.io.mails import Links, failure_mail

        from perennial_airflow.hooks import MailHook

        if is_backfill(context):
            log.info("run %s is a backfill: no mail; the Backfills page shows it", run_id_of(context))
            return
        if (kept_error(context) or "").startswith("AliasMovedError"):
            log.info(
                "run %s failed for an alias that was moved: that incident has a mail of its own", run_id_of(context)
            )
            return
        links = Links.of(load_settings().airflow_url, run=run_url(context))
        MailHook().deliver(failure_mail(self.to, failed_run(context), links))


def failed_run(context: RunContext) -> FailedRun:
    """Return what the callback's context says about the run; it may know no task."""
    from perennial.io.mails import FailedRun

    dag, ti = context["dag"], context.get("ti")
    return FailedRun(
        dag_id=dag.dag_id,
        title=dag.dag_display_name or dag.dag_id,
        run_id=run_id_of(context),
        day=context.get("partition_key"),
        reason=str(context.get("reason") or "no reason given").replace("_", " "),
        task_id=getattr(ti, "task_id", None),
        error=kept_error(context),
    )
