"""SQL sees pinned versions, cut at the day that was asked for."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import toy
from perennial.errors import DataError, LakeError, SpecError
from perennial.io.warehouse import Asked, Warehouse

DAY = toy.FIRST + timedelta(days=40)


@pytest.fixture
def filled(adapters):
    """Return adapters whose lake holds the shop's raw days, written without checks."""
    rows = toy.order_rows()
    days = rows.column("ordered_at").cast(pa.date32()).to_pylist()
    for day in sorted(set(days)):
        chosen = rows.filter(pa.array([each == day for each in days]))
        adapters.lake.write_day("raw/shop/orders", day, chosen, metadata={})
    adapters.lake.write_day("raw/shop/customers", toy.FIRST, toy.customer_rows(), metadata={})
    return adapters


def features(warehouse: Warehouse, case, day, *, cut=None, pins=None):
    """Return one day's features."""
    asked = Asked((day,), cut=cut or day)
    return warehouse.compute_features(case, [asked], pins=pins or warehouse.pins(case))[0]


def test_features_match_a_value_worked_by_hand(filled, shop):
    """The spend of one customer over ten days, added up row by row."""
    rows = features(filled.warehouse, shop, DAY).to_pylist()
    chosen = rows[0]
    orders = toy.order_rows().to_pylist()
    window = [each for each in orders if timedelta(0) <= DAY - each["ordered_at"].date() < timedelta(days=10)]
    by_hand = sum(each["amount"] for each in window if each["customer"] == chosen["customer"])

    assert chosen["spend_10d"] == pytest.approx(by_hand)


def test_the_same_day_gives_the_same_bits(filled, shop):
    """Sums are added up in one order, so that building a day again changes nothing."""
    assert features(filled.warehouse, shop, DAY).equals(features(filled.warehouse, shop, DAY))


def test_the_order_in_which_rows_were_written_is_not_seen(filled, shop):
    """SQL is shown the same rows in the same order, whichever way a writer put them into a day."""
    orders = toy.order_rows()
    orders = orders.filter(pc.equal(orders.column("ordered_at").cast(pa.date32()), pa.scalar(DAY)))
    shown = []
    for order in ("ascending", "descending"):
        filled.lake.write_day("raw/shop/orders", DAY, orders.slice(0, 0), metadata={})
        filled.lake.write_day("raw/shop/orders", DAY, orders.sort_by([("order_id", order)]), metadata={})
        pins = filled.warehouse.pins(shop)
        shown.append(filled.warehouse.source_rows(shop, [DAY], cut=DAY, pins=pins)["orders"])

    assert orders.num_rows > 1
    assert shown[0].equals(shown[1])


def test_a_pinned_version_shows_what_was_there_then(filled, shop):
    """Later versions do not reach a pinned read."""
    pins = filled.warehouse.pins(shop)
    before = features(filled.warehouse, shop, DAY, pins=pins)
    filled.lake.write_day("raw/shop/orders", DAY, toy.order_rows().slice(0, 0), metadata={})

    assert features(filled.warehouse, shop, DAY, pins=pins).equals(before)
    assert not features(filled.warehouse, shop, DAY).equals(before)


def test_a_reference_table_is_seen_as_of_the_asked_day(filled, shop):
    """A snapshot of later is not known yet; before the first one, the first is all there is."""
    changed = pa.table({"customer": list(range(60)), "segment": ["new"] * 60})
    filled.lake.write_day("raw/shop/customers", DAY + timedelta(days=1), changed, metadata={})

    def segments(day):
        return set(features(filled.warehouse, shop, day).column("segment").to_pylist())

    assert segments(DAY) == {"a", "b"}
    assert segments(DAY + timedelta(days=1)) == {"new"}


def test_labels_look_ahead_by_the_horizon_and_no_further(filled, shop):
    """Three days after the snapshot's, the snapshot's own day left out."""
    found = filled.warehouse.labels(shop, [DAY], pins=filled.warehouse.pins(shop))
    ahead = {
        each["customer"]
        for each in toy.order_rows().to_pylist()
        if timedelta(0) < each["ordered_at"].date() - DAY <= timedelta(days=3)
    }

    assert set(found.column("customer").to_pylist()) == ahead


def test_an_entity_without_a_label_row_has_the_label_0(filled, shop):
    """Every snapshot row is labelled, in the order of day and entity."""
    filled.lake.write_day("features/shop", DAY, features(filled.warehouse, shop, DAY), metadata={})
    pins = filled.warehouse.pins(shop)
    rows = filled.warehouse.labelled(shop, [DAY], pins=pins)
    named = set(filled.warehouse.labels(shop, [DAY], pins=pins).column("customer").to_pylist())

    assert rows.column("orders_again").to_pylist() == [int(c in named) for c in rows.column("customer").to_pylist()]
    assert rows.column("customer").to_pylist() == sorted(rows.column("customer").to_pylist())


WRONG_SQL = [
    ("select d.day, 1 as customer from days d", "missing days_since_order, orders_7d, spend_10d, segment"),
    ("selct 1", "shop/features.sql does not run"),
    (toy.FEATURES_SQL.replace("as segment", "as segment, 1 as extra"), "unknown extra"),
    (toy.FEATURES_SQL.replace("sum(o.amount)", "'much'"), "another type than declared"),
]


@pytest.mark.parametrize(("sql", "message"), WRONG_SQL)
def test_sql_that_does_not_keep_to_the_spec_is_named(filled, make_shop, sql, message):
    """The author sees the file and the columns."""
    case = make_shop(features_sql=sql)

    with pytest.raises(SpecError, match=message):
        features(filled.warehouse, case, DAY)


def test_an_entity_twice_on_one_day_is_refused(filled, make_shop):
    """A join that multiplies rows would train on some customers more than on others."""
    doubled = toy.FEATURES_SQL.replace("group by d.day, o.customer", "group by d.day, o.customer, o.day")
    case = make_shop(features_sql=doubled)

    with pytest.raises(DataError, match=r"entities more than once a day, such as customer \d+ on 2026-02-10"):
        features(filled.warehouse, case, DAY)


def test_a_day_without_a_snapshot_names_the_backfill(filled, shop):
    """What to run is part of the message."""
    filled.lake.write_day("features/shop", DAY, features(filled.warehouse, shop, DAY), metadata={})

    with pytest.raises(DataError, match=r"lacks 1 of 2 snapshot days.*Backfill shop__feature_build"):
        filled.warehouse.snapshots(shop, [DAY, DAY + timedelta(days=1)], pins=filled.warehouse.pins(shop))


def test_a_source_that_was_never_ingested_is_named(adapters, shop):
    """Nothing is built from nothing."""
    with pytest.raises(LakeError, match=r"no table 'raw/shop/orders' yet. Run ingest"):
        features(adapters.warehouse, shop, DAY)
