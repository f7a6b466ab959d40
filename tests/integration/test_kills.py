"""A process killed at any moment: what it wrote is whole or is not there, and doing it again ends as if undisturbed.

A hundred seeded runs, a quarter each of ingest, publishing snapshots, re-driving, and applying a backfill's plan.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import forks
import pyarrow as pa
import pytest
import toy
from killing import DAYS, FIRST, STEPS, Step, alone, opened
from perennial.io.rows import UNLIKE
from perennial.records import Window

pytestmark = pytest.mark.integration
RUNS_OF_EACH = 25
SEEN = [FIRST + timedelta(days=at) for at in range(-12, len(DAYS) + 1)]
TABLES = ("raw/shop/orders", "raw/shop/customers", "features/shop")


@dataclass(frozen=True)
class Prepared:
    """Where a step begins, what it does, how long it takes, and where it ends undisturbed."""

    start: Path
    step: Step
    seconds: float
    before: Mapping[tuple[str, date], str]
    after: Mapping[tuple[str, date], str]


def state(home: Path) -> dict[tuple[str, date], str]:
    """Return a hash of what each written day holds, in whatever order, but for the run that brought it."""
    lake, found = opened(home).lake, {}
    for table in TABLES:
        if lake.version(table) is None:
            continue
        written = [day for day, revision in lake.revisions(table, SEEN).items() if revision]
        found |= {(table, day): hashlib.sha256() for day in written}
        rows = lake.read(table, Window(SEEN[0], SEEN[-1] + timedelta(days=1)))
        rows = rows.drop_columns([name for name in UNLIKE if name in rows.column_names])
        for line, day in sorted((json.dumps(row, default=str), row["day"]) for row in rows.to_pylist()):
            found[table, day].update(line.encode())
    return {key: digest.hexdigest() for key, digest in found.items()}


def in_child(step: Step, home: Path) -> BaseProcess:
    """Start a step in a process of its own."""
    process = forks.context().Process(target=alone, args=(step, home))
    process.start()
    return process


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prepared]:
    """Return each step with its start and its undisturbed end; one order in ten is refused."""
    rows = toy.order_rows()
    amounts = [-1.0 if at % 10 == 0 else value for at, value in enumerate(rows["amount"].to_pylist())]
    declared = toy.spec()
    declared["sources"][0]["quarantine_limit"] = 1.0
    found = {}
    for name, (first, step) in STEPS.items():
        start, end = tmp_path_factory.mktemp("start"), tmp_path_factory.mktemp("end") / "whole"
        toy.write_shop(start / "cases", declared=declared, orders=rows.set_column(2, "amount", pa.array(amounts)))
        for each in first:
            each(start)
        shutil.copytree(start, end)
        process = in_child(step, end)
        begun = time.monotonic()
        process.join(60)
        assert process.exitcode == 0
        found[name] = Prepared(start, step, time.monotonic() - begun, state(start), state(end))
    return found


@pytest.fixture(scope="module")
def interrupted() -> list[str]:
    """Return a list to which each run adds its step where the process was still at work when it was killed."""
    return []


@pytest.mark.parametrize("run", range(RUNS_OF_EACH))
@pytest.mark.parametrize("name", STEPS)
def test_a_killed_step_leaves_whole_days_and_ends_well_the_second_time(prepared, interrupted, name, run, tmp_path):
    """At a moment somewhere in the step: each day is as before or as after, then all are as after."""
    made, home = prepared[name], tmp_path / "home"
    shutil.copytree(made.start, home)
    moment = random.Random(f"{name} {run}").uniform(0.0, made.seconds)
    process = in_child(made.step, home)
    time.sleep(moment)
    process.kill()
    process.join(60)
    if process.exitcode == -signal.SIGKILL:
        interrupted.append(name)
    left = state(home)
    half_written = [key for key in left if left[key] not in {made.before.get(key), made.after.get(key)}]

    again = in_child(made.step, home)
    again.join(60)

    assert half_written == []
    assert made.before.keys() <= left.keys() <= made.after.keys()
    assert again.exitcode == 0
    assert state(home) == made.after, f"killed after {moment:.3f} s"


def test_most_of_them_were_killed_at_work(interrupted):
    """A run that had ended before its moment proves nothing."""
    assert len(interrupted) >= RUNS_OF_EACH * len(STEPS) // 2
