"""Days of the toy shop as they lie in the lake: sources with refused rows, snapshots, their lineage, scores.

Nothing is computed: a test of a page needs days, not features.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from perennial.adapters import Adapters
from perennial.io.rows import Marks, placed, refuse
from perennial.records import Window
from perennial.spec import UseCase
from toy import FIRST, adapters, shop

DAYS = 12
LAST = FIRST + timedelta(days=DAYS - 1)
NOW = datetime(2026, 1, 13, 9, tzinfo=UTC)  # the day after the last one, past its due
REASON = "amount is not within 0 and 1,000"
HOSTILE = '<script>alert("reason")</script>'


@dataclass(frozen=True)
class ShopDays:
    """The use case and its outside world."""

    case: UseCase
    adapters: Adapters

    @classmethod
    def lived(cls, folder: Path, *, missing: Collection[date] = (), unbuilt: bool = False) -> ShopDays:
        """Return twelve days of sources, and snapshots and scores of all but those that are missing."""
        world = cls(shop(folder), adapters(folder / "home"))
        world.ingest([FIRST + timedelta(days=offset - 10) for offset in range(DAYS + 10)])
        world.adapters.lake.write_day(
            "raw/shop/customers", FIRST, placed(pa.table({"customer": [1, 2], "segment": ["a", "b"]})), metadata={}
        )
        if not unbuilt:
            world.build([day for day in Window.ending(LAST, days=DAYS).days() if day not in missing])
        return world

    def ingest(
        self, days: Collection[date], *, amounts: Collection[float] = (5.0, 7.5, -1.0), reason: str = REASON
    ) -> None:
        """Write a day's orders, of which those with a negative amount are refused."""
        self.adapters.lake.write_days(
            "raw/shop/orders", {day: orders(day, tuple(amounts), reason) for day in days}, metadata={"run": "ingest"}
        )

    def build(self, days: Collection[date], *, run: str = "scheduled__1") -> None:
        """Write snapshots of days with what they were built from, and their scores."""
        lake, case = self.adapters.lake, self.case
        pins = {
            table: version for table in ("raw/shop/orders", "raw/shop/customers") if (version := lake.version(table))
        }
        made = lake.write_days(case.features_table, {day: snapshot(2) for day in days}, metadata={"run": run})
        self.adapters.lineage.keep_features(case, sorted(days), pins=pins, run=run)
        version = made[0].version
        lake.write_days(case.predictions_table, {day: scores(version) for day in days}, metadata={"run": run})
        for day in days:
            self.adapters.lineage.keep_predictions(case, day, features_version=version, run=run)

    def keep_checks(self, source: str, day: date, *, reason: str = REASON) -> None:
        """Write the page of a day's checks, and the same as data: one of two was not met."""
        folder = self.adapters.settings.pages_root / "validation" / "shop" / source
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{day}.html").write_text("<h1>checks</h1>")
        config = {
            "type": "expect_column_values_to_be_between",
            "kwargs": {},
            "severity": "warning",
            "meta": {"reason": reason},
        }
        unmet = {"success": False, "expectation_config": config, "result": {"element_count": 3, "unexpected_count": 1}}
        met = {"success": True, "expectation_config": config, "result": {}}
        (folder / f"{day}.json").write_text(json.dumps({"results": [met, unmet]}))


def orders(day: date, amounts: tuple[float, ...], reason: str) -> pa.Table:
    """Return a day's orders with their places."""
    at = datetime.combine(day, datetime.min.time(), UTC)
    rows = pa.table(
        {
            "order_id": pa.array([day.toordinal() * 100 + each for each in range(len(amounts))], pa.int64()),
            "customer": pa.array([1] * len(amounts), pa.int64()),
            "amount": pa.array(amounts, pa.float64()),
            "ordered_at": pa.array([at] * len(amounts), pa.timestamp("us", "UTC")),
        }
    )
    bad = {place: (reason,) for place, amount in enumerate(amounts) if amount < 0}
    return refuse(placed(rows), bad, Marks("suite1", "ingest"))


def snapshot(customers: int) -> pa.Table:
    """Return the features of some customers."""
    who = pa.array(range(customers), pa.int64())
    return pa.table(
        {"customer": who, "days_since_order": who, "orders_7d": who, "spend_10d": pa.array([1.0] * customers)}
    )


def scores(features_version: int) -> pa.Table:
    """Return the scores of two customers by version 3."""
    return pa.table(
        {"customer": [0, 1], "score": [0.1, 0.9], "model_version": ["3", "3"], "data_version": [features_version] * 2}
    )
