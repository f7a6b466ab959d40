"""Steps over a shop that a process is killed in; light to import, since every process that is killed does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import toy
from fakes import FakeRegistry
from perennial import chunks
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.records import Window
from perennial.stages import backfill, features, ingest, quarantine
from perennial.stages.quarantine import Chosen, Decision

Step = Callable[[Path], None]
FIRST = toy.FIRST + timedelta(days=20)
DAYS = [FIRST + timedelta(days=at) for at in range(12)]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WIDE = json.dumps({"orders": [], "customers": []})


def opened(home: Path) -> Adapters:
    """Return adapters with a registry in memory."""
    adapters = toy.adapters(home / "home")
    adapters.__dict__["registry"] = FakeRegistry()
    return adapters


def ingest_days(home: Path) -> None:
    """Read twelve days and those behind them."""
    case, adapters = read_folder(home / "cases" / "shop"), opened(home)
    ingest.fill_missing(case, DAYS, adapters, run="killed")
    for source in ("orders", "customers"):
        ingest.run_days(case, source, DAYS, adapters, run="killed")


def publish_snapshots(home: Path) -> None:
    """Build twelve days, three commits of four."""
    case, adapters = read_folder(home / "cases" / "shop"), opened(home)
    for at in range(0, len(DAYS), 4):
        features.run_days(case, DAYS[at : at + 4], adapters, run="killed")


def redrive_rows(home: Path) -> None:
    """Re-drive the refused rows of all days under a suite that refuses nothing."""
    (home / "cases" / "shop" / "suite.json").write_text(WIDE)
    case, adapters = read_folder(home / "cases" / "shop"), opened(home)
    quarantine.redrive(case, adapters, Chosen(), Decision("ada", NOW, "a new suite", "killed"))


def apply_plan(home: Path) -> None:
    """Apply the newest plan, or make one first."""
    case, adapters = read_folder(home / "cases" / "shop"), opened(home)
    if not adapters.plans.names("shop"):
        window = Window(DAYS[0], DAYS[-1] + timedelta(days=1))
        backfill.plan(case, window, adapters, who="ada", now=NOW)
    made = adapters.plans.load("shop", adapters.plans.names("shop")[-1])
    for chunk in made.chunks:
        chunks.run(case, made, chunk, adapters, run="killed")


STEPS: dict[str, tuple[tuple[Step, ...], Step]] = {
    "ingest": ((), ingest_days),
    "publish": ((ingest_days,), publish_snapshots),
    "re-drive": ((ingest_days,), redrive_rows),
    "backfill": ((), apply_plan),
}


def alone(step: Step, home: Path) -> None:
    """Do a step in a process group of its own."""
    os.setpgid(0, 0)
    step(home)
