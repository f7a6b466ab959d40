"""The benchmark of the alerts, end to end on a small shop: the same seed gives the same table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import toy
from perennial.alertbench import bench
from perennial.alertbench.bench import BenchRecord, Plan
from perennial.alertbench.faults import faults
from perennial.settings import Settings

pytestmark = pytest.mark.integration
PLAN = Plan(toy.FIRST + timedelta(days=46), days=4, faulty_from=2, names=("feed stops", "unit change"), with_peer=False)


@pytest.fixture(autouse=True)
def short_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fault last a day, and three days be lived from its first on: opened, mended, over."""
    short = tuple(replace(each, lasts=1, lived=3) for each in faults())
    monkeypatch.setattr(bench, "faults", lambda: short)


def lived(folder: Path) -> BenchRecord:
    """Run the benchmark in a folder; a second time it finds the champion of the first."""
    case = toy.shop(folder / "use_cases")
    settings = Settings(home=folder / "home", ledger_url=None, mlflow_uri=None)
    return bench.run(case, settings, PLAN, folder=folder / "bench")


def test_the_same_seed_gives_the_same_table(tmp_path: Path) -> None:
    """Also where it was run before: nothing that was lived is left. Both faults are found and mailed once."""
    first, again = lived(tmp_path), lived(tmp_path)

    assert first.to_json() == again.to_json()
    assert (first.calm.days, first.calm.failed) == (4, 0)
    assert [(each.name, each.found, each.days) for each in first.faults] == [
        ("feed stops", True, 1),
        ("unit change", True, 1),
    ]
    assert [(each.opened, each.triage) for each in first.faults] == [(1, "feed broken"), (1, "feed broken")]
