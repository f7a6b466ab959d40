"""Airflow over its REST API, as a person with a login would use it: trigger, backfill, wait."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import httpx

from perennial.errors import SetupError
from perennial.local.credentials import passwords
from perennial.local.layout import Layout
from perennial.local.steps import Bar

POLL_SECONDS = 1.0
RECOVERY_SECONDS = 30.0
HEARD_SECONDS = 5.0
REPEATABLE = {"GET", "PATCH"}
ENDED = {"success", "failed"}
AT_REST = {"success", "skipped", "failed", "upstream_failed", "removed"}
AWAITING = "awaiting_input"
LOGIN = "engineer"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a DAG."""

    dag: str
    id: str
    state: str
    key: str | None
    begun: str | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Run:
        """Return the run that the API describes."""
        fields = ("dag_id", "dag_run_id", "state", "partition_key", "start_date")
        return cls(*(answer[field] for field in fields))


class Airflow:
    """A logged-in client; its token is renewed when Airflow no longer takes it."""

    def __init__(self, layout: Layout, *, login: str = LOGIN) -> None:
        self.layout = layout
        self.login = login
        self._client = httpx.Client(base_url=layout.airflow_url, timeout=60, trust_env=False)

    def _log_in(self) -> None:
        answer = self._client.post(
            "/auth/token", json={"username": self.login, "password": passwords(self.layout)[self.login]}
        )
        if not answer.is_success:
            raise SetupError(f"Airflow refuses the login {self.login!r}: HTTP {answer.status_code} {answer.text}")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    @property
    def login_header(self) -> dict[str, str]:
        """Return the header of a logged-in call; without a token before the first one."""
        return {name: value for name, value in self._client.headers.items() if name.lower() == "authorization"}

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Return the answer to one call; a refusal is a SetupError with Airflow's words.

        What may be said twice and Airflow itself cannot answer is asked again for a while: its database may be coming
        back, or the scheduler wrote the same row.
        """
        deadline = time.monotonic() + RECOVERY_SECONDS
        answer = self._answer(method, path, **options)
        while method in REPEATABLE and answer.is_server_error and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            answer = self._answer(method, path, **options)
        if not answer.is_success:
            raise SetupError(f"Airflow refuses {method} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        return dict(answer.json()) if answer.content else {}

    def submit(self, path: str, **form: str) -> None:
        """Send a form of one of Perennial's pages, as a browser on that page does.

        Args:
            path: below `/perennial`, such as `incidents/7/acknowledge`.
            form: what is filled in.

        Raises:
            SetupError: Airflow refuses it; with its words.
        """
        options: dict[str, Any] = {"data": form, "headers": {"Sec-Fetch-Site": "same-origin"}}
        answer = self._authorised("POST", f"/perennial/{path}", **options)
        if answer.status_code != httpx.codes.SEE_OTHER:
            raise SetupError(f"Airflow refuses the form {path}: HTTP {answer.status_code} {answer.text[:500]}")

    def look(self, path: str) -> httpx.Response:
        """Return what one of Perennial's pages, or its JSON, answers.

        Args:
            path: below `/perennial`, such as `api/models`.
        """
        return self._authorised("GET", f"/perennial/{path}")

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._authorised(method, f"/api/v2{path}", **options)

    def _authorised(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._client.request(method, path, **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._client.request(method, path, **options)
        return answer

    def await_dags(self, dags: Sequence[str], *, seconds: float = 90) -> None:
        """Wait until the DAGs are parsed; where one does not come, say what its file's import error is."""
        deadline = time.monotonic() + seconds
        while missing := set(dags) - {dag["dag_id"] for dag in self.ask("GET", "/dags", params={"limit": 100})["dags"]}:
            if time.monotonic() > deadline:
                errors = self.ask("GET", "/importErrors")["import_errors"]
                found = "\n".join(f"{error['filename']}: {error['stack_trace']}" for error in errors)
                raise SetupError(f"Airflow does not show {', '.join(sorted(missing))}. {found or 'No import error.'}")
            time.sleep(POLL_SECONDS)

    def ensure_pool(self, name: str, *, slots: int, why: str) -> None:
        """Make a pool where there is none of that name; one that an engineer has resized stays as it is."""
        known = {pool["name"] for pool in self.ask("GET", "/pools", params={"limit": 100})["pools"]}
        if name not in known:
            body = {"name": name, "slots": slots, "description": why, "include_deferred": False}
            self.ask("POST", "/pools", json=body)

    def unpause(self, dag: str) -> None:
        """Let the DAG's runs start."""
        self.ask("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def unpause_without_last_tick(self, dag: str, *, seconds: float = 15) -> None:
        """Let the DAG's runs start, from its next tick on.

        Airflow makes up for the last tick of the cron at once, however long ago that was; that run is ended, with
        a note that says so. It cannot be taken away: then Airflow would make up for it again.
        """
        if not self.ask("GET", f"/dags/{dag}")["is_paused"]:
            return
        self.unpause(dag)
        deadline = time.monotonic() + seconds
        while not (found := self.runs(dag, run_type="scheduled")) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)
        for run in found:
            ended = {"state": "failed", "note": "Ended by the demonstration, which trains as of a day of its own."}
            self.ask("PATCH", f"/dags/{dag}/dagRuns/{run.id}", json=ended)

    def trigger(self, dag: str, *, key: date | None = None, conf: Mapping[str, Any] | None = None) -> Run:
        """Start a run, of one day where `key` is given."""
        body = {"logical_date": None, "conf": dict(conf or {}), **({"partition_key": key.isoformat()} if key else {})}
        return Run.of(self.ask("POST", f"/dags/{dag}/dagRuns", json=body))

    def runs(self, dag: str, **filters: Any) -> list[Run]:
        """Return the newest runs that pass the API's filters, newest first."""
        options = {"limit": 100, "order_by": "-run_after", **filters}
        return [Run.of(item) for item in self.ask("GET", f"/dags/{dag}/dagRuns", params=options)["dag_runs"]]

    def built(self, dag: str, days: Sequence[date]) -> set[date]:
        """Return which of consecutive days have a run that succeeded."""
        reached: set[date] = set()
        span = {"partition_date_gte": f"{days[0]}T00:00:00Z", "partition_date_lte": f"{days[-1]}T00:00:00Z"}
        for offset in range(0, 10_000, 100):
            page = self.runs(dag, state="success", offset=offset, **span)
            reached |= {date.fromisoformat(run.key) for run in page if run.key}
            if len(page) < 100:
                break
        return reached

    def run_of_day(
        self, dag: str, day: date, *, since: datetime | None = None, until: datetime | None = None
    ) -> Run | None:
        """Return a run of that day that has not failed and began after `since`, or still will; None without one.

        With `until` it began before that.
        """
        for run in self.runs(dag, partition_key_prefix_pattern=day.isoformat()):
            begun = datetime.fromisoformat(run.begun) if run.begun else None
            late = since is None or begun is None or begun >= since
            early = until is None or (begun is not None and begun < until)
            if run.state != "failed" and late and early:
                return run
        return None

    def await_run(self, run: Run, *, bar: Bar | None = None, seconds: float = 900) -> Run:
        """Wait for a run to end, well or badly; a bar counts its tasks."""
        deadline = time.monotonic() + seconds
        while run.state not in ENDED:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"{run.dag} run {run.id} is still {run.state} after {seconds:.0f} s; {self.place(run)}"
                )
            if bar is not None:
                states = self.task_states(run)
                busy = ", ".join(f"{task} {state}" for task, state in states.items() if state not in AT_REST)
                bar.advance_to(sum(state in AT_REST for state in states.values()), total=len(states), note=busy)
            time.sleep(POLL_SECONDS)
            run = self.run(run)
        return run

    def await_success(self, run: Run, *, bar: Bar | None = None, seconds: float = 900) -> Run:
        """Wait for a run to succeed.

        Raises:
            SetupError: it failed; says which task, and where its log lies.
        """
        run = self.await_run(run, bar=bar, seconds=seconds)
        if run.state == "failed":
            raise SetupError(f"{run.dag} failed in run {run.id}; {self.place(run)}")
        return run

    def await_new_run(self, dag: str, *, since: datetime, bar: Bar, seconds: float = 120) -> Run:
        """Wait for a run that was queued after `since`, for example by an asset's event."""
        deadline = time.monotonic() + seconds
        while not (found := self.runs(dag, run_after_gte=since.isoformat())):
            if time.monotonic() > deadline:
                raise SetupError(f"No run of {dag} has begun {seconds:.0f} s after what should start it.")
            bar.advance_to(0, note=f"waits for {dag} to start")
            time.sleep(POLL_SECONDS)
        return found[-1]

    def backfill(self, dag: str, days: Sequence[date], *, at_once: int) -> int | None:
        """Ask for runs of the days that have none; return the backfill's id, None where nothing is missing."""
        body = {
            "dag_id": dag,
            "from_date": f"{days[0]}T00:00:00Z",
            "to_date": f"{days[-1]}T00:00:00Z",
            "max_active_runs": at_once,
            "reprocess_behavior": "failed",
        }
        if not self.ask("POST", "/backfills/dry_run", json=body)["backfills"]:
            return None
        return int(self.ask("POST", "/backfills", json=body)["id"])

    def await_backfill(self, number: int, dag: str, days: Sequence[date], *, bar: Bar, seconds: float = 1800) -> None:
        """Wait for a backfill; the bar counts days that have a successful run.

        Raises:
            SetupError: it ended, and some of its days failed; names the first and the place of its log.
        """
        deadline = time.monotonic() + seconds
        span = {"partition_date_gte": f"{days[0]}T00:00:00Z", "partition_date_lte": f"{days[-1]}T00:00:00Z"}
        while self.ask("GET", f"/backfills/{number}")["completed_at"] is None:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"The backfill of {dag} has not ended after {seconds:.0f} s; see {self.layout.airflow_url}"
                )
            done = self._count(dag, state="success", **span)
            failed = self._count(dag, state="failed", **span)
            bar.advance_to(min(done, len(days)), total=len(days), note=f"{failed} failed" if failed else "")
            time.sleep(POLL_SECONDS)
        missing = sorted(set(days) - self.built(dag, days))
        if missing:
            failed_run = next(iter(self.runs(dag, state="failed", **span)), None)
            where = self.place(failed_run) if failed_run else f"see {self.layout.airflow_url}/dags/{dag}"
            raise SetupError(f"{len(missing)} of {len(days)} days of {dag} failed, the first is {missing[0]}; {where}")

    def place(self, run: Run) -> str:
        """Return where to read on: the run's page, and the log of its first failed task."""
        page = f"{self.layout.airflow_url}/dags/{run.dag}/runs/{run.id}"
        logs = list(self._logs_of_failures(run))
        return f"see {page}" + (f" and {logs[0]}" if logs else "")

    def question(self, run: Run, task: str) -> dict[str, Any]:
        """Return what people are asked by a task of a run, with the answer where there is one; empty before it asks."""
        answer = self.ask("GET", f"/dags/{run.dag}/dagRuns/{run.id}/hitlDetails", params={"task_id": task})
        return dict(next(iter(answer["hitl_details"]), {}))

    def await_question(self, run: Run, task: str, *, bar: Bar | None = None, seconds: float = 600) -> dict[str, Any]:
        """Wait until a task asks and nobody has answered; empty where the run ends before it does.

        Airflow 3.3 loses an answer that comes before its scheduler has heard that the task waits, and asks again.
        """
        deadline, asking = time.monotonic() + seconds, 0.0
        while run.state not in ENDED:
            states = self.task_states(run)
            if states.get(task) == AWAITING and not (asked := self.question(run, task)).get("response_received", True):
                asking = asking or time.monotonic()
                if time.monotonic() - asking >= HEARD_SECONDS:
                    return asked
            if time.monotonic() > deadline:
                raise SetupError(f"{run.dag} run {run.id} asks nobody after {seconds:.0f} s; {self.place(run)}")
            if bar is not None:
                bar.advance_to(sum(state in AT_REST for state in states.values()), total=len(states))
            time.sleep(POLL_SECONDS)
            run = self.run(run)
        return {}

    def answer(self, run: Run, task: str, *chosen: str, seconds: float = 120, **form: Any) -> None:
        """Answer what a task asks, as the person who is logged in, and wait until it has taken the answer.

        Where Airflow has lost it and asks again, so does this answer.
        """
        path = f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/-1/hitlDetails"
        said = {"chosen_options": list(chosen), "params_input": form}
        self.ask("PATCH", path, json=said)
        deadline = time.monotonic() + seconds
        while (state := self.task_states(run)[task]) not in AT_REST:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"{task} of {run.dag} has not taken its answer after {seconds:.0f} s; {self.place(run)}"
                )
            if state == AWAITING and not self.question(run, task).get("response_received", True):
                self.ask("PATCH", path, json=said)
            time.sleep(POLL_SECONDS)

    def run(self, run: Run) -> Run:
        """Return a run as it is now."""
        return Run.of(self.ask("GET", f"/dags/{run.dag}/dagRuns/{run.id}"))

    def results(self, run: Run, task: str) -> dict[str, Any]:
        """Return the record that a task of a run handed on, empty where it was skipped."""
        path = f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/xcomEntries"
        keys = {entry["key"] for entry in self.ask("GET", path)["xcom_entries"]}
        value = self.ask("GET", f"{path}/return_value")["value"] if "return_value" in keys else {}
        return dict(json.loads(value) if isinstance(value, str) else value)

    def task_states(self, run: Run) -> dict[str, str]:
        """Return each task's state."""
        return {task["task_id"]: str(task["state"]) for task in self._tasks(run)}

    def _logs_of_failures(self, run: Run) -> Iterator[str]:
        for task in self._tasks(run):
            if task["state"] in {"failed", "up_for_retry"}:
                folder = (
                    self.layout.logs / "tasks" / f"dag_id={run.dag}" / f"run_id={run.id}" / f"task_id={task['task_id']}"
                )
                yield str(folder / f"attempt={task['try_number']}.log")

    def _tasks(self, run: Run) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances")["task_instances"])

    def _count(self, dag: str, **filters: Any) -> int:
        return int(self.ask("GET", f"/dags/{dag}/dagRuns", params={"limit": 1, **filters})["total_entries"])
