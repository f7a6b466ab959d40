"""What twelve checks cost: ours against one hand-written DuckDB aggregate, polars, and Great Expectations alone.

`make bench-validation`, or `.venv/bin/python -m benchmarks.bench_validation --rows 1000000`. Each contestant runs in a
process of its own on the same Parquet files: seconds are those of the whole process, imports included, and of the
checks alone; memory is the largest resident size that the kernel saw. The claims, for ten million rows: ours needs at
most twice the seconds of the faster of the two hand-written ones, and is at least eight times faster than Great
Expectations with a tenth of its memory. The rows are right, as they are on a normal day.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.claims import Claim, peak, show

SLOWER, FASTER, MEMORY = 2.0, 8.0, 0.1
FILES = 10
ROW_GROUP = 122_880  # as DuckDB writes them; readers hold a row group a thread
KINDS = ["view", "cart", "purchase", "search"]


def _expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs}


SUITE = [
    _expectation("column_values_to_not_be_null", column="event_id"),
    _expectation("column_values_to_be_unique", column="event_id"),
    _expectation("column_values_to_not_be_null", column="visitor"),
    _expectation("column_values_to_be_between", column="visitor", min_value=1),
    _expectation("column_values_to_be_in_set", column="kind", value_set=KINDS),
    _expectation("column_values_to_not_be_null", column="kind"),
    _expectation("column_values_to_be_between", column="price", min_value=0, max_value=10_000),
    _expectation("column_values_to_be_between", column="units", min_value=1, max_value=100),
    _expectation("column_mean_to_be_between", column="price", min_value=1, max_value=1000),
    _expectation("column_max_to_be_between", column="units", max_value=50),
    _expectation("column_pair_values_a_to_be_greater_than_b", column_A="left", column_B="entered", or_equal=True),
    _expectation("table_row_count_to_be_between", min_value=1, max_value=1_000_000_000),
]
AGGREGATE = """
select count(*) = count(event_id), count(distinct event_id) = count(event_id), count(*) = count(visitor),
    count(*) filter (visitor < 1) = 0, count(*) filter (kind not in ('view', 'cart', 'purchase', 'search')) = 0,
    count(*) = count(kind), count(*) filter (price < 0 or price > 10000) = 0,
    count(*) filter (units < 1 or units > 100) = 0, avg(price) between 1 and 1000, max(units) <= 50,
    count(*) filter ("left" < entered) = 0, count(*) between 1 and 1000000000
from read_parquet(?)
"""


def write(folder: Path, rows: int) -> None:
    """Write events that pass every check: shuffled ids, times, prices and texts."""
    rng = np.random.default_rng(0)
    ids = rng.permutation(rows).astype(np.int64) * 7 + 13
    for number, part in enumerate(np.array_split(ids, FILES)):
        size = len(part)
        entered = np.int64(1_767_225_600_000_000) + rng.integers(0, 86_400_000_000, size)
        table = pa.table({
            "event_id": part,
            "visitor": rng.integers(1, rows // 5 + 2, size),
            "kind": pa.array(np.array(KINDS, object)[rng.choice(4, size, p=[0.8, 0.12, 0.03, 0.05])], pa.string()),
            "price": np.round(rng.gamma(2, 20, size).clip(0, 9_999), 2),
            "units": rng.integers(1, 21, size),
            "entered": pa.array(entered, pa.timestamp("us")),
            "left": pa.array(entered + rng.integers(0, 600_000_000, size), pa.timestamp("us")),
        })  # fmt: skip
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=ROW_GROUP)


def ours(paths: list[str]) -> bool:
    """Check the files by the suite, as a day is checked."""
    from perennial.io.expectations import Expectations

    found = Expectations(Path("unused")).check_files([Path(path) for path in paths], SUITE, name="events")
    return not found.refused and not found.critical and len(found.outcome.each) == len(SUITE)


def duckdb_by_hand(paths: list[str]) -> bool:
    """Check the files by one aggregate that was written for them."""
    import duckdb

    row = duckdb.connect().execute(AGGREGATE, [paths]).fetchone()
    return row is not None and len(row) == len(SUITE) and all(row)


def polars_by_hand(paths: list[str]) -> bool:
    """Check the files by one lazy query that was written for them."""
    import polars as pl

    found = (
        pl.scan_parquet(paths)
        .select(
            a=pl.col("event_id").null_count() == 0,
            b=pl.col("event_id").n_unique() == pl.len(),
            c=pl.col("visitor").null_count() == 0,
            d=(pl.col("visitor") < 1).sum() == 0,
            e=(~pl.col("kind").is_in(KINDS)).sum() == 0,
            f=pl.col("kind").null_count() == 0,
            g=((pl.col("price") < 0) | (pl.col("price") > 10_000)).sum() == 0,
            h=((pl.col("units") < 1) | (pl.col("units") > 100)).sum() == 0,
            i=pl.col("price").mean().is_between(1, 1000),
            j=pl.col("units").max() <= 50,
            k=(pl.col("left") < pl.col("entered")).sum() == 0,
            l=pl.len().is_between(1, 1_000_000_000),
        )
        .collect(engine="streaming")
    )
    return len(found.columns) == len(SUITE) and all(found.row(0))


def great_expectations(paths: list[str]) -> bool:
    """Check the files by Great Expectations' own engine on pandas; it names bad rows, as ours does."""
    from perennial.io.expectations import _engine

    table = pa.concat_tables([pq.read_table(path) for path in paths])
    found = _engine(table, dict(enumerate(SUITE)), name="events")
    return len(found) == len(SUITE) and all(outcome.success for outcome in found.values())


CONTESTANTS: dict[str, Callable[[list[str]], bool]] = {
    "perennial": ours,
    "one DuckDB aggregate": duckdb_by_hand,
    "polars": polars_by_hand,
    "Great Expectations on pandas": great_expectations,
}


def contest(name: str, paths: list[str]) -> None:
    """Run one contestant in this process and print what it cost."""
    start = time.perf_counter()
    good = CONTESTANTS[name](paths)
    alone = time.perf_counter() - start
    print(json.dumps({"good": good, "alone": alone, "peak": peak()}))


def measured(name: str, paths: list[str], repeats: int) -> dict[str, float]:
    """Return a contestant's best run out of some, each in a new process."""
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.bench_validation", "--contestant", name, *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        whole = time.perf_counter() - start
        found = json.loads(done.stdout.splitlines()[-1])
        if not found["good"]:
            raise SystemExit(f"{name} refuses rows that are right.")
        runs.append(found | {"whole": whole})
    return {key: min(float(run[key]) for run in runs) for key in ("whole", "alone", "peak")}


def main() -> int:
    """Run the contest; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--contestant")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    if options.contestant:
        contest(options.contestant, options.paths)
        return 0
    return show(measure(options.rows, options.repeats))


def measure(rows: int = 10_000_000, repeats: int = 3) -> list[Claim]:
    """Return what each contestant costs, and the claims."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        paths = sorted(str(path) for path in Path(folder).iterdir())
        costs = {name: measured(name, paths, repeats) for name in CONTESTANTS}
    section = f"validation, {rows:,} rows"
    told = [
        Claim(section, name, f"{cost['whole']:.2f} s, checks {cost['alone']:.2f} s, {cost['peak']:,.0f} MB")
        for name, cost in costs.items()
    ]
    mine, great = costs["perennial"], costs["Great Expectations on pandas"]
    slower = mine["whole"] / min(costs["one DuckDB aggregate"]["whole"], costs["polars"]["whole"])
    faster, memory = great["whole"] / mine["whole"], mine["peak"] / great["peak"]
    return [
        *told,
        Claim(section, "ours against the faster by hand", f"{slower:.2f}x", f"at most {SLOWER:g}x", slower <= SLOWER),
        Claim(section, "Great Expectations against ours", f"{faster:.1f}x", f"at least {FASTER:g}x", faster >= FASTER),
        Claim(
            section, "memory against Great Expectations'", f"{memory:.3f}x", f"at most {MEMORY:g}x", memory <= MEMORY
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
