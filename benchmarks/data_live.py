"""A year of days through a live Airflow: by its own Backfill, by the range's form, and by cold workers one at a time.

`.venv/bin/python -m benchmarks.data_live`, or with `--days 20` to try it. The use case is `conversion`, replayed so
that all of its days and the ninety before them hold real rows; each way begins with an empty lake and reads the
sources itself. The stack is the one of `make up`, in a folder that is removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from perennial.catalog import load_use_case
from perennial.io.lake import Lake
from perennial.io.rows import UNLIKE
from perennial.local import stack
from perennial.local.airflow_api import Airflow
from perennial.local.demo import AT_ONCE
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.records import Window
from perennial.settings import Settings, load_settings
from perennial.spec import UseCase

from benchmarks.bench_tasks import free_port
from benchmarks.claims import Claim, show

CASE = "conversion"
NATIVE_MINUTES, RANGE_MINUTES = 15.0, 3.0
COLD_DAYS = 6
SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """How long one way took for its days, and the most memory that the stack held, in bytes."""

    days: int
    seconds: float
    peak: int

    @property
    def a_minute(self) -> float:
        """Return days a minute."""
        return 60 * self.days / self.seconds

    def __str__(self) -> str:
        """Return the figures in a line."""
        minutes = f"{self.seconds / 60:.1f} min" if self.seconds >= 60 else f"{self.seconds:.0f} s"
        return f"{minutes}, {self.a_minute:.1f} days/min, peak {self.peak / 2**30:.1f} GiB"


def replay_weeks(case: UseCase, window: Window) -> int:
    """Return the shift with which the first day that any of the ways looks back to has real rows."""
    earliest = window.start - timedelta(days=case.features.lookback_days + COLD_DAYS + 1)
    return min((earliest - source.replay.first).days // 7 for source in case.sources if source.replay is not None)


@contextmanager
def environment(home: Path, *, weeks: int) -> Iterator[None]:
    """Describe a stack of its own to this process, and put everything back at the end."""
    before = dict(os.environ)
    names = ("PERENNIAL_AIRFLOW_PORT", "PERENNIAL_MLFLOW_PORT", "PERENNIAL_SMTP_PORT")
    ours = {"PERENNIAL_HOME": str(home), "PERENNIAL_REPLAY_WEEKS": str(weeks)} | {
        name: str(free_port()) for name in names
    }
    os.environ.update(ours)
    load_settings.cache_clear()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        load_settings.cache_clear()


@contextmanager
def running(settings: Settings, *, warm: bool, steps: Steps) -> Iterator[Airflow]:
    """Run the stack, its workers warm or cold, and stop it again."""
    os.environ["PERENNIAL_WARM_WORKERS"] = str(warm).lower()
    try:
        layout = stack.up(settings, steps=steps)
        airflow = Airflow(layout)
        airflow.await_dags([f"{CASE}__feature_build", f"{CASE}__backfill"])
        yield airflow
    finally:
        stack.down(settings)


@contextmanager
def peak_of(layout: Layout) -> Iterator[list[int]]:
    """Give a list whose last value is the most bytes that the stack held, as far as it was looked."""
    found, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_SECONDS):
            found.append(max(found[-1], stack.memory(layout)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def native(airflow: Airflow, window: Window, *, at_once: int, title: str, steps: Steps) -> Way:
    """Build the days by Airflow's own backfill of the daily DAG, and return what that cost."""
    days = list(window.days())
    with peak_of(airflow.layout) as peak, steps.step(title, total=len(days)) as bar:
        begun = time.monotonic()
        number = airflow.backfill(f"{CASE}__feature_build", days, at_once=at_once)
        if number is None:
            raise RuntimeError(f"Airflow found nothing to build from {days[0]} to {days[-1]}; the lake was not empty.")
        airflow.await_backfill(number, f"{CASE}__feature_build", days, bar=bar, seconds=7200)
        seconds = time.monotonic() - begun
    return Way(len(days), seconds, peak[-1])


def by_range(airflow: Airflow, window: Window, *, title: str, steps: Steps) -> Way:
    """Build the same days by one run of the form, and return what that cost."""
    form = {"first_day": str(window.start), "last_day": str(window.end - timedelta(days=1))}
    dag = f"{CASE}__backfill"
    airflow.unpause(dag)
    with peak_of(airflow.layout) as peak, steps.step(title) as bar:
        begun = time.monotonic()
        airflow.await_success(airflow.trigger(dag, conf=form), bar=bar, seconds=7200)
        seconds = time.monotonic() - begun
    return Way(len(list(window.days())), seconds, peak[-1])


def set_aside(settings: Settings, name: str) -> Lake:
    """Take the lake out of the stack's way, so that it begins with an empty one, and return it."""
    kept = settings.home / f"lake-{name}"
    settings.lake_root.rename(kept)
    return Lake(kept)


def contents(lake: Lake, case: UseCase, window: Window) -> dict[tuple[str, date], str]:
    """Return a hash over the rows of each day of each table, in any order, but for which run brought them.

    A reference table has the snapshot that the newest day sees, whichever day it was first read for.
    """
    newest = window.end - timedelta(days=1)
    found = {
        (case.features_table, day): _content(lake, case.features_table, day) for day in lake.days(case.features_table)
    }
    for source in case.sources:
        table = case.raw_table(source.name)
        if source.is_reference:
            found[table, newest] = _content(lake, table, lake.snapshot_day(table, newest), unlike=("day",))
        else:
            found |= {(table, day): _content(lake, table, day) for day in lake.days(table)}
    return found


def _content(lake: Lake, table: str, day: date, *, unlike: Sequence[str] = ()) -> str:
    rows = lake.read(table, Window.of_day(day))
    names = sorted(set(rows.column_names) - {*UNLIKE, *unlike})
    rows = rows.select(names).sort_by([(name, "ascending") for name in names]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def differing(one: Mapping[tuple[str, date], str], other: Mapping[tuple[str, date], str]) -> list[str]:
    """Return the partitions that only one of them has, or that differ, as table and day."""
    return [
        f"{table} {day}"
        for table, day in sorted(one.keys() | other.keys())
        if one.get((table, day)) != other.get((table, day))
    ]


def measured(window: Window, settings: Settings, case: UseCase, steps: Steps) -> tuple[dict[str, Way], list[str], int]:
    """Return the cost of each way, the partitions in which native and range differ, and how many there are."""
    days = len(list(window.days()))
    with running(settings, warm=True, steps=steps) as airflow:
        airflow.unpause_without_last_tick(f"{CASE}__feature_build")
        found = {"native": native(airflow, window, at_once=AT_ONCE, title=f"{days} days natively", steps=steps)}
        by_days = set_aside(settings, "native")
        found["range"] = by_range(airflow, window, title=f"{days} days as a range", steps=steps)
        at_once = set_aside(settings, "range")
    with steps.step("Compare the partitions"):
        one, other = contents(by_days, case, window), contents(at_once, case, window)
    with running(settings, warm=False, steps=steps) as airflow:
        # The days before those of the year: Airflow knows no run of theirs yet.
        first = window.start - timedelta(days=COLD_DAYS + 1)
        fetched = airflow.trigger(f"{CASE}__feature_build", key=first)
        with steps.step("Fetch the history for the cold days") as bar:
            airflow.await_success(fetched, bar=bar)
        cold = Window(first + timedelta(days=1), window.start)
        found["cold"] = native(airflow, cold, at_once=1, title=f"{COLD_DAYS} days, cold, one at a time", steps=steps)
    return found, differing(one, other), len(one)


def claims_of(found: Mapping[str, Way], differing: list[str], partitions: int) -> list[Claim]:
    """Return what is claimed of each way."""
    days = found["native"].days
    section = f"{days} days live"
    limits = {"native": NATIVE_MINUTES, "range": RANGE_MINUTES}
    titles = {"native": "Airflow's own Backfill, one run a day", "range": f"{CASE}__backfill, one run"}
    timed = [
        Claim(section, titles[way], str(found[way]), f"at most {limit:g} min", found[way].seconds <= 60 * limit)
        for way, limit in limits.items()
    ]
    cold = found["cold"]
    gain = " and ".join(f"{found[way].a_minute / cold.a_minute:.0f}x by {way}" for way in limits)
    same = f"{partitions - len(differing)} of {partitions} equal"
    first = f", first {differing[0]}" if differing else ""
    return [
        *timed,
        Claim(section, f"cold workers, one run at a time ({cold.days} days)", str(cold)),
        Claim(section, "against cold workers", gain),
        Claim(section, "partitions of both ways, by content", same + first, "all", not differing and partitions > 0),
    ]


def measure(days: int = 365) -> list[Claim]:
    """Build the days in each way on a stack of its own and return what is claimed; nothing of it is left behind."""
    case, steps = load_use_case(CASE), Steps()
    window = Window.ending(datetime.now(UTC).date() - timedelta(days=1), days=days)
    home = Path(tempfile.mkdtemp(prefix="perennial-year-"))
    try:
        with environment(home, weeks=replay_weeks(case, window)):
            found, unlike, partitions = measured(window, load_settings(), case, steps)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return claims_of(found, unlike, partitions)


def main() -> int:
    """Measure, print, and return 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    return show(measure(parser.parse_args().days))


if __name__ == "__main__":
    sys.exit(main())
