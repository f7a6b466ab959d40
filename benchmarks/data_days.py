"""One day's run held against its parts, and days built beside each other against one after the other.

`.venv/bin/python -m benchmarks.data_days`. The use case is `conversion` on its real data. A day's parts are timed
inside one run of ingest and features; what Airflow adds is measured by `benchmarks.data_live`. Beside each other, four
processes take a day each from the same list, as the tasks of a backfill do; afterwards every day has to be there, with
the same content as when one process built them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import wraps
from multiprocessing import get_context
from typing import Any

from benchmarks.claims import Claim, show

CASE = "conversion"
FIRST = date(2017, 4, 10)  # with the history of 91 days that it needs
IMPORTS = (
    "import perennial.adapters, perennial.stages.ingest, perennial.stages.features, duckdb, deltalake, "
    "great_expectations"
)


def adapters_in(home: str) -> Any:
    """Return adapters of a home folder."""
    from perennial.adapters import Adapters
    from perennial.settings import load_settings

    os.environ |= {"PERENNIAL_HOME": home}
    load_settings.cache_clear()
    return Adapters.from_env()


def build(home: str, day: date) -> None:
    """Do what a run of `feature_build` does for a day."""
    from perennial.catalog import load_use_case
    from perennial.stages import features, ingest

    adapters, case = adapters_in(home), load_use_case(CASE)
    ingest.run(case, day, adapters, run="benchmark")
    features.run(case, day, adapters, run="benchmark")


@contextmanager
def timed(parts: dict[str, tuple[type, Sequence[str]]]) -> Iterator[Counter[str]]:
    """Add up the seconds spent in methods of some classes, by part; one called by another counts for the outer one."""
    spent: Counter[str] = Counter()
    inside: list[str] = []

    def counting(part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            if inside:
                return method(*args, **kwargs)
            inside.append(part)
            begun = time.perf_counter()
            try:
                found = method(*args, **kwargs)
                return list(found) if isinstance(found, Iterator) else found
            finally:
                spent[part] += time.perf_counter() - begun
                inside.clear()

        return run

    before = {(kind, name): getattr(kind, name) for kind, names in parts.values() for name in names}
    for part, (kind, names) in parts.items():
        for name in names:
            setattr(kind, name, counting(part, before[kind, name]))
    try:
        yield spent
    finally:
        for (kind, name), method in before.items():
            setattr(kind, name, method)


def parts_of_a_day(home: str, day: date) -> list[Claim]:
    """Return where the seconds of one day's run go, once its history is there."""
    from perennial.io.expectations import Expectations
    from perennial.io.lake import Lake
    from perennial.io.lineage import Lineage
    from perennial.io.sources import Sources
    from perennial.io.warehouse import Warehouse

    build(home, day)
    classes: dict[str, tuple[type, Sequence[str]]] = {
        "read the sources": (Sources, ("read_day", "read_days", "read_strays", "read_stray_records")),
        "check the rows, write the page": (Expectations, ("check", "keep")),
        "compute the features, three times with the leak check": (Warehouse, ("compute_features", "feature_days")),
        "keep what the day was made from": (Lineage, ("keep_features",)),
        "commit to the lake": (Lake, ("update_days", "write_days", "write_day")),
        "look into the lake's log": (Lake, ("missing_days", "days", "version", "holds", "revisions")),
    }
    with timed(classes) as spent:
        begun = time.perf_counter()
        build(home, day + timedelta(days=1))
        whole = time.perf_counter() - begun
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True)
    imports = time.perf_counter() - begun
    told = [Claim("a day's run", "the whole run, imports done", f"{whole:.2f} s")]
    told += [Claim("a day's run", part, f"{spent[part]:.2f} s, {spent[part] / whole:.0%}") for part in classes]
    return [*told, Claim("a day's run", "imports, which a warm worker has done", f"{imports:.2f} s")]


def content(home: str, days: Sequence[date]) -> dict[date, str]:
    """Return a hash of each snapshot."""
    import hashlib

    from perennial.catalog import load_use_case
    from perennial.records import Window

    adapters, case, found = adapters_in(home), load_use_case(CASE), {}
    for day in days:
        rows = adapters.lake.read(case.features_table, Window.of_day(day))
        in_order = rows.sort_by([(name, "ascending") for name in ("day", case.entity)])
        found[day] = hashlib.sha256(repr(in_order.to_pydict()).encode()).hexdigest()
    return found


def in_processes(home: str, days: Sequence[date], processes: int) -> float:
    """Build days by some processes and return the seconds, the start of the processes left out."""
    with get_context("spawn").Pool(processes) as pool:
        pool.starmap(build, [(home, days[0])] * processes, chunksize=1)  # each has imported what it needs
        begun = time.perf_counter()
        pool.starmap(build, [(home, day) for day in days[1:]], chunksize=1)
        return time.perf_counter() - begun


def beside_each_other(days: Sequence[date]) -> list[Claim]:
    """Return what four writers gain over one, and whether something was lost."""
    seconds, contents = {}, {}
    for processes in (1, 4):
        with tempfile.TemporaryDirectory() as home:
            seconds[processes] = in_processes(home, days, processes)
            contents[processes] = content(home, days)
    lost = [day for day in days if contents[1][day] != contents[4][day]]
    section = f"{len(days) - 1} days, each a run of its own"
    return [
        Claim(section, "one process", f"{(len(days) - 1) / seconds[1] * 60:.0f} days/min"),
        Claim(section, "four processes", f"{(len(days) - 1) / seconds[4] * 60:.0f} days/min"),
        Claim(section, "four against one, on two cores", f"{seconds[1] / seconds[4]:.2f}x"),
        Claim(section, "days lost or unlike those of one process", str(len(lost)), "0", not lost),
    ]


def measure(days: int = 24) -> list[Claim]:
    """Return the claims."""
    with tempfile.TemporaryDirectory() as home:
        told = parts_of_a_day(home, FIRST)
    return [*told, *beside_each_other([FIRST + timedelta(days=at) for at in range(days + 1)])]


def main() -> int:
    """Measure and print the table; 1 where a day was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=24)
    return show(measure(parser.parse_args().days))


if __name__ == "__main__":
    sys.exit(main())
