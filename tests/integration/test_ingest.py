"""Ingest and features on real files, a real lake and real Great Expectations, with everything that can be wrong."""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import toy
from perennial.errors import DataError, LakeError, LeakError, SpecError
from perennial.io.rows import PLACE, PUBLISHED, QUARANTINE, STRAYS
from perennial.records import Window
from perennial.stages import features, ingest, quarantine, validate

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=40)
SPAWN = multiprocessing.get_context("spawn")


def orders_of(rows: pa.Table, day) -> list[int]:
    """Return the positions of a day's orders."""
    return [at for at, each in enumerate(rows.column("ordered_at").cast(pa.date32()).to_pylist()) if each == day]


def changed(column: str, values: dict[int, object]) -> pa.Table:
    """Return the shop's orders with some values of a column replaced, by position."""
    rows = toy.order_rows()
    position = rows.schema.get_field_index(column)
    listed = rows.column(column).to_pylist()
    for at, value in values.items():
        listed[at] = value
    return rows.set_column(position, column, pa.array(listed, rows.schema.field(column).type))


def published(adapters, table: str, day=DAY) -> pa.Table:
    """Return a table's rows of one day, of a source those that are published."""
    rows = adapters.lake.read(table, Window.of_day(day))
    return rows if PLACE not in rows.column_names else rows.filter(pc.equal(rows.column(PLACE), PUBLISHED))


def quarantined(adapters, day=DAY) -> pa.Table:
    """Return the refused orders of one day."""
    rows = adapters.lake.read("raw/shop/orders", Window.of_day(day))
    return rows.filter(pc.equal(rows.column(PLACE), QUARANTINE))


def test_a_day_and_the_days_its_features_need_are_published(shop, adapters):
    """Any day can be built by itself: the lookback is read where it is missing."""
    records = ingest.run(shop, DAY, adapters)
    snapshot = features.run(shop, DAY, adapters)

    assert [record.source for record in records] == ["orders", "customers"]
    lookback = Window(DAY - timedelta(days=11), DAY + timedelta(days=1))
    assert adapters.lake.missing_days("raw/shop/orders", list(lookback.days())) == ()
    assert snapshot.rows == published(adapters, "features/shop").num_rows > 0
    assert snapshot.leak_checked_day == DAY - timedelta(days=1)


def test_a_day_ingested_twice_changes_nothing(shop, adapters):
    """The second run finds what it would write."""
    ingest.run(shop, DAY, adapters)
    features.run(shop, DAY, adapters)

    assert not any(record.changed for record in ingest.run(shop, DAY, adapters))
    assert not features.run(shop, DAY, adapters).changed


def test_a_corrected_source_makes_a_new_version(shop, adapters):
    """Changed content is published over the old."""
    ingest.run(shop, DAY, adapters)
    at = orders_of(toy.order_rows(), DAY)[0]
    pq.write_table(changed("amount", {at: 999.0}), shop.source("orders").files["orders"])

    assert ingest.run(shop, DAY, adapters)[0].changed


BAD_VALUES = [
    ("amount", -5.0, "amount is not within 0 and 1,000"),
    ("amount", float("inf"), "amount is not within 0 and 1,000"),
    ("amount", None, "amount is missing"),
    ("customer", None, "customer is missing"),
]


@pytest.mark.parametrize(("column", "value", "reason"), BAD_VALUES)
def test_a_bad_row_is_quarantined_with_its_reason_and_the_day_goes_on(make_shop, adapters, column, value, reason):
    """The row is in the quarantine and not in the table; no other row is missing."""
    positions = orders_of(toy.order_rows(), DAY)
    case = make_shop(orders=changed(column, {positions[0]: value}))

    record = ingest.run(case, DAY, adapters)[0]
    bad = quarantined(adapters).to_pylist()

    assert (record.rows, record.quarantined) == (len(positions) - 1, 1)
    assert [(row["order_id"], json.loads(row["reasons"])) for row in bad] == [(positions[0], [reason])]
    assert positions[0] not in published(adapters, "raw/shop/orders").column("order_id").to_pylist()


def test_all_reasons_of_a_row_are_kept(make_shop, adapters):
    """A row that is wrong twice says so."""
    positions = orders_of(toy.order_rows(), DAY)
    rows = changed("amount", {positions[0]: -1.0})
    rows = rows.set_column(1, "customer", changed("customer", {positions[0]: None}).column("customer"))
    ingest.run(make_shop(orders=rows), DAY, adapters)

    reasons = quarantined(adapters).column("reasons").to_pylist()
    assert [json.loads(each) for each in reasons] == [["customer is missing", "amount is not within 0 and 1,000"]]


def test_duplicate_keys_are_quarantined_all_of_them(make_shop, adapters):
    """Which of two rows with one key is right is not ours to guess."""
    first, second = orders_of(toy.order_rows(), DAY)[:2]
    ingest.run(make_shop(orders=changed("order_id", {second: first})), DAY, adapters)

    assert quarantined(adapters).column("order_id").to_pylist() == [first, first]


def test_a_row_that_became_right_leaves_the_quarantine(make_shop, adapters):
    """The corrected day has it in the table, and the quarantine no longer."""
    positions = orders_of(toy.order_rows(), DAY)
    ingest.run(make_shop(orders=changed("amount", {positions[0]: -1.0})), DAY, adapters)
    ingest.run(make_shop(), DAY, adapters)

    assert quarantined(adapters).num_rows == 0
    assert published(adapters, "raw/shop/orders").num_rows == len(positions)


def test_a_record_that_cannot_be_read_is_kept_as_it_stands_in_its_file(make_shop, adapters):
    """A line of a whole CSV file whose time is no time: its text is in quarantine once, however often it is read."""
    declared = toy.spec()
    declared["sources"][0]["files"] = {"orders": "orders.csv"}
    case = make_shop(declared=declared)
    path = Path(case.source("orders").files["orders"])
    pacsv.write_csv(toy.order_rows(), path)
    path.write_text(path.read_text() + '99999,7,12.5,"the day after tomorrow"\n')
    for _ in range(2):
        ingest.run(case, DAY, adapters)

    (record,) = quarantined(adapters, STRAYS).to_pylist()
    assert "the day after tomorrow" in record["payload"]
    assert "ordered_at" in record["reasons"]
    assert published(adapters, "raw/shop/orders").num_rows == len(orders_of(toy.order_rows(), DAY))


def test_a_lake_of_before_rows_had_places_is_read_and_ingested_again(make_shop, adapters):
    """Its rows are published, none is in quarantine, and the day ingested again has its places."""
    positions = orders_of(toy.order_rows(), DAY)
    old = toy.order_rows().take(pa.array(positions))
    adapters.lake.write_day("raw/shop/orders", DAY, old, metadata={})
    case = make_shop(orders=changed("amount", {positions[0]: -1.0}))
    assert quarantine.listed(case, adapters) == ()

    ingest.run(case, DAY, adapters)

    assert [record.rows for record in quarantine.listed(case, adapters)] == [1]
    assert published(adapters, "raw/shop/orders").num_rows == len(positions) - 1


def test_a_row_outside_the_day_of_its_file_is_kept_when_the_day_is_only_filled_in(make_shop, adapters):
    """A daily drop's row of another day lies in its file's day, whichever run reads that file."""
    before = DAY - timedelta(days=1)
    declared = toy.spec()
    declared["sources"][0] |= {"files": {"orders": "orders-{day}.parquet"}, "quarantine_limit": 1.0}
    case = make_shop(declared=declared)
    rows = toy.order_rows()
    for offset in range(-12, 1):
        day = DAY + timedelta(days=offset)
        drop = orders_of(rows, day) + (orders_of(rows, DAY - timedelta(days=20))[:1] if day == before else [])
        path = case.source("orders").files["orders"].replace("{day}", day.isoformat())
        pq.write_table(rows.take(pa.array(drop)), path)

    ingest.run(case, DAY, adapters)

    assert quarantined(adapters, before).column("order_id").to_pylist() == orders_of(rows, DAY - timedelta(days=20))[:1]


def test_rows_without_a_plausible_time_are_kept_where_no_day_would_show_them(make_shop, adapters):
    """A time of 1970 and a missing one: quarantined once, however many days are run."""
    times = {0: datetime(1970, 1, 1, tzinfo=UTC), 1: None}
    case = make_shop(orders=changed("ordered_at", times))
    for day in (DAY, DAY + timedelta(days=1)):
        ingest.run(case, day, adapters)

    strays = quarantined(adapters, STRAYS)
    assert sorted(strays.column("order_id").to_pylist()) == [0, 1]


def test_a_time_in_the_future_waits_for_its_day(make_shop, adapters):
    """A snapshot of today does not know a row of next year."""
    at = orders_of(toy.order_rows(), DAY)[0]
    case = make_shop(orders=changed("ordered_at", {at: datetime(2027, 1, 1, tzinfo=UTC)}))
    ingest.run(case, DAY, adapters)

    assert at not in published(adapters, "raw/shop/orders").column("order_id").to_pylist()


def test_an_all_null_column_stops_the_day_and_the_last_good_one_stays(shop, adapters):
    """More refused rows than the limit: nothing is published."""
    ingest.run(shop, DAY, adapters)
    before = published(adapters, "raw/shop/orders")
    nothing = toy.order_rows().set_column(2, "amount", pa.nulls(toy.order_rows().num_rows, pa.float64()))
    pq.write_table(nothing, shop.source("orders").files["orders"])

    with pytest.raises(DataError, match=r"rows refused on 2026-02-10, a share of 1.000 with a limit of 0.2: amount is"):
        ingest.run(shop, DAY, adapters)
    assert published(adapters, "raw/shop/orders").equals(before)


def test_a_critical_expectation_of_the_table_stops_the_day(make_shop, adapters):
    """A day delivered ten times over is not published."""
    suite = json.loads(json.dumps(toy.SUITE))
    suite["orders"][-1]["kwargs"]["max_value"] = 2

    with pytest.raises(DataError, match=r"critical expectation on 2026-\d\d-\d\d: more than 500 orders a day: obs"):
        ingest.run(make_shop(suite_json=json.dumps(suite)), DAY, adapters)
    assert adapters.lake.version("raw/shop/orders") is None


def test_an_expectation_that_does_not_exist_names_the_suite(make_shop, adapters):
    """A typing error in suite.json is the author's to mend."""
    suite = {"orders": [{"type": "expect_colum_to_exist", "kwargs": {"column": "amount"}}], "customers": []}

    with pytest.raises(SpecError, match="suite 'orders' has an expectation that cannot be used"):
        ingest.run(make_shop(suite_json=json.dumps(suite)), DAY, adapters)


def test_an_expectation_that_cannot_be_evaluated_is_an_error_not_bad_data(make_shop, adapters):
    """No row is quarantined because of a wrong column name."""
    suite = {
        "orders": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amuont"}}],
        "customers": [],
    }

    with pytest.raises(DataError, match=r"suite.json: .*amuont.* could not be evaluated"):
        ingest.run(make_shop(suite_json=json.dumps(suite)), DAY, adapters)


def test_validate_tells_what_ingest_would_do_and_publishes_nothing(make_shop, adapters):
    """The page is readable without a network and escapes what it shows."""
    positions = orders_of(toy.order_rows(), DAY)
    found = validate.run(make_shop(orders=changed("amount", {positions[0]: -1.0})), DAY, adapters)[0]
    page = (adapters.settings.pages_root / found.page).read_text()

    assert (found.refused, found.reasons) == (1, {"amount is not within 0 and 1,000": 1})
    assert adapters.lake.version("raw/shop/orders") is None
    assert "expect" in page.lower()
    assert 'href="http' not in page


LEAKS = [
    ("o.day <= d.day and o.day > d.day - 10", "o.day > d.day - 10", "gives other entities|looks past its day"),
    ("sum(o.amount) as spend_10d", "(select sum(amount) from orders) as spend_10d", "later rows change spend_10d"),
]


@pytest.mark.parametrize(("good", "bad", "message"), LEAKS)
def test_features_that_know_the_future_fail_and_name_their_columns(make_shop, adapters, good, bad, message):
    """The day before is built with and without the later rows."""
    case = make_shop(features_sql=toy.FEATURES_SQL.replace(good, bad))
    ingest.run(case, DAY, adapters)

    with pytest.raises(LeakError, match=message):
        features.run(case, DAY, adapters)
    assert adapters.lake.version("features/shop") is None


def test_an_attribute_that_knows_the_future_fails_as_a_feature_does(make_shop, adapters):
    """No model sees it, but slices and groups are made of it."""
    sql = toy.FEATURES_SQL.replace("as segment", "as segment, (select sum(amount) from orders) as turnover")
    case = make_shop(declared=toy.spec(features__attributes=["turnover"]), features_sql=sql)
    ingest.run(case, DAY, adapters)

    with pytest.raises(LeakError, match="later rows change turnover"):
        features.run(case, DAY, adapters)


def test_a_reference_table_that_changes_is_no_leak(shop, adapters):
    """The day before is built from the snapshot it knew."""
    ingest.run(shop, DAY - timedelta(days=1), adapters)
    new = toy.customer_rows().set_column(1, "segment", pa.array(["new"] * 60))
    pq.write_table(new, shop.source("customers").files["customers"])
    ingest.run(shop, DAY, adapters)

    assert features.run(shop, DAY, adapters).changed
    assert set(published(adapters, "features/shop").column("segment").to_pylist()) == {"new"}


def test_a_day_that_was_not_ingested_cannot_be_built(shop, adapters):
    """The message names the command."""
    with pytest.raises(DataError, match="orders of 'shop' was not ingested for 2026-02-10"):
        features.run(shop, DAY, adapters)


def _ingest(arguments: tuple[Path, str]) -> bool:
    home, run = arguments
    case = toy.read_folder(home.parent / "use_cases" / "shop")
    return ingest.run(case, DAY, toy.adapters(home), run=run)[0].changed


def test_a_day_ingested_twice_at_the_same_time_is_there_once(shop, adapters):
    """Two processes, one day: each row once, and at most one of them made a version."""
    with SPAWN.Pool(2) as pool:
        pool.map(_ingest, [(adapters.settings.home, "one"), (adapters.settings.home, "two")])

    assert published(adapters, "raw/shop/orders").num_rows == len(orders_of(toy.order_rows(), DAY))


def _ingest_with_little_room(home: Path, messages: multiprocessing.Queue) -> None:
    """Run ingest where no file may grow past a few bytes, as on a disk that is full."""
    import great_expectations  # noqa: F401  its own files must not be what fails

    case, adapters = toy.read_folder(home.parent / "use_cases" / "shop"), toy.adapters(home)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    rows = toy.order_rows().drop_columns(["ordered_at"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    try:
        adapters.lake.write_day("raw/shop/orders", DAY, rows, metadata={"case": case.name})
    except LakeError as error:
        messages.put(str(error))


def test_a_full_disk_leaves_the_last_good_partition_and_the_next_run_goes_through(shop, adapters):
    """The kernel refuses the write in the middle; nothing half-written is ever read."""
    ingest.run(shop, DAY, adapters)
    before = published(adapters, "raw/shop/orders")
    messages = SPAWN.Queue()
    writer = SPAWN.Process(target=_ingest_with_little_room, args=(adapters.settings.home, messages))
    writer.start()
    message = messages.get(timeout=120)
    writer.join()

    assert "2026-02-10 of table 'raw/shop/orders' was not written" in message
    assert published(adapters, "raw/shop/orders").equals(before)
    assert ingest.run(shop, DAY, adapters)[0].rows == before.num_rows
