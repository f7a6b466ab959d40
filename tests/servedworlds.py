"""A small world whose champion has changed: scored and looked at day by day, on a real lake and a real ledger.

Models and their files stay in the fake registry. Trained once a session, copied for each test.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from fakes import FakeAdapters
from perennial.io.lake import Lake
from perennial.io.lineage import Lineage
from perennial.spec import UseCase
from perennial.stages import monitor, score
from worlds import World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Dead:
    """A part of the world that does not answer, whatever it is asked."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return what raises the error, with what was asked."""

        def down(*_: object, **__: object) -> None:
            raise self._error(f"{name} does not answer")

        return down


_FIRST: list[Served] = []


def served_world(factory: pytest.TempPathFactory, folder: Path) -> Served:
    """Return a world in `folder` that a test may change; it is made once a session, which takes some seconds."""
    if not _FIRST:
        _FIRST.append(Served.in_folder(factory.mktemp("served")))
    return _FIRST[0].copy(folder)


@dataclass
class Served:
    """A use case, what it lives in, and its days: the last but one is the first champion's, the last the second's."""

    case: UseCase
    adapters: FakeAdapters
    days: tuple[date, ...]

    @classmethod
    def in_folder(cls, folder: Path) -> Served:
        """Return a world of three days by version 1 and one by version 2, all of them looked at."""
        world = World.of_fifty_days(folder)
        days = tuple(world.today - timedelta(days=ago) for ago in (3, 2, 1, 0))
        for version, scored in (("1", days[:-1]), ("2", days[-1:])):
            world.train()
            world.evaluate()
            world.promote(version)
            for day in scored:
                score.run(world.case, day, world.adapters, run=f"run of {day}")
                monitor.run(world.case, day, world.adapters, run="monitor", now=NOW)
        world.adapters.lake = _real(world, Lake(folder / "lake"))
        world.adapters.lineage = Lineage(world.adapters.lake)
        return cls(world.case, world.adapters, days)

    def copy(self, folder: Path) -> Served:
        """Return a world like this one that can be changed freely."""
        adapters = FakeAdapters(folder)
        adapters.registry = deepcopy(self.adapters.registry)
        shutil.copytree(self.adapters.lake.root, folder / "lake")
        shutil.copy(self.adapters.folder / "ledger.db", folder / "ledger.db")
        adapters.lake = Lake(folder / "lake")
        adapters.lineage = Lineage(adapters.lake)
        return Served(self.case, adapters, self.days)

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Put other rows into the place of a day."""
        self.adapters.lake.write_day(table, day, rows, metadata={"run": "written by a test"})


def _real(world: World, lake: Lake) -> Lake:
    """Return the lake with the days of the fake one; scores name the version in which their features lie now."""
    case, fake = world.case, world.adapters.lake
    lake.write_days(case.features_table, fake.tables[case.features_table], metadata={"run": "features"})
    version = lake.version(case.features_table)
    for day, rows in sorted(fake.tables[case.predictions_table].items()):
        place = rows.schema.get_field_index("data_version")
        rows = rows.set_column(place, "data_version", pa.array([version] * rows.num_rows, pa.int64()))
        lake.write_day(case.predictions_table, day, rows, metadata={"run": f"run of {day}"})
        Lineage(lake).keep_predictions(case, day, features_version=version or 0, run="score")
    return lake
