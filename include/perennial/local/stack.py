"""Starts, stops and describes the embedded stack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import psutil
from filelock import FileLock, Timeout

from perennial.errors import SetupError
from perennial.local import credentials, environment, feed, postgres
from perennial.local.airflow_api import Airflow
from perennial.local.components import components
from perennial.local.layout import Layout, refuse_taken_ports
from perennial.local.steps import Bar, Steps
from perennial.local.supervision import Supervisor
from perennial.settings import Settings

HEALTHY_SECONDS = 240.0
# The parts that Airflow's own health page names.
AIRFLOW_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def up(settings: Settings, *, steps: Steps) -> Layout:
    """Start what does not run yet, wait until everything is healthy, and leave it running.

    SIGINT and SIGTERM while it starts stop all of it again.
    """
    layout = Layout.of(settings)
    layout.make_folders()
    with _alone(layout), _stopped_on_signals(Supervisor(layout)):
        _start(layout, settings, steps=steps)
    return layout


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Keep a second `up` or `down` of the same home folder out."""
    try:
        with FileLock(layout.run / "stack.lock", timeout=0):
            yield
    except Timeout as error:
        raise SetupError(f"Another `up` or `down` works on {layout.home}; wait for it to end.") from error


@contextmanager
def _stopped_on_signals(supervisor: Supervisor) -> Iterator[None]:
    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    # A shell's background jobs ignore SIGINT; whoever sends it to us all the same wants the stack gone.
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except BaseException:
        supervisor.stop()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(layout: Layout, settings: Settings, *, steps: Steps) -> None:
    supervisor = Supervisor(layout)
    if not supervisor.runs():
        supervisor.sweep()
        refuse_taken_ports(layout)
        credentials.passwords(layout)
        environment.write_stack_env(layout, weeks=environment.weeks_of(settings, datetime.now(UTC).date()))
        with steps.step("Start Postgres"):
            postgres.prepare(layout)
            supervisor.start(components(layout), environment=environment.component_environment(layout))
            supervisor.start_group("database")
            postgres.create_databases(layout)
            feed.prepare_database(layout)
    if feed.read(layout) is not None:
        supervisor.start_group("feed")
    supervisor.start_group("services")
    _migrate(layout, steps=steps)
    supervisor.start_group("airflow")
    with steps.step("Start Airflow and MLflow") as bar:
        await_healthy(layout, bar=bar)
    why = "Long ranges: the daily runs keep the other slots"
    Airflow(layout, login="admin").ensure_pool("perennial_backfill", slots=2, why=why)


def start_feed(layout: Layout, settings: Settings, begun: feed.Feed) -> None:
    """Let the running stack's simulated shop write, and its use case read what it writes, from now on."""
    supervisor = Supervisor(layout)
    if "feed" not in supervisor.states():
        raise SetupError("The running stack was started without a feed. Stop it with `make down`, then start again.")
    feed.keep(layout, begun)
    environment.write_stack_env(layout, weeks=environment.weeks_of(settings, datetime.now(UTC).date()))
    supervisor.start_group("feed")


def _migrate(layout: Layout, *, steps: Steps) -> None:
    """Bring the databases to this version's form; skipped where the same versions did it before."""
    from perennial.io.ledger import schema

    packages = {name: version(name) for name in ("apache-airflow", "perennial")}
    versions = json.dumps({**packages, "ledger": schema()})
    stamp = layout.run / "migrated.json"
    if stamp.exists() and stamp.read_text() == versions:
        return
    with steps.step("Prepare the databases"):
        _run_migrations(layout)
    stamp.write_text(versions)


def _run_migrations(layout: Layout) -> None:
    from perennial.io.ledger import Ledger

    Ledger(layout.database_url("perennial")).upgrade()
    log = layout.logs / "migrate.log"
    with log.open("wb") as output:
        done = subprocess.run(  # noqa: S603  our own program
            [str(Path(sys.executable).parent / "airflow"), "db", "migrate"],
            env=environment.component_environment(layout),
            cwd=layout.run,
            stdout=output,
            stderr=output,
        )
    if done.returncode:
        raise SetupError(f"Airflow cannot prepare its database (exit {done.returncode}); see {log}.")


def await_healthy(layout: Layout, *, bar: Bar, seconds: float = HEALTHY_SECONDS) -> None:
    """Wait until every part is healthy; say which one is not, and where its log lies, when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        parts = health(layout)
        waiting = [name for name, state in parts.items() if state != "healthy"]
        bar.advance_to(len(parts) - len(waiting), total=len(parts), note=", ".join(waiting))
        if not waiting:
            return
        _refuse_given_up(layout)
        if time.monotonic() > deadline:
            raise SetupError(f"Not healthy after {seconds:.0f} s: {', '.join(waiting)}. The logs are in {layout.logs}.")
        time.sleep(0.5)


def _refuse_given_up(layout: Layout) -> None:
    for name, item in Supervisor(layout).states().items():
        if item["statename"] == "FATAL":
            raise SetupError(
                f"{name} does not stay up ({item['spawnerr'] or item['description']}); see {layout.logs / name}.log."
            )


def health(layout: Layout) -> dict[str, str]:
    """Return each part's state: "healthy", or what is wrong."""
    return {"mlflow": _mlflow_health(layout), **_airflow_health(layout)}


def _mlflow_health(layout: Layout) -> str:
    try:
        answer = httpx.get(f"{layout.mlflow_url}/health", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return "no answer"
    return "healthy" if answer.is_success else f"HTTP {answer.status_code}"


def _airflow_health(layout: Layout) -> dict[str, str]:
    try:
        # The page is HTTP 200 also where a part is ill: the body counts.
        found: dict[str, Any] = httpx.get(
            f"{layout.airflow_url}/api/v2/monitor/health", timeout=5, trust_env=False
        ).json()
    except (httpx.HTTPError, ValueError):
        return {"api-server": "no answer", **dict.fromkeys(AIRFLOW_PARTS, "unknown")}
    return {"api-server": "healthy", **{part: str((found.get(part) or {}).get("status")) for part in AIRFLOW_PARTS}}


def down(settings: Settings) -> list[int]:
    """Stop everything; return the ids of processes that had to be killed. The data stays."""
    layout = Layout.of(settings)
    if not layout.run.exists():
        return []
    with _alone(layout):
        return Supervisor(layout).stop()


def status(settings: Settings) -> dict[str, str]:
    """Return each component's state as supervisord sees it; empty where the stack does not run."""
    found = Supervisor(Layout.of(settings)).states()
    return {name: f"{item['statename']} {item['description']}" for name, item in found.items()}


def memory(layout: Layout) -> int:
    """Return the bytes of memory that all processes of the stack hold together, shared pages counted once."""
    leader = psutil.Process(int(layout.session_file.read_text()))
    return sum(_pss(process) for process in [leader, *leader.children(recursive=True)])


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0


def describe(layout: Layout) -> str:
    """Return where to look: the addresses and the file with the logins."""
    logins = ", ".join(credentials.ROLES)
    return "\n".join(
        [
            f"Airflow  {layout.airflow_url}   logins {logins}: passwords in {_relative(layout.passwords)}",
            f"MLflow   {layout.mlflow_url}",
            f"Mail     {_relative(layout.mail)} (caught on port {layout.smtp_port})",
            f"Logs     {_relative(layout.logs)}",
        ]
    )


def _relative(path: os.PathLike[str]) -> str:
    return os.path.relpath(path)
