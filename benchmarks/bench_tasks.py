"""What a task costs in Airflow: cold, warm and empty, side by side on a stack of its own.

`make bench-tasks`. The claim: a warm task with every heavy library costs at most 1.5 times the CPU of an empty one.
The CPU is that of the executor's workers and of all tasks they forked, as the kernel counts it, divided by the tasks.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
from perennial.local import credentials, environment, postgres, stack
from perennial.local.airflow_api import Airflow
from perennial.local.components import components
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.local.supervision import Supervisor
from rich.console import Console
from rich.table import Column, Table

CLAIM = 1.5
MANY, FEW = 40, 6
LIBRARIES = "duckdb, deltalake, evidently, great_expectations, lightgbm, mlflow, optuna, pandas, sklearn.ensemble"
DAGS = f"""
from airflow.sdk import DAG, task

def nothing(): pass

def use():
    import {LIBRARIES}

for name, count, work in [("empty", {MANY}, nothing), ("heavy_many", {MANY}, use), ("heavy_few", {FEW}, use)]:
    with DAG(name, schedule=None, max_active_tasks=100):
        for number in range(count):
            task(task_id=f"t{{number}}")(work)()
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of task cost; seconds are those of one task."""

    name: str
    tasks: int
    cpu: float
    wall: float
    a_minute: float


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(layout: Layout, folder: Path, *, warm: bool, steps: Steps) -> Iterator[Airflow]:
    """Run the stack, its workers warm or cold, and stop it again."""
    more = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "PERENNIAL_WARM_WORKERS": "1" if warm else "0",
    }
    settings = environment.component_environment(layout) | more
    supervisor = Supervisor(layout)
    try:
        with steps.step(f"Start a stack with {'warm' if warm else 'cold'} workers") as bar:
            supervisor.start(components(layout), environment=settings)
            supervisor.start_group("database")
            postgres.create_databases(layout)
            supervisor.start_group("services")
            stack._migrate(layout, steps=steps)
            supervisor.start_group("airflow")
            stack.await_healthy(layout, bar=bar)
        yield Airflow(layout, login="admin")
    finally:
        supervisor.stop()


def workers_of(layout: Layout) -> list[psutil.Process]:
    """Return the processes from which LocalExecutor forks tasks."""
    return [p for p in Supervisor(layout).members() if "LocalExecutor" in " ".join(p.cmdline())]


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU time of the processes and of all children they have waited for."""
    return sum(sum(p.cpu_times()[:4]) for p in processes)


def measure(airflow: Airflow, dag: str, *, name: str, steps: Steps) -> Cost:
    """Run a DAG once and return what its tasks cost."""
    airflow.await_dags([dag])
    airflow.unpause(dag)
    workers = workers_of(airflow.layout)
    before = cpu_seconds(workers)
    with steps.step(f"Run {name}") as bar:
        run = airflow.await_success(airflow.trigger(dag), bar=bar)
    time.sleep(2)  # the last task's process is waited for after its run has ended
    cpu = cpu_seconds(workers) - before
    path = f"/dags/{dag}/dagRuns/{run.id}/taskInstances"
    tasks = airflow.ask("GET", path, params={"limit": 100})["task_instances"]
    begun, ended = ([datetime.fromisoformat(t[key]) for t in tasks] for key in ("start_date", "end_date"))
    span = (max(ended) - min(begun)).total_seconds()
    wall = statistics.median((e - b).total_seconds() for b, e in zip(begun, ended, strict=True))
    return Cost(name, len(tasks), cpu / len(tasks), wall, 60 * len(tasks) / span)


def measure_all(layout: Layout, folder: Path, *, steps: Steps) -> list[Cost]:
    """Return the costs in a cold and in a warm stack, each with its own empty tasks."""
    with running(layout, folder, warm=False, steps=steps) as airflow:
        costs = [
            measure(airflow, "empty", name="empty, cold worker", steps=steps),
            measure(airflow, "heavy_few", name="heavy, cold worker", steps=steps),
        ]
    with running(layout, folder, warm=True, steps=steps) as airflow:
        costs += [
            measure(airflow, "empty", name="empty, warm worker", steps=steps),
            measure(airflow, "heavy_many", name="heavy, warm worker", steps=steps),
        ]
    return costs


def show(costs: Sequence[Cost], console: Console) -> float:
    """Print the table and return how many times an empty task's CPU a warm heavy one costs."""
    table = Table(Column("task", no_wrap=True), "tasks", "cpu-s each", "wall s", "tasks/min", "x empty")
    empty = costs[0].cpu
    for cost in costs:
        figures = (f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.a_minute:.0f}", f"{cost.cpu / empty:.2f}")
        table.add_row(cost.name, str(cost.tasks), *figures)
    console.print(table)
    return costs[-1].cpu / empty


def main() -> int:
    """Measure, print, and return 1 where the claim does not hold."""
    steps = Steps()
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    layout = Layout(home=home, airflow_port=free_port(), mlflow_port=free_port(), smtp_port=free_port())
    try:
        layout.make_folders()
        (home / "dags").mkdir()
        (home / "dags" / "bench.py").write_text(DAGS)
        credentials.passwords(layout)
        environment.write_stack_env(layout, weeks=0)
        postgres.prepare(layout)
        costs = measure_all(layout, home / "dags", steps=steps)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    ratio = show(costs, steps.console)
    held = ratio <= CLAIM
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    steps.say(
        f"{os.cpu_count()} cores, load {load}. Warm costs {ratio:.2f} x an empty task; claimed is at most {CLAIM}."
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
