"""What Airflow knows of a use case's runs, read from its database in a statement each; and the start of a run.

A run is started over Airflow's own REST API with the reader's login: Airflow decides who may, and keeps who did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import httpx
from fastapi import HTTPException, Request
from perennial.views.fleet import Question
from perennial.views.plan import Runs, StartedRun

from perennial_airflow.ui.security import credentials, dag_of
from perennial_airflow.ui.shown import airflow_root

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What Airflow knows.

    Attributes:
        next_runs: of each use case, when its next scheduled run of any DAG can begin; a paused DAG has none.
        questions: the approvals that wait for an answer.
        outages: a sentence where it could not be asked.
    """

    next_runs: Mapping[str, datetime] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    outages: tuple[str, ...] = ()


def facts(root: str, *, case: str | None = None) -> Facts:
    """Return what Airflow knows of all use cases, or of one.

    Args:
        root: path that Airflow is served under.
        case: only this one.
    """
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            return Facts(_next_runs(session, case), _questions(session, root, case))
    except SQLAlchemyError as error:
        why = type(error).__name__
        told = f"Airflow's database does not answer ({why}): next runs and approvals are not known."
        return Facts(outages=(told,))


def _next_runs(session: Any, case: str | None) -> dict[str, datetime]:
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    due = DagModel.next_dagrun_create_after
    query = select(DagModel.dag_id, due).where(due.is_not(None), ~DagModel.is_paused, ~DagModel.is_stale)
    if case is not None:
        query = query.where(DagModel.dag_id.startswith(dag_of(case, ""), autoescape=True))
    found: dict[str, datetime] = {}
    for dag_id, at in session.execute(query):
        name = dag_id.rpartition("__")[0]
        found[name] = min(found.get(name, at), at)
    return found


def _questions(session: Any, root: str, case: str | None) -> tuple[Question, ...]:
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    asked = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, HITLDetail.subject, HITLDetail.created_at)
    query = (
        select(*asked).join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(HITLDetail.responded_at.is_(None), TaskInstance.state == "awaiting_input")
    )  # fmt: skip
    if case is not None:
        query = query.where(TaskInstance.dag_id == dag_of(case, "model_promotion"))
    return tuple(
        Question(
            dag_id.rpartition("__")[0], subject, at,
            f"{root}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}/tasks/{quote(task_id)}/required_actions"
            "?map_index=-1",
        )
        for dag_id, run_id, task_id, subject, at in session.execute(query)
    )  # fmt: skip


def day_of_run(dag_id: str, run_id: str) -> date | None:
    """Return the day that a run builds, None where it has no such day or there is no such run."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(DagRun.partition_key).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        key = session.scalar(query)
    try:
        return date.fromisoformat(key or "")
    except ValueError:
        return None


def dags_of_runs(case: str, run_ids: Collection[str]) -> dict[str, str]:
    """Return which of a use case's DAGs each run is of; one that is not known, or not for sure, is left out."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    of_case = DagRun.dag_id.startswith(dag_of(case, ""), autoescape=True)
    try:
        with create_session() as session:
            query = select(DagRun.run_id, DagRun.dag_id).where(DagRun.run_id.in_(run_ids), of_case)
            found = [(str(run_id), str(dag_id)) for run_id, dag_id in session.execute(query)]
    except SQLAlchemyError:
        return {}
    counted = Counter(run_id for run_id, _ in found)
    return {run_id: dag_id for run_id, dag_id in found if counted[run_id] == 1}


def of_ranges(root: str, case: str, *, limit: int = 5) -> Runs:
    """Return the newest runs of the DAG that builds a use case's ranges, and whether it is paused.

    Args:
        root: path that Airflow is served under.
        case: name of the use case.
        limit: how many.
    """
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    dag_id = dag_of(case, "backfill")
    told = (DagRun.run_id, DagRun.state, DagRun.triggering_user_name, DagRun.conf, DagRun.start_date, DagRun.end_date)
    query = select(*told).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(limit)
    try:
        with create_session() as session:
            found = tuple(_of_range(root, dag_id, dict(row)) for row in session.execute(query).mappings())
            paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))
    except SQLAlchemyError as error:
        return Runs(outage=f"Airflow's database does not answer ({type(error).__name__}): runs are not known.")
    return Runs(found, bool(paused))


def _of_range(root: str, dag_id: str, row: Mapping[str, Any]) -> StartedRun:
    asked = row["conf"] if isinstance(row["conf"], dict) else {}
    ends = (str(asked[name])[:10] for name in ("first_day", "last_day") if asked.get(name))
    return StartedRun(
        id=row["run_id"],
        state=str(row["state"]),
        who=row["triggering_user_name"] or "airflow",
        days=" to ".join(ends),
        dry=bool(asked.get("dry_run")),
        begun=row["start_date"],
        ended=row["end_date"],
        href=f"{root}/dags/{quote(dag_id, safe='')}/runs/{quote(row['run_id'], safe='')}",
    )


def start(
    request: Request, dag_id: str, *, conf: Mapping[str, Any] | None = None, key: date | None = None, note: str = ""
) -> str:
    """Start a run in the name of who sent the request; returns its id.

    Args:
        request: carries the login.
        dag_id: which DAG.
        conf: its parameters; Airflow checks them.
        key: the day, for a DAG with a run a day.
        note: what Airflow shows beside the run.

    Raises:
        HTTPException: Airflow refuses it, or does not answer; with its words.
    """
    body: dict[str, Any] = {"logical_date": None, "conf": dict(conf or {}), "note": note or None}
    if key is not None:
        body["partition_key"] = key.isoformat()
    answer = _post(request, f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns", body)
    if not answer.is_success:
        raise HTTPException(answer.status_code, detail=f"Airflow refuses to start {dag_id}: {_words(answer)}")
    return str(answer.json()["dag_run_id"])


def _post(request: Request, path: str, body: Mapping[str, Any]) -> httpx.Response:
    address = f"{_here(request)}{airflow_root(request)}{path}"
    options: dict[str, Any] = {"headers": credentials(request), "timeout": SECONDS, "trust_env": False}
    try:
        # This very server's own socket: its certificate is made out to the name that people use.
        return httpx.post(address, json=body, verify=False, **options)  # noqa: S501
    except httpx.HTTPError as error:
        raise HTTPException(503, detail=f"Airflow does not answer: {type(error).__name__}. Try again.") from error


def _here(request: Request) -> str:
    """Return the address of this server's own socket: what a browser sends as `Host` must not lead the login away."""
    from airflow.configuration import conf

    host, port = request.scope["server"]
    if port is None:
        from perennial.settings import load_settings

        return load_settings().airflow_url.rstrip("/")
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    # Not the request's scheme: that is what a proxy in front says of its own side.
    scheme = "https" if conf.get("api", "ssl_cert", fallback="") else "http"
    return f"{scheme}://{name}:{port}"


def _words(answer: httpx.Response) -> str:
    """Return what Airflow says in an answer that refuses."""
    try:
        said: Sequence[Any] | str = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}."
    if isinstance(said, str):
        return said
    return "; ".join(str(each.get("msg", each)) if isinstance(each, dict) else str(each) for each in said)
