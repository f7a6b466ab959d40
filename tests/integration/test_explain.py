"""The rows behind a feature, and what of the SQL is not portable."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
import toy
from perennial import catalog
from perennial.errors import DataError
from perennial.io import portability
from perennial.stages import explain, ingest

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=20)


def orders(*rows: tuple[int, int, float]) -> pa.Table:
    """Return orders as (customer, days before DAY, amount)."""
    times = [toy.datetime.combine(DAY - timedelta(days=ago), toy.datetime.min.time(), toy.UTC) for _, ago, _ in rows]
    return pa.table({
        "order_id": pa.array(range(100, 100 + len(rows)), pa.int64()),
        "customer": pa.array([customer for customer, _, _ in rows], pa.int64()),
        "amount": pa.array([amount for _, _, amount in rows]),
        "ordered_at": pa.array(times, pa.timestamp("us", "UTC")),
    })  # fmt: skip


ROWS = orders((1, 9, 5.0), (1, 2, 7.0), (1, 2, 0.0), (2, 0, 50.0), (1, 30, 9.0))


def explained(case: Any, adapters: Any, entity: str = "1") -> dict[str, explain.FeatureExplained]:
    """Return what is behind each feature of an entity."""
    ingest.run(case, DAY, adapters)
    return {each.feature: each for each in explain.run(case, entity, DAY, adapters).features}


def roles(found: explain.FeatureExplained) -> dict[int, str]:
    """Return the role of each order behind a feature."""
    return {row.keys["order_id"]: row.role for row in found.rows if row.source == "orders"}


def test_each_feature_names_its_rows_its_columns_and_the_reference_table(make_shop, adapters):
    """A sum, a count in a shorter window, the least age of two equal ones, and a looked-up segment."""
    found = explained(make_shop(orders=ROWS), adapters)

    assert (found["spend_10d"].value, roles(found["spend_10d"])) == (
        12.0,
        {100: "decides", 101: "decides"},
    )
    assert found["spend_10d"].columns == {"orders": ("amount",)}
    assert [row.columns for row in found["spend_10d"].rows] == [{"amount": 5.0}, {"amount": 7.0}]
    assert (found["orders_7d"].value, roles(found["orders_7d"])) == (2.0, {101: "decides", 102: "decides"})
    assert (found["days_since_order"].value, roles(found["days_since_order"])) == (
        2.0,
        {100: "counts", 101: "enough", 102: "enough"},
    )
    assert found["segment"].references == ("customers",)
    assert found["segment"].columns["customers"] == ("segment",)
    assert not any(each.other_entities for each in found.values())


def test_a_feature_of_other_entities_says_so(make_shop, adapters):
    """A share of all sales: the copies of an entity would change it, so each row is taken away by itself."""
    sql = toy.FEATURES_SQL.replace(
        "sum(o.amount) as spend_10d",
        "sum(o.amount) / (select sum(amount) from orders where orders.day <= d.day) as spend_10d",
    )
    found = explained(make_shop(orders=ROWS, features_sql=sql), adapters)

    assert found["spend_10d"].other_entities
    assert not found["orders_7d"].other_entities
    assert roles(found["orders_7d"]) == {101: "decides", 102: "decides"}


def test_an_entity_without_a_snapshot_is_an_error(make_shop, adapters):
    """The message says what was looked at."""
    with pytest.raises(DataError, match="customer 3 has no snapshot on 2026-01-21 in 'shop'"):
        explained(make_shop(orders=ROWS), adapters, "3")


def test_an_entity_of_another_type_is_an_error(make_shop, adapters):
    """The contract says that customers are numbers."""
    with pytest.raises(DataError, match="customer of 'shop' is an integer, got 'anna'"):
        explained(make_shop(orders=ROWS), adapters, "anna")


SQL = """select d.day, o.customer,
    {expression} as spend_10d
from days d
join orders o on o.day <= d.day"""
UNPORTABLE = [
    ("dayofweek(d.day)", "day-of-week"),
    ("isodow(o.day)", "day-of-week"),
    ("extract(isodow from o.day)", "day-of-week"),
    ("date_part('dow', o.day)", "day-of-week"),
    ("weekday(o.day)", "day-of-week"),
    ("round(o.amount, 1)", "round-digits"),
    ("quantile_cont(o.amount, 0.9)", "quantile"),
    ("quantile_disc(o.amount, 0.9)", "quantile"),
    ("percentile_cont(0.5) within group (order by o.amount)", "quantile"),
    (
        "count(*) over (order by o.ordered_at range between interval 7 days preceding and interval 1 second preceding)",
        "mixed-interval",
    ),
    ("list_aggregate(list(o.amount), 'sum')", "unknown-function"),
    ("min(d.day - o.day)", "date-minus-date"),
    ("least(d.day, o.day + 6) - greatest(d.day - 6, o.day) + 1", "date-minus-date"),
    ("d.day - date '2026-01-01'", "date-minus-date"),
]


@pytest.mark.parametrize(("expression", "name"), UNPORTABLE)
def test_what_spark_reads_otherwise_is_a_named_warning_with_its_line(make_shop, expression, name):
    """Each construct that was tried against Spark and was wrong or failed."""
    found = portability.findings(make_shop(features_sql=SQL.format(expression=expression)))
    here = [each for each in found if each.file == "features.sql"]

    assert [(each.line, each.name) for each in here if each.name == name] == [(2, name)]
    assert all(each.instead for each in here)


def test_an_asof_join_is_a_warning(make_shop):
    """Spark has none."""
    sql = "select d.day, o.customer, 1 as spend_10d\nfrom days d\nasof join orders o on d.day >= o.day"

    assert [(each.name, each.line) for each in portability.findings(make_shop(features_sql=sql))] == [("asof-join", 3)]


PORTABLE = [
    "round(o.amount)",
    "count(*) over (order by o.ordered_at range between interval 7 days preceding and interval 1 day preceding)",
    "count(*) filter (where o.amount > 1)",
    "arg_max(o.amount, o.ordered_at)",
    "count(distinct o.order_id)",
    "strftime(o.day, '%Y')",
    "o.order_id // 2 + o.order_id % 2 + o.amount / 2",
    "date_diff('day', o.day, d.day)",
    "date_diff('day', greatest(d.day - 6, o.day), least(d.day, o.day + 6)) // 7",
    "d.day - 7",
    "max(o.amount) filter (o.ordered_at > (d.day + 1)::timestamp - interval 6 hour)",
    "date_diff('day', date '1970-01-05', o.day) % 7",
    "lag(o.amount) over (partition by o.customer order by o.ordered_at)",
]


@pytest.mark.parametrize("expression", PORTABLE)
def test_what_sqlglot_carries_unchanged_is_no_warning(make_shop, expression):
    """Each construct that gave the same values on both, and the ways to write it that the warnings name."""
    assert portability.findings(make_shop(features_sql=SQL.format(expression=expression))) == ()


def test_sql_that_cannot_be_read_is_a_warning_and_no_error(make_shop):
    """DuckDB may know more than sqlglot does."""
    (found,) = portability.findings(make_shop(features_sql="select from where (("))

    assert (found.name, found.file) == ("not-read", "features.sql")


def test_the_shipped_use_cases_carry_to_spark_without_a_warning():
    """What a team copies from is written the portable way; whoever needs another way states it here with its reason."""
    cases = catalog.use_cases()

    assert len(cases) >= 4
    assert [str(each) for case in cases for each in portability.findings(case)] == []
