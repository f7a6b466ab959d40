"""Ingest: rows a second into the lake, from Parquet against raw DuckDB and from PostgreSQL against COPY.

`.venv/bin/python -m benchmarks.data_ingest --events 1000000`. Ours reads every day of a simulated clickstream under its
contract, checks it, and commits it to the lake. Raw DuckDB writes the same files into a file a day; COPY hands the
same columns of the table to a client that throws them away. No limit was promised: the ratio is told.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.claims import Claim, show

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.spec import UseCase

CASE = "visitor_conversion"
FIRST = date(2025, 1, 1)
DAYS = 90


@contextmanager
def simulated(events: int) -> Iterator[tuple[Adapters, UseCase]]:
    """Give adapters in a folder of their own, the source's files written, and the use case."""
    from perennial.adapters import Adapters
    from perennial.catalog import load_use_case
    from perennial.core.clickstream import World
    from perennial.io.clickstreams import Span, write_files
    from perennial.settings import load_settings

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"PERENNIAL_HOME": folder}
        load_settings.cache_clear()
        adapters = Adapters.from_env()
        span = Span(FIRST, FIRST + timedelta(days=DAYS))
        write_files(World(seed=1, events_per_day=events / DAYS), span, adapters.settings.data_root)
        yield adapters, load_use_case(CASE)


def ingested(case: UseCase, adapters: Adapters) -> tuple[int, float]:
    """Ingest all days; return rows and seconds."""
    from perennial.stages import ingest

    begun = time.perf_counter()
    days = [FIRST + timedelta(days=at) for at in range(DAYS)]
    records = ingest.run_days(case, case.sources[0].name, days, adapters, run="benchmark")
    return sum(record.rows for record in records), time.perf_counter() - begun


def raw_duckdb(data: Path, out: Path) -> float:
    """Return the seconds in which DuckDB writes the files' rows into a file a day."""
    import duckdb

    begun = time.perf_counter()
    files = f"{data}/clickstream_simulated/day=*/events.parquet"
    read = f"read_parquet('{files}', hive_partitioning = true, hive_types = {{'day': date}})"
    duckdb.execute(f"copy (select * from {read}) to '{out}' (format parquet, partition_by (day), compression snappy)")
    return time.perf_counter() - begun


def from_parquet(events: int) -> list[Claim]:
    """Return the claims about Parquet files."""
    with simulated(events) as (adapters, case):
        rows, seconds = ingested(case, adapters)
        raw = raw_duckdb(adapters.settings.data_root, adapters.settings.home / "raw")
    section = f"ingest from Parquet, {rows:,} rows"
    return [
        Claim(section, f"ours, {DAYS} days checked and committed", f"{rows / seconds:,.0f} rows/s"),
        Claim(section, "raw DuckDB, neither", f"{rows / raw:,.0f} rows/s"),
    ]


def from_postgres(events: int) -> list[Claim]:
    """Return the claims about a table of PostgreSQL."""
    import psycopg2
    from perennial.contracts import Database
    from perennial.core.clickstream import World
    from perennial.io.clickstreams import Span
    from perennial.io.feeds import write_table
    from servers import postgres

    with simulated(100 * DAYS) as (adapters, case), postgres(adapters.settings.home / "pg") as url:
        os.environ |= {"PERENNIAL_CONN_CLICKSTREAM": url}
        world = World(seed=1, events_per_day=events / DAYS)
        write_table(world, Span(FIRST, FIRST + timedelta(days=DAYS)), url)
        table = Database(connection="clickstream", query="simulated_events.sql")
        source = case.sources[0].model_copy(update={"files": {}, "database": table})
        rows, seconds = ingested(case.model_copy(update={"sources": (source,)}), adapters)
        connection = psycopg2.connect(url.replace("postgresql+psycopg2", "postgresql"))
        begun = time.perf_counter()
        with connection, connection.cursor() as cursor, Path(os.devnull).open("wb") as nowhere:
            columns = ", ".join(source.columns)
            cursor.copy_expert(f"copy (select {columns} from clickstream_simulated) to stdout (format binary)", nowhere)
        copied = time.perf_counter() - begun
        connection.close()
    section = f"ingest from PostgreSQL, {rows:,} rows"
    return [
        Claim(section, f"ours, {DAYS} days checked and committed", f"{rows / seconds:,.0f} rows/s"),
        Claim(section, "COPY to nowhere", f"{rows / copied:,.0f} rows/s"),
    ]


def measure(events: int = 1_000_000) -> list[Claim]:
    """Return the claims about both kinds of source."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    return [*from_parquet(events), *from_postgres(events)]


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    return show(measure(parser.parse_args().events))


if __name__ == "__main__":
    sys.exit(main())
