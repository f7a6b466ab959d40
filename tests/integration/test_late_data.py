"""Rows that come late, plans that are known ahead, validity, and what was known at a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from perennial.adapters import Adapters
from perennial.errors import DataError
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import features, ingest

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=30)


def declared(**orders: Any) -> dict[str, Any]:
    """Return the shop's spec with more keys for its orders."""
    spec = toy.spec(stale="rebuild")
    spec["sources"][0] |= orders
    return spec


def without(day: date) -> pa.Table:
    """Return the orders without those of a day."""
    rows = toy.order_rows()
    keep = [each != day for each in rows["ordered_at"].cast(pa.date32()).to_pylist()]
    return rows.filter(pa.array(keep))


def deliver(case: UseCase, rows: pa.Table) -> None:
    """Put other rows into the file of the orders."""
    pq.write_table(rows, case.source("orders").files["orders"])


def orders(adapters: Adapters, day: date) -> int:
    """Return how many orders a day holds."""
    return adapters.lake.read("raw/shop/orders", Window.of_day(day)).num_rows


def test_rows_that_come_late_are_found_by_the_next_run_within_the_allowance(make_shop, adapters):
    """The day before is read again, and its snapshot is built again because the spec says so."""
    late = DAY - timedelta(days=1)
    case = make_shop(declared=declared(lateness_days=2), orders=without(late))
    ingest.run(case, late, adapters)
    features.run(case, late, adapters)
    assert orders(adapters, late) == 0
    deliver(case, toy.order_rows())
    ingest.run(case, DAY, adapters)
    features.run(case, DAY, adapters)
    rebuilt = features.rebuild_stale(case, DAY, adapters)

    assert orders(adapters, late) > 0
    assert [record.day for record in rebuilt] == [late]
    assert adapters.lineage.features(case, [late, DAY])[0].state == "fresh"


def test_late_rows_beyond_the_allowance_are_not_looked_for(make_shop, adapters):
    """Three days late with an allowance of two: left to a backfill that reads the day again."""
    late = DAY - timedelta(days=3)
    case = make_shop(declared=declared(lateness_days=2), orders=without(late))
    ingest.run(case, late, adapters)
    deliver(case, toy.order_rows())
    ingest.run(case, DAY, adapters)

    assert orders(adapters, late) == 0
    ingest.run_days(case, "orders", [late], adapters, run="asked for")
    assert orders(adapters, late) > 0


def test_stale_days_are_only_shown_where_the_spec_does_not_ask_for_more(make_shop, adapters):
    """The default builds nothing by itself."""
    late = DAY - timedelta(days=1)
    case = make_shop(declared=toy.spec(), orders=without(late))
    ingest.run(case, late, adapters)
    features.run(case, late, adapters)
    deliver(case, toy.order_rows())
    ingest.run_days(case, "orders", [late], adapters, run="asked for")

    assert features.rebuild_stale(case, DAY, adapters) == ()
    assert adapters.lineage.features(case, [late])[0].reason == f"orders of {late} changed"


PLAN_SQL = """
select d.day, o.customer, count(*) filter (o.day > d.day) as orders_ahead, count(*) as orders_known
from days d join orders o on o.day <= d.day + 2 and o.day > d.day - 5
group by all
"""


def planned(make_shop: Any, days_ahead: int) -> UseCase:
    """Return a shop whose orders are placed two days before they count, and whose SQL looks two days ahead."""
    spec = declared(known_ahead_days=days_ahead)
    spec["features"] |= {"numeric": ["orders_ahead", "orders_known"], "categorical": [], "lookback_days": 5}
    return make_shop(declared=spec, features_sql=PLAN_SQL)


def test_a_plan_is_known_so_many_days_ahead(make_shop, adapters):
    """The days ahead are ingested with the snapshot's day, and looking at them is no leak."""
    case = planned(make_shop, 2)
    ingest.run(case, DAY, adapters)
    record = features.run(case, DAY, adapters)
    ahead = adapters.lake.read("features/shop", Window.of_day(DAY))["orders_ahead"].to_pylist()

    assert orders(adapters, DAY + timedelta(days=2)) > 0
    assert record.rows > 0
    assert sum(ahead) == orders(adapters, DAY + timedelta(days=1)) + orders(adapters, DAY + timedelta(days=2))


def test_looking_further_ahead_than_the_plan_is_a_leak(make_shop, adapters):
    """One day is known, the SQL takes two."""
    case = planned(make_shop, 1)
    ingest.run(case, DAY, adapters)

    with pytest.raises(DataError, match=r"orders_ahead|other entities"):
        features.run(case, DAY, adapters)


def test_a_row_of_a_reference_table_is_not_seen_before_it_is_valid(make_shop, adapters):
    """The segment that holds from tomorrow on is unknown today."""
    spec = toy.spec()
    spec["sources"][1] |= {
        "valid_from": "since",
        "columns": {"customer": "integer", "segment": "string", "since": "date"},
    }
    case = make_shop(declared=spec)
    segments = toy.customer_rows().append_column("since", pa.array([DAY + timedelta(days=1)] * 60, pa.date32()))
    pq.write_table(segments, case.source("customers").files["customers"])
    for day in (DAY, DAY + timedelta(days=1)):
        ingest.run(case, day, adapters)
        features.run(case, day, adapters)
    seen = {day: set(adapters.lake.read("features/shop", Window.of_day(day))["segment"].to_pylist())
            for day in (DAY, DAY + timedelta(days=1))}  # fmt: skip

    assert seen == {DAY: {"unknown"}, DAY + timedelta(days=1): {"a", "b"}}


def test_what_was_known_at_a_moment_is_read_after_a_correction(make_shop, adapters):
    """The tables' versions of then give the rows of then."""
    case = make_shop(declared=toy.spec(), orders=without(DAY))
    ingest.run(case, DAY, adapters)
    features.run(case, DAY, adapters)
    then = datetime.now(UTC)
    deliver(case, toy.order_rows())
    ingest.run(case, DAY, adapters)
    pins = {at: adapters.warehouse.pins(case, known_at=at) for at in (then, datetime.now(UTC))}
    found = [
        adapters.warehouse.source_rows(case, [DAY], cut=DAY, pins=pinned)["orders"].num_rows for pinned in pins.values()
    ]

    assert found[1] - found[0] == orders(adapters, DAY)
    assert adapters.warehouse.pins(case, known_at=datetime(2000, 1, 1, tzinfo=UTC)) == {}
