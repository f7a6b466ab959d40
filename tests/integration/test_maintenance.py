"""Vacuum on a real lake and registry: champions keep their rows, the rest goes, and nothing becomes stale by it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from perennial.errors import RegistryError
from perennial.io import maintenance
from perennial.records import Window
from perennial.stages import evaluate, maintain, promote, score
from test_model_loop import NOW, TODAY, Shop, open_shop

pytestmark = pytest.mark.integration


def rewrite(shop: Shop, amount: float) -> None:
    """Let the newest day of orders and of snapshots be written again with other numbers."""
    case, lake = shop.case, shop.adapters.lake
    for table, column in ((case.raw_table("orders"), "amount"), (case.features_table, "spend_10d")):
        rows = lake.read(table, Window.of_day(TODAY)).drop_columns(["day"])
        values = pa.array([amount] * rows.num_rows, pa.float64())
        lake.write_day(table, TODAY, rows.set_column(rows.schema.get_field_index(column), column, values), metadata={})


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop whose newest day was written five times; version 1 was champion, 2 is, 3 is the challenger."""
    shop = open_shop(tmp_path_factory.mktemp("shop"))
    for number in range(2):
        version = shop.evaluated(shop.challenger())
        promote.run(shop.case, version, shop.adapters, who="ada", reason="better", now=NOW)
        rewrite(shop, 1.0 + number)
    shop.challenger()
    rewrite(shop, 7.0)
    rewrite(shop, 8.0)
    score.run(shop.case, TODAY, shop.adapters, run="test")
    return shop


def test_what_was_replaced_lately_stays(shop: Shop):
    """A reader that began before it can end."""
    assert [record.files for record in maintain.run(shop.case, shop.adapters)] == [0, 0, 0, 0]


def test_a_manifest_that_cannot_be_read_deletes_nothing(shop: Shop, tmp_path: Path):
    """Who knows what that champion needs?"""
    store = shop.folder / "home" / "mlartifacts"
    shutil.move(store, tmp_path / "elsewhere")
    try:
        with pytest.raises(RegistryError, match="manifest of shop version 1"):
            maintain.run(shop.case, shop.adapters, keep_days=0)
    finally:
        shutil.move(tmp_path / "elsewhere", store)
    assert maintain.run(shop.case, shop.adapters, keep_days=0, dry_run=True)[0].files > 0


def test_champions_and_the_challenger_keep_their_rows_and_the_rest_goes(shop: Shop):
    """What is said to go goes; every pinned version reads as before, nothing is stale, the gates can measure."""
    case, lake = shop.case, shop.adapters.lake
    pinned = maintain.pins(case, shop.adapters)
    window = Window(TODAY - timedelta(days=40), TODAY + timedelta(days=1))
    before = {(table, number): lake.read(table, window, version=number) for table in pinned for number in pinned[table]}
    days = lake.days(case.features_table)
    states = {state.day: state.state for state in shop.adapters.lineage.features(case, days)}
    newest = lake.read(case.features_table, window)
    size = _size(shop)
    said = maintain.run(case, shop.adapters, keep_days=0, dry_run=True)
    assert _size(shop) == size

    freed = maintain.run(case, shop.adapters, keep_days=0)

    assert [(r.table, r.files, r.bytes) for r in freed] == [(r.table, r.files, r.bytes) for r in said]
    by_table = {record.table: record for record in freed}
    assert len(by_table[case.raw_table("orders")].pinned) == len(by_table[case.features_table].pinned) == 3
    # Of each table one version is needed by nobody: the fourth of five.
    assert by_table[case.raw_table("orders")].files == by_table[case.features_table].files == 1
    assert size - _size(shop) == sum(record.bytes for record in freed)
    for (table, number), rows in before.items():
        assert lake.read(table, window, version=number).equals(rows)
    assert lake.read(case.features_table, window).equals(newest)
    assert {state.day: state.state for state in shop.adapters.lineage.features(case, days)} == states
    assert score.run(case, TODAY, shop.adapters, run="test").changed is False
    assert evaluate.run(case, shop.adapters, version="3", now=NOW, who="ada", run="test").version == "3"
    assert [record.files for record in maintain.run(case, shop.adapters, keep_days=0)] == [0, 0, 0, 0]


def test_without_pins_only_the_newest_stays(shop: Shop):
    """So the pins above are what kept the others."""
    table = shop.case.raw_table("orders")

    assert maintenance.vacuum(shop.adapters.lake.root, table, pinned=(), keep_days=0, dry_run=True).files == 3


def _size(shop: Shop) -> int:
    """Return the bytes of all data files."""
    return sum(path.stat().st_size for path in shop.adapters.lake.root.rglob("day=*/*.parquet"))
