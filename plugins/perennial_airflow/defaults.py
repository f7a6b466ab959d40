"""What every DAG shares: start, retries, time limits, and who hears of a failed run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import CronPartitionTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from perennial.spec import UseCase

from perennial_airflow.notices import FailureNotice, deadline, keep_error, note_success

# Long ranges share these slots, so that the daily runs always find a free one; `make up` and compose make the pool.
BACKFILL_POOL = "perennial_backfill"
FIRST = 1000  # the weight of what must not wait behind a hundred other tasks
AT_ONCE = 8  # runs of a DAG that must not wait for another run of itself
START = pendulum.datetime(2026, 1, 1, tz="UTC")

# Midnight UTC: then scheduled, manual and backfilled runs agree on partition key and date, so a day has one run.
DAILY = CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")

# A server that does not answer may answer in two minutes. What else we raise on purpose says the same thing the
# second time, and a wait that timed out has waited long enough. The first rule that matches decides.
RETRY_POLICY = ExceptionRetryPolicy(
    [
        RetryRule("perennial.errors.NoModelError", RetryAction.FAIL, reason="somebody has to train first"),
        RetryRule(
            [
                f"perennial.errors.{name}"
                for name in ("MailError", "RegistryError", "LedgerError", "LakeError", "SourceError")
            ],
            RetryAction.RETRY,
            reason="a server or disk refused; it may recover",
        ),
        RetryRule("perennial.errors.PerennialError", RetryAction.FAIL, reason="trying again would say the same"),
        RetryRule("airflow.sdk.exceptions.TaskDeferralTimeout", RetryAction.FAIL, reason="the input did not arrive"),
    ]
)
TASK_DEFAULTS: dict[str, Any] = {
    "owner": "perennial",
    "retries": 2,
    "retry_delay": timedelta(minutes=2),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=1),
    "on_failure_callback": keep_error,
    "on_success_callback": note_success,
}


def options(case: UseCase, stage: str, *, title: str) -> dict[str, Any]:
    """Return what the DAG of one stage of a use case is made with, except its schedule and its tasks.

    Args:
        case: the use case.
        stage: second part of the DAG id, such as "feature_build".
        title: what the DAG list shows after the use case's name.
    """
    return {
        "dag_id": f"{case.name}__{stage}",
        "dag_display_name": f"{case.name} · {title}",
        "description": case.title,
        "start_date": START,
        "catchup": False,
        "default_args": TASK_DEFAULTS,
        "tags": ["perennial", case.name, stage],
        "on_failure_callback": FailureNotice(case.name, to=case.alerts.to),
    }


def daily(case: UseCase, stage: str, *, title: str) -> dict[str, Any]:
    """Return what the DAG of a daily stage is made with, except its schedule and its tasks: it has a deadline too.

    Args:
        case: the use case.
        stage: second part of the DAG id, such as "feature_build".
        title: what the DAG list shows after the use case's name.
    """
    made = options(case, stage, title=title)
    return made | {"deadline": deadline(case, made["dag_id"])}


def by_hand(case: UseCase, name: str, *, title: str) -> dict[str, Any]:
    """Return what a DAG is made with that only people start: one run at a time, and it mails nobody by itself.

    Args:
        case: the use case.
        name: second part of the DAG id.
        title: what the DAG list shows after the use case's name.
    """
    made = options(case, name, title=title)
    del made["on_failure_callback"]
    quiet = {key: value for key, value in TASK_DEFAULTS.items() if key != "on_success_callback"}
    # A paused DAG takes a request and lets it lie.
    return made | {"max_active_runs": 1, "default_args": quiet, "is_paused_upon_creation": False}


def at_once(case: UseCase, name: str, *, title: str) -> dict[str, Any]:
    """Return what a DAG is made with that people start and that waits for nothing, not even for another run of it.

    Args:
        case: the use case.
        name: second part of the DAG id.
        title: what the DAG list shows after the use case's name.
    """
    return by_hand(case, name, title=title) | {"max_active_runs": AT_ONCE}
