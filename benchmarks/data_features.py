"""A year of daily snapshots by twelve windowed aggregates: a range of ours against what one would write by hand.

`.venv/bin/python -m benchmarks.data_features --events 1000000`. Every contestant runs in a process of its own, reads
the same Parquet files of a simulated clickstream, a file a day, and writes a Parquet file a day. Ours is the whole
stage: pinned versions, leak check, publication in the lake, lineage. The others only read, compute and write. Those
that take one day after the other are given every fifth day, or every thirtieth of ten million events, which is
counted up to a year. That all found the same is checked by the sum of every column on some days.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from benchmarks.claims import Claim, peak, show
from benchmarks.feature_peers import BY_HAND, GENERAL_WAYS, NAMES, Prepared

CASE = "visitor_conversion"
YEAR = date(2025, 1, 1)
DAYS = 365
LEAD = 31  # days before the first that it looks back to, and the one that the leak check looks at
GENERAL, BEST, MEMORY = 2.0, 1.5, 1.5
PATIENCE = 300  # seconds that a contestant may take
CHECKED = (0, 150, 300)  # days of the year whose sums are compared
EPOCH = date(1970, 1, 1)


def prepare(events: int) -> float:
    """Simulate a year and the days that it looks back to, ingest them into a lake, and return the rows a second."""
    from perennial.adapters import Adapters
    from perennial.catalog import load_use_case
    from perennial.core.clickstream import World
    from perennial.io.clickstreams import Span, write_files
    from perennial.settings import load_settings
    from perennial.stages import ingest

    load_settings.cache_clear()
    adapters, case = Adapters.from_env(), load_use_case(CASE)
    span = Span(YEAR - timedelta(days=LEAD), YEAR + timedelta(days=DAYS))
    write_files(World(seed=1, events_per_day=events / DAYS), span, adapters.settings.data_root)
    days = [span.start + timedelta(days=at) for at in range((span.end - span.start).days)]
    begun = time.perf_counter()
    records = ingest.run_days(case, case.sources[0].name, days, adapters, run="benchmark")
    return sum(record.rows for record in records) / (time.perf_counter() - begun)


def perennial(_files: str, _out: Path, days: Sequence[int]) -> Callable[[], None]:
    """Build the days by the stage, into the lake."""
    from perennial.adapters import Adapters
    from perennial.catalog import load_use_case
    from perennial.stages import features

    adapters, case = Adapters.from_env(), load_use_case(CASE)
    asked = [EPOCH + timedelta(days=day) for day in days]
    return lambda: features.run_days(case, asked, adapters, run="benchmark") and None


OURS = "Perennial, declared windows"
IMPORTS = {
    "Perennial": ("perennial.adapters", "perennial.stages.features", "duckdb"),
    "DuckDB": ("duckdb", "pyarrow"),
    "polars": ("polars",),
    "pandas": ("pandas", "polars", "pyarrow.parquet"),
}
CONTESTANTS: dict[str, Prepared] = {OURS: perennial, **GENERAL_WAYS, **BY_HAND}


def contest(name: str, home: Path, every: int) -> None:
    """Run one contestant in this process and print what it cost."""
    first = (YEAR - EPOCH).days
    days = [first + at for at in range(0, DAYS, every)]
    files = f"{home}/lake/raw/{CASE}/simulated_events/day=*/*.parquet"
    (home / "out").mkdir(exist_ok=True)
    for module in IMPORTS[name.split(",")[0]]:
        import_module(module)
    begun, cpu = time.perf_counter(), time.process_time()
    run = CONTESTANTS[name](files, home / "out" / name, days)
    read = time.perf_counter() - begun
    run()
    built = time.perf_counter() - begun - read
    cost = {"seconds": read + built * DAYS / len(days), "cpu": time.process_time() - cpu, "peak": peak()}
    print(json.dumps(cost))


def sums(name: str, home: Path) -> list[list[float]]:
    """Return the number of visitors and the sum of each column on the checked days."""
    import duckdb

    first = (YEAR - EPOCH).days
    found = []
    for at in CHECKED:
        folder = home / "out" / name / f"day={first + at}"
        if name == OURS:
            folder = home / "lake" / "features" / CASE / f"day={YEAR + timedelta(days=at)}"
        columns = ", ".join(f"sum({column})::double" for column in NAMES)
        (row,) = duckdb.sql(f"select count(*)::double, {columns} from read_parquet('{folder}/*.parquet')").fetchall()
        found.append(list(row))
    return found


def measured(home: Path, events: int) -> dict[str, dict[str, float]]:
    """Return the seconds of a year and the peak of every contestant that ended in time, all with the same result.

    Of a million events each runs three times, in turns, and the middle one counts.
    """
    # A day of a loop costs the same whichever it is: of the slow ones a sample of days is enough.
    every = dict.fromkeys(GENERAL_WAYS, 5 if events <= 1_000_000 else 30)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    truth = None
    for _ in range(3 if events <= 1_000_000 else 1):
        for name in CONTESTANTS:
            cost = _run(name, home, every.get(name, 1))
            print(f"{events:,} events, {name}: {cost or 'stopped'}", file=sys.stderr)
            if cost is None:
                continue
            runs[name].append(cost)
            found = sums(name, home)
            truth = truth or found
            if found != truth:
                raise SystemExit(f"{name} finds other features than {OURS}: {found} instead of {truth}")
    middle = {name: sorted(costs, key=lambda cost: cost["seconds"]) for name, costs in runs.items() if costs}
    return {name: costs[len(costs) // 2] for name, costs in middle.items()}


def _run(name: str, home: Path, every: int) -> dict[str, float] | None:
    """Return what a contestant cost in a process of its own; None where it took longer than PATIENCE."""
    command = [sys.executable, "-m", "benchmarks.data_features", "--contestant", name, "--home", str(home),
               "--every", str(every)]  # fmt: skip
    written = [home / "lake" / "features", home / "lake" / "lineage"] if name == OURS else [home / "out" / name]
    for folder in filter(Path.exists, written):
        # Moved, not deleted: a file system is slow in making files right after it deleted as many.
        folder.rename(home / f"{folder.name} {uuid4()}")
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


def year(events: int) -> tuple[list[Claim], dict[str, dict[str, float]], float]:
    """Return what a year of features costs each contestant, as claims and figures, and the rows ingested a second."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PERENNIAL_HOME": folder}
        rate = prepare(events)
        costs = measured(Path(folder), events)
    speed = {name: DAYS / cost["seconds"] for name, cost in costs.items()}
    section = f"features, {events // 1_000_000}M events"
    general, best = max(speed[name] for name in GENERAL_WAYS), max(speed.get(name, 0.0) for name in BY_HAND)
    told = [
        Claim(
            section,
            name,
            f"{speed[name]:.1f} days/s, {costs[name]['peak']:,.0f} MB"
            if name in costs
            else f"not within {PATIENCE // 60} minutes",
        )
        for name in CONTESTANTS
    ]
    faster, slower = speed[OURS] / general, best / speed[OURS]
    told += [
        Claim(
            section,
            "ours against the fastest general one",
            f"{faster:.2f}x",
            f"at least {GENERAL:g}x",
            faster >= GENERAL,
        ),
        Claim(section, "the best by hand against ours", f"{slower:.2f}x", f"at most {BEST:g}x", slower <= BEST),
    ]
    return told, costs, rate


def measure(sizes: Sequence[int] = (1_000_000, 10_000_000)) -> list[Claim]:
    """Return the claims for each number of events, and that the memory does not grow with them."""
    claims, peaks = [], []
    for events in sizes:
        told, costs, rate = year(events)
        claims += [
            *told,
            Claim(
                f"ingest, {events // 1_000_000}M events", "396 daily Parquet files into the lake", f"{rate:,.0f} rows/s"
            ),
        ]
        peaks.append(costs[OURS]["peak"])
    growth = peaks[-1] / peaks[0]
    figure = f"ours: peak for {sizes[-1] // sizes[0]} times the events"
    return [*claims, Claim("features", figure, f"{growth:.2f}x", f"at most {MEMORY:g}x", growth <= MEMORY)]


def main() -> int:
    """Measure; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--contestant")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    if options.contestant:
        os.environ |= {"PERENNIAL_HOME": str(options.home)}
        contest(options.contestant, options.home, options.every)
        return 0
    return show(measure(options.events))


if __name__ == "__main__":
    sys.exit(main())
