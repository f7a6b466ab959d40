"""Counts of a source by day, from a real lake."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from perennial.adapters import Adapters
from perennial.core import feeds
from perennial.io.vitals import sources_of
from perennial.spec import UseCase
from perennial.stages import ingest
from toy import FIRST, adapters, order_rows, shop, spec, write_shop

SUITE = json.dumps(
    {
        "orders": [
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "amount", "min_value": 0},
                "meta": {"reason": "amount is below 0"},
            }
        ],
        "customers": [],
    }
)
LAST = FIRST + timedelta(days=44)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[UseCase, Adapters]:
    """Return a shop of 45 ingested days, whose customers have one snapshot."""
    folder = tmp_path_factory.mktemp("shop")
    case, world = shop(folder), adapters(folder / "home")
    for source in case.sources:
        days = [FIRST] if source.is_reference else [FIRST + timedelta(days=at) for at in range(45)]
        ingest.run_days(case, source.name, days, world, run="test")
    return case, world


def test_a_days_rows_and_columns_are_counted(lived: tuple[UseCase, Adapters]):
    """As the file has them: rows, nulls, and the quartiles of amounts that are not 0."""
    case, world = lived
    found = world.vitals.of(case, case.source("orders"), LAST, pins=world.warehouse.pins(case))
    orders = order_rows()
    amounts = np.array(
        [row["amount"] for row in orders.to_pylist() if row["ordered_at"].date() == LAST], dtype=np.float64
    )

    assert (found.last, found.days[-1], len(found.days)) == (LAST, LAST, 36)
    assert found.rows[-1] == amounts.size
    assert found.quartiles["amount"][-1] == pytest.approx(np.quantile(amounts, [0.25, 0.5, 0.75]))
    assert set(found.nulls) == {"customer", "amount"}
    assert found.nulls["amount"].sum() == 0
    assert not any(each.over for each in feeds.judge(found, limits=case.monitoring.feed, about="feed"))


def test_a_snapshot_has_its_categories(lived: tuple[UseCase, Adapters]):
    """One snapshot, whatever day is asked for; its key is no column to watch."""
    case, world = lived
    found = world.vitals.of(case, case.source("customers"), LAST, pins=world.warehouse.pins(case))

    assert found.days == (FIRST,)
    assert found.is_written
    assert found.categories["segment"].names == ("a", "b")
    assert found.categories["segment"].counts.tolist() == [[30, 30]]


def test_days_may_be_looked_at_in_any_order(lived: tuple[UseCase, Adapters]):
    """Nothing is kept between them."""
    case, world = lived
    pins = world.warehouse.pins(case)
    early, late = (
        world.vitals.of(case, case.source("orders"), day, pins=pins) for day in (LAST - timedelta(days=5), LAST)
    )
    again = world.vitals.of(case, case.source("orders"), LAST - timedelta(days=5), pins=pins)

    assert early.rows.tolist() == again.rows.tolist()
    assert early.prints == again.prints
    assert early.rows[5:].tolist() == late.rows[:-5].tolist()


def test_a_day_that_was_never_ingested_is_known_as_that(lived: tuple[UseCase, Adapters]):
    """The days before it are there."""
    case, world = lived
    found = world.vitals.of(case, case.source("orders"), LAST + timedelta(days=1), pins=world.warehouse.pins(case))

    assert not found.is_written
    assert found.days[-1] == LAST


def test_a_source_without_a_table_has_no_days(tmp_path: Path):
    """Before the first ingest."""
    case, world = shop(tmp_path), adapters(tmp_path / "home")

    assert world.vitals.of(case, case.source("orders"), LAST, pins={}).days == ()


@pytest.mark.parametrize("fault", ["cents", "half", "twice", "nulls", "copied", "refused"])
def test_a_fault_of_one_day_is_found_by_its_rule(tmp_path: Path, fault: str):
    """A shop of 300 customers; what is broken is that day alone."""
    rule = {
        "cents": "scale", "half": "rows", "twice": "rows", "nulls": "null share", "copied": "copy",
        "refused": "quarantine share",
    }  # fmt: skip
    orders = broken(order_rows(45, customers=300), fault)
    case, world = shop(tmp_path, orders=orders, suite_json=SUITE), adapters(tmp_path / "home")
    ingest.run_days(case, "orders", [FIRST + timedelta(days=at) for at in range(45)], world, run="test")
    found = world.vitals.of(case, case.source("orders"), LAST, pins=world.warehouse.pins(case))
    over = [each for each in feeds.judge(found, limits=case.monitoring.feed, about="feed") if each.over]

    assert [each.measure for each in over] == [rule[fault]]
    assert str(LAST) in over[0].detail


def broken(orders: pa.Table, fault: str) -> pa.Table:
    """Return the orders with a fault in the last day."""
    rows = orders.to_pylist()
    today = [row for row in rows if row["ordered_at"].date() == LAST]
    before = [row for row in rows if row["ordered_at"].date() != LAST]
    if fault == "cents":
        today = [row | {"amount": row["amount"] * 100} for row in today]
    elif fault == "half":
        today = today[: len(today) // 4]
    elif fault == "twice":
        today = [row | {"order_id": row["order_id"] + 10**6 * again} for again in range(3) for row in today]
    elif fault == "nulls":
        today = [row | {"amount": None if at % 3 == 0 else row["amount"]} for at, row in enumerate(today)]
    elif fault == "refused":
        today = [row | {"amount": -1.0 if at % 6 == 0 else row["amount"]} for at, row in enumerate(today)]
    else:
        day = timedelta(days=1)
        yesterday = [row for row in before if row["ordered_at"].date() == LAST - day]
        moved = [row | {"ordered_at": row["ordered_at"] + day} for row in yesterday]
        today = [row | {"order_id": 10**6 + at} for at, row in enumerate(moved)]
    return pa.Table.from_pylist([*before, *today], schema=orders.schema)


def test_a_source_that_only_the_label_reads_is_one_of_labels(tmp_path: Path):
    """The tables of each SQL file, declared windows among them."""
    case = shop(tmp_path, label_sql="select d.day, c.customer, 1 as orders_again from days d join customers c on true")

    assert sources_of(case) == (frozenset({"orders", "customers"}), frozenset({"customers"}))


def test_sql_that_cannot_be_parsed_reads_everything(tmp_path: Path):
    """Rather one finding too many than none."""
    folder = write_shop(tmp_path, declared=spec())
    (folder / "label.sql").write_text("select from where (")
    from perennial.catalog import read_folder

    case = read_folder(folder)

    assert sources_of(case)[1] == {"orders", "customers"}
