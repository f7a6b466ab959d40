"""What a profile of 100 million values costs: five million rows of twenty columns over thirty days.

`make bench-profile`, or `.venv/bin/python -m benchmarks.bench_profile --rows 500000`. The claims: under a minute, and
the peak grows by at most half for ten times the rows. Each runs in a process of its own over the lake's own layout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Column, Table

from benchmarks.claims import peak

SECONDS, GROWTH = 60.0, 1.5
DAYS, NUMBERS, TEXTS = 30, 15, 5
FIRST = date(2026, 1, 1)


def write(folder: Path, rows: int) -> None:
    """Write a table of numbers and texts by day: skewed, with missing values, of few and of many different values."""
    rng = np.random.default_rng(0)
    for offset in range(DAYS):
        size = rows // DAYS
        columns: dict[str, pa.Array] = {"entity": pa.array(rng.integers(0, rows // 20 + 1, size))}
        for number in range(NUMBERS):
            values = rng.gamma(0.5 + number / 5, 10, size) + offset * (number % 3)
            missing = rng.random(size) < 0.02 * (number % 4)
            columns[f"number_{number}"] = pa.array(np.round(values, number % 5), mask=missing)
        for number in range(TEXTS - 1):
            words = np.array([f"value {at}" for at in range(4 ** (number + 1))], object)
            columns[f"text_{number}"] = pa.array(words[rng.integers(0, len(words), size)], pa.string())
        path = folder / f"day={FIRST + timedelta(days=offset)}" / "part.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), path)


def profile(folder: Path) -> None:
    """Profile the table in this process, labels included, write the page, and print what it cost."""
    from perennial.io.profilepage import page, replaced
    from perennial.io.profiles import Asked, profiled

    files = {date.fromisoformat(path.parent.name[4:]): [path] for path in sorted(folder.glob("day=*/part.parquet"))}
    names = tuple(pq.read_schema(next(iter(files.values()))[0]).names)
    entities = np.arange(0, 100_000, 7)
    day = pa.array([FIRST] * len(entities), pa.date32())
    labels = pa.table({"day": day, "entity": entities, "label": np.ones(len(entities))})
    start = time.perf_counter()
    found = profiled(Asked("events", files, names, entity="entity", labels=labels))
    record = {
        "case": "bench",
        "first": str(FIRST),
        "last": str(max(files)),
        "label_days": 1,
        "version": None,
        "tables": [found.to_json()],
    }
    replaced(folder / "profile.html", page(title="bench", label="label", record=record).encode())
    seconds = time.perf_counter() - start
    values = found.rows * len(found.columns)
    size = (folder / "profile.html").stat().st_size
    print(json.dumps({"rows": found.rows, "values": values, "seconds": seconds, "peak": peak(), "page": size}))


def main() -> int:
    """Measure a tenth of the rows and all of them; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.folder:
        profile(Path(options.folder))
        return 0
    costs = []
    for rows in (options.rows // 10, options.rows):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), rows)
            command = [sys.executable, "-m", "benchmarks.bench_profile", "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            costs.append(json.loads(done.stdout.splitlines()[-1]))
    table = Table(*(Column(name, justify="right") for name in ("rows", "values", "seconds", "peak MB", "page KB")))
    for cost in costs:
        table.add_row(
            f"{cost['rows']:,}", f"{cost['values']:,}", f"{cost['seconds']:.1f}", f"{cost['peak']:.0f}",
            f"{cost['page'] / 1024:.0f}",
        )  # fmt: skip
    growth = costs[1]["peak"] / costs[0]["peak"]
    claims = {
        f"{costs[1]['seconds']:.1f} s (at most {SECONDS:g})": costs[1]["seconds"] <= SECONDS,
        f"{growth:.2f} times the peak for ten times the rows (at most {GROWTH:g})": growth <= GROWTH,
    }
    console = Console(width=100)
    console.print(table)
    for claim, holds in claims.items():
        console.print(f"{'holds' if holds else 'FAILS'}  {claim}")
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
