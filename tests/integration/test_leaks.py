"""The leak hunter names the feature, the source and the column of every planted leak, and finds none where none is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import toy
from perennial.errors import DataError, LeakError
from perennial.stages import ingest, leaks

pytestmark = pytest.mark.integration
LAST = toy.FIRST + timedelta(days=30)
FIRST = toy.FIRST + timedelta(days=12)


def ingested(case: Any, adapters: Any, *, days: int = 20) -> None:
    """Publish the days that end with LAST, in two passes; of the customers the first day's snapshot stays."""
    first = LAST - timedelta(days=days - 1)
    ingest.run(case, first, adapters)
    for source in ("orders", "customers"):
        rest = [first + timedelta(days=offset) for offset in range(days)]
        ingest.run_days(case, source, rest, adapters, run="test")


def named(report: leaks.LeakReport) -> set[tuple[str, str, str | None, tuple[str, ...]]]:
    """Return kind, feature, source and columns of each leak."""
    return {(leak.kind, leak.feature, leak.source, leak.columns) for leak in report.leaks}


def with_column(name: str, kind: str, source: str = "orders") -> dict[str, Any]:
    """Return the shop's spec with one more column in a source."""
    declared = toy.spec()
    for each in declared["sources"]:
        if each["name"] == source:
            each["columns"] = each["columns"] | {name: kind}
    return declared


def test_the_shop_has_no_leak_on_any_day(shop, adapters):
    """All days, all kinds; the report says what was looked at."""
    ingested(shop, adapters)
    report = leaks.run(shop, adapters, days=None)

    assert report.leaks == ()
    assert len(report.days) >= 20
    assert report.matured_days >= 17
    assert any("customers: days before its first snapshot" in note for note in report.notes)
    report.raise_if_any()


def test_future_rows_in_a_window_name_the_feature_and_the_column(make_shop, adapters):
    """A window of seven days on both sides of the snapshot."""
    sql = toy.FEATURES_SQL.replace(
        "sum(o.amount) as spend_10d",
        "(select sum(f.amount) from orders f where f.customer = o.customer and abs(f.day - d.day) < 7) as spend_10d",
    )
    case = make_shop(features_sql=sql)
    ingested(case, adapters)
    report = leaks.run(case, adapters, days=5, seed=1)

    assert named(report) == {("future rows", "spend_10d", "orders", ("amount",))}
    with pytest.raises(LeakError, match=r"shop has 1 leaks:\n  spend_10d on .*: future rows, from orders \(amount\)"):
        report.raise_if_any()


def test_an_aggregate_over_the_whole_table_is_told_from_a_window(make_shop, adapters):
    """Orders of other customers, after the day, change it."""
    sql = toy.FEATURES_SQL.replace(
        "sum(o.amount) as spend_10d", "sum(o.amount) / (select avg(amount) from orders) as spend_10d"
    )
    case = make_shop(features_sql=sql)
    ingested(case, adapters)

    assert named(leaks.run(case, adapters, days=4)) == {("whole table", "spend_10d", "orders", ("amount",))}


def test_an_attribute_is_hunted_like_a_feature(make_shop, adapters):
    """Who orders within the coming days is a group that no slice may be made of."""
    soon = "cast(exists(select 1 from orders f where f.customer = o.customer and f.day > d.day) as text)"
    sql = toy.FEATURES_SQL.replace("as segment", f"as segment, {soon} as returning")
    case = make_shop(declared=toy.spec(features__attributes=["returning"]), features_sql=sql)
    ingested(case, adapters)
    report = leaks.run(case, adapters, days=4)

    assert {(leak.kind, leak.feature, leak.source) for leak in report.leaks} == {("future rows", "returning", "orders")}
    assert "returning" in report.features


LABELS = ["max(o.orders_soon)", "ln(1 + max(o.orders_soon)) * 3", "-exp(max(o.orders_soon))"]


@pytest.mark.parametrize("formula", LABELS)
def test_the_label_inside_a_feature_is_found_through_any_monotone_function(make_shop, adapters, formula):
    """A column of the source knows who orders again: no later row is needed for it."""
    case = knowing(make_shop, formula=formula)
    ingested(case, adapters, days=8)
    report = leaks.run(case, adapters, days=None)

    assert named(report) == {("label inside", "spend_10d", "orders", ("orders_soon",))}


def test_the_label_inside_an_attribute_is_found_and_can_be_excused(make_shop, adapters):
    """A slice of exactly those who convert says nothing of them; a group may be honest all the same."""
    case = knowing(make_shop, formula="1.0", attribute="cast(max(o.orders_soon) as text)")
    ingested(case, adapters, days=8)
    assert ("label inside", "group_of", "orders", ("orders_soon",)) in named(leaks.run(case, adapters, days=None))

    excused = case.features.model_copy(update={"strong": {"group_of": "known from a plan"}})
    report = leaks.run(case.model_copy(update={"features": excused}), adapters, days=None)
    assert ([each.feature for each in report.excused], report.leaks) == (["group_of"], ())


def knowing(make_shop: Any, *, formula: str, attribute: str | None = None) -> Any:
    """Return the shop whose orders know who orders again; `spend_10d` is the formula, `group_of` the attribute."""
    rows = toy.order_rows()
    days = rows.column("ordered_at").cast(pa.date32()).to_pylist()
    who = rows.column("customer").to_pylist()
    bought = set(zip(who, days, strict=True))
    soon = [
        int(any((customer, day + timedelta(days=ahead)) in bought for ahead in (1, 2, 3)))
        for customer, day in zip(who, days, strict=True)
    ]
    # The label of a snapshot is that of its own day: the newest order knows only part of it, so all orders know all.
    sql = """
    select d.day, o.customer, min(d.day - o.day) as days_since_order, count(*) as orders_7d, FORMULA as spend_10d,
        any_value(c.segment) as segment ATTRIBUTE
    from days d join orders o on o.day = d.day left join customers c using (customer)
    group by d.day, o.customer
    """
    declared, more = with_column("orders_soon", "integer"), "" if attribute is None else f", {attribute} as group_of"
    if attribute is not None:
        declared["features"]["attributes"] = ["group_of"]
    return make_shop(
        declared=declared,
        orders=rows.append_column("orders_soon", pa.array(soon, pa.int64())),
        features_sql=sql.replace("FORMULA", formula).replace("ATTRIBUTE", more),
    )


def test_a_status_that_is_corrected_later_is_named(make_shop, adapters):
    """The day was published with the order open; a later ingest says that it was returned."""
    rows = toy.order_rows()
    open_ = rows.append_column("status", pa.array(["open"] * rows.num_rows))
    returned = rows.append_column("status", pa.array(["open" if at % 3 else "returned" for at in range(rows.num_rows)]))
    sql = toy.FEATURES_SQL.replace("sum(o.amount) as", "sum(o.amount) filter (o.status = 'open') as")
    case = make_shop(declared=with_column("status", "string"), orders=open_, features_sql=sql)
    ingested(case, adapters, days=6)
    assert leaks.run(case, adapters, days=3).leaks == ()

    pq.write_table(returned, case.source("orders").files["orders"])
    ingested(case, adapters, days=3)
    report = leaks.run(case, adapters, days=None)
    assert named(report) == {("corrected later", "spend_10d", "orders", ("status",))}
    assert report.corrected_days >= 2


def test_late_rows_are_no_correction(make_shop, adapters):
    """An order that arrives a day late changes its day; no value was corrected."""
    rows = toy.order_rows()
    late = pc.and_(pc.equal(rows.column("ordered_at").cast(pa.date32()), LAST), pc.equal(rows.column("customer"), 1))
    case = make_shop(orders=rows.filter(pc.invert(late)))
    ingested(case, adapters, days=5)
    pq.write_table(rows, case.source("orders").files["orders"])
    ingested(case, adapters, days=2)

    assert leaks.run(case, adapters, days=None).leaks == ()


def test_a_reference_table_without_validity_names_the_column_to_declare(make_shop, adapters):
    """Half of the customers get their segment only in the last days."""
    declared = with_column("assigned_on", "date", source="customers")
    case = make_shop(declared=declared)
    since = [FIRST if at % 2 else LAST - timedelta(days=1) for at in range(60)]
    rows = toy.customer_rows().append_column("assigned_on", pa.array(since))
    pq.write_table(rows, case.source("customers").files["customers"])
    ingested(case, adapters)
    assert named(leaks.run(case, adapters, days=6)) == {
        ("reference without validity", "segment", "customers", ("assigned_on",))
    }

    declared["sources"][1]["valid_from"] = "assigned_on"
    protected = make_shop(declared=declared)
    pq.write_table(rows, protected.source("customers").files["customers"])
    assert leaks.run(protected, adapters, days=6).leaks == ()


def test_days_before_the_first_snapshot_of_a_changing_table_are_named(shop, adapters):
    """The table was first seen on the last day but one, and was another one the day after."""
    ingested(shop, adapters, days=2)
    changed = toy.customer_rows().set_column(1, "segment", pa.array(["new"] * 60))
    pq.write_table(changed, shop.source("customers").files["customers"])
    ingest.run(shop, LAST, adapters)
    report = leaks.run(shop, adapters, days=None)

    assert named(report) == {("reference without validity", "segment", "customers", ("segment",))}
    assert min(leak.day for leak in report.leaks) < LAST - timedelta(days=1)


def test_the_same_seed_draws_the_same_days(shop, adapters):
    """A hunt can be repeated."""
    ingested(shop, adapters, days=2)

    assert leaks.run(shop, adapters, days=3, seed=5).days == leaks.run(shop, adapters, days=3, seed=5).days


def test_without_days_there_is_nothing_to_hunt_on(shop, adapters, tmp_path: Path):
    """The message names the command."""
    with pytest.raises(DataError, match="hold 0 days"):
        leaks.run(shop, adapters)
