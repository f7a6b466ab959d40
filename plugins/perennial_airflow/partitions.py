"""What a run says about itself: its day, whether it is a backfill, who started it, and its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

from perennial.errors import SetupError
from perennial.settings import load_settings

RunContext = Mapping[str, Any]
NOBODY = "airflow"  # stands where a schedule or an event started a run


def day_of(context: RunContext) -> date:
    """Return the UTC day that the run's partition key names.

    Raises:
        SetupError: the run has no key, or one that is no day.
    """
    key = context.get("partition_key")
    try:
        return date.fromisoformat(key or "")
    except ValueError as error:
        raise SetupError(
            f"Run {context.get('run_id', 'of this DAG')!r} has the partition key {key!r}, so it does not know its day. "
            "Trigger it again with a day such as 2026-01-31 under Advanced Options > Partition Key, or use Backfill."
        ) from error


def is_backfill(context: RunContext) -> bool:
    """Tell whether the run was made by a backfill; those send no mail and ask for nothing."""
    run = context.get("dag_run")
    # A callback that knows no task gets no run either, only its id.
    return run_id_of(context).startswith("backfill__") if run is None else run.run_type == "backfill"


def run_id_of(context: RunContext) -> str:
    """Return the id of the run for the record; "manual" outside Airflow."""
    return str(context.get("run_id") or "manual")


def who_started(context: RunContext) -> str:
    """Return the user who triggered the run, or "airflow" where a schedule or an event did."""
    return getattr(context.get("dag_run"), "triggering_user_name", None) or NOBODY


def starters_of(context: RunContext) -> frozenset[str]:
    """Return who led to the run: who triggered it, and who is named by the asset events that did."""
    events = context.get("triggering_asset_events") or {}
    named = (str((event.extra or {}).get("who", "")) for asset in events for event in events[asset])
    return frozenset(filter(None, named)) | {who_started(context)}


def run_url(context: RunContext) -> str:
    """Return the address of the run in Airflow's user interface."""
    return address_of(getattr(context.get("dag"), "dag_id", ""), run_id_of(context))


def address_of(dag_id: str, run_id: str) -> str:
    """Return the address of a run, by its id."""
    return f"{load_settings().airflow_url.rstrip('/')}/dags/{dag_id}/runs/{quote(run_id, safe='')}"


def reasons_of(context: RunContext) -> tuple[str, ...]:
    """Return the reasons that the run was started with, by asset events or by another DAG; none by a schedule."""
    events = context.get("triggering_asset_events") or {}
    extras = [event.extra or {} for asset in events for event in events[asset]]
    given = [*extras, getattr(context.get("dag_run"), "conf", None) or {}]
    return tuple(str(extra["reason"]) for extra in given if extra.get("reason"))


def why_started(context: RunContext) -> str:
    """Return the trigger that started a training, by name, and what it goes by.

    One of *on demand*, *schedule*, and what a request names: *new data*, *performance drop*, *distribution change*.
    """
    reasons, who = reasons_of(context), who_started(context)
    if who != NOBODY:
        return ": ".join((f"on demand: started by {who}", *reasons))
    return "; ".join(reasons) or "schedule"


def newest_version_in(context: RunContext) -> str | None:
    """Return the model version in the newest asset event that started the run, None where there is none."""
    events = context.get("triggering_asset_events") or {}
    extras = (event.extra or {} for asset in events for event in events[asset])
    versions = [extra["version"] for extra in extras if extra.get("version")]
    return str(versions[-1]) if versions else None


def requested_day(context: RunContext) -> date | None:
    """Return the run's parameter `as_of`, None where it was left empty."""
    as_of = (context.get("params") or {}).get("as_of")
    return date.fromisoformat(as_of) if as_of else None
