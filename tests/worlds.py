"""A small world with a use case, its days and its models, for the stages that come after training."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from fakes import FakeAdapters, Population, make_case
from perennial.spec import UseCase
from perennial.stages import evaluate, promote, train
from perennial.verdicts import GateReport

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class World:
    """A use case, what it lives in, and the last lived day."""

    case: UseCase
    adapters: FakeAdapters
    today: date

    @classmethod
    def of_fifty_days(cls, folder: Path) -> World:
        """Return a world without any model."""
        case, adapters = make_case(), FakeAdapters(folder)
        return cls(case, adapters, adapters.live(case, days=50, population=Population()))

    def copy(self, folder: Path) -> World:
        """Return a world like this one that can be changed freely; its ledger lies in `folder`."""
        adapters = FakeAdapters(folder)
        adapters.lake = deepcopy(self.adapters.lake)
        adapters.warehouse.lake = adapters.lake
        adapters.warehouse.returning = deepcopy(self.adapters.warehouse.returning)
        adapters.registry = deepcopy(self.adapters.registry)
        shutil.copy(self.adapters.folder / "ledger.db", folder / "ledger.db")
        return World(self.case, adapters, self.today)

    def train(self) -> str:
        """Train a challenger and return its version."""
        return train.run(self.case, self.today, self.adapters, run="manual").version

    def evaluate(self, version: str | None = None) -> GateReport:
        """Hold a version, by default the challenger, against the gates."""
        return evaluate.run(self.case, self.adapters, version=version, now=NOW, who="ada", run="manual")

    def promote(self, version: str) -> None:
        """Make a version the champion."""
        promote.run(self.case, version, self.adapters, who="ada", reason="passed", now=NOW)

    def alter(self, rows: pa.Table, day: date | None = None) -> None:
        """Put other rows into the place of a day's snapshot."""
        self.adapters.lake.tables["features/toy"][day or self.today] = rows

    def snapshot(self, day: date | None = None) -> pa.Table:
        """Return a day's snapshot."""
        return self.adapters.lake.tables["features/toy"][day or self.today]


def with_column(rows: pa.Table, name: str, values: object) -> pa.Table:
    """Return the rows with other values in a column."""
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(values))


def everything_moved(rows: pa.Table) -> pa.Table:
    """Return the rows with all numeric features far away."""
    for name in ("recency", "spend", "visits"):
        values = np.asarray(rows[name].to_numpy(zero_copy_only=False), dtype=float)
        rows = with_column(rows, name, values + 100)
    return rows
