"""What a column means that is new, missing or of another type; times of a zone; personal data that is never written."""

from __future__ import annotations

import hashlib
import hmac
import json
import pathlib
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from perennial.errors import DataError, SetupError, SpecError
from perennial.io.sources import Sources

DAY = date(2026, 2, 10)
NOON = datetime(2026, 2, 10, 12, tzinfo=UTC)
ORDERS = {
    "order_id": pa.array([1, 2]),
    "customer": pa.array([7, 8]),
    "amount": pa.array([1.0, 2.5]),
    "ordered_at": pa.array([NOON, NOON], pa.timestamp("us", "UTC")),
}
KEY = "a long random text"
HASHED = {
    "columns": {**toy.SPEC["sources"][0]["columns"], "customer": "string"}, "personal": {"customer": "hash"},
}  # fmt: skip


@pytest.fixture
def delivered(make_shop):
    """Return what a day of orders delivers: the file's columns and the source's fields are given."""

    def deliver(table: dict[str, pa.Array], /, *, key: str | None = KEY, **fields: object):
        declared = toy.spec()
        declared["sources"][0] |= fields
        case = make_shop(declared=declared)
        pq.write_table(pa.table(table), case.source("orders").files["orders"])
        return next(Sources(personal_key=key).read_days(case, case.source("orders"), [DAY]))

    return deliver


def changed(**columns: pa.Array | None) -> dict[str, pa.Array]:
    """Return the orders with columns replaced or, by None, left out."""
    return {name: values for name, values in {**ORDERS, **columns}.items() if values is not None}


def test_a_new_column_is_refused_where_that_is_declared(delivered):
    """The next step is in the message."""
    with pytest.raises(DataError, match=r"new column 'tip', which its contract refuses\. Declare it"):
        delivered(changed(tip=pa.array([1, 2])), schema_changes={"new": "refuse"})


def test_a_new_column_is_kept_with_its_own_type_where_that_is_declared(delivered):
    """And said to be new."""
    delivery = delivered(changed(tip=pa.array([1, 2], pa.int32())), schema_changes={"new": "add"})

    assert delivery.rows.schema.field("tip").type == pa.int32()
    assert delivery.rows.column_names[-1] == "tip"
    assert delivery.notices == ("new column 'tip' (INTEGER) is kept",)


def test_a_new_column_may_not_take_a_name_of_the_lake(delivered):
    """It would be taken for the lake's own."""
    with pytest.raises(DataError, match=r"new column 'payload', a name that the lake uses itself"):
        delivered(changed(payload=pa.array([1, 2])), schema_changes={"new": "add"})


def test_a_new_column_is_left_out_by_default(delivered):
    """A wider source breaks nothing, and nobody is told."""
    delivery = delivered(changed(tip=pa.array([1, 2])))

    assert delivery.rows.column_names == list(ORDERS)
    assert delivery.notices == ()


def test_a_missing_column_is_refused_by_default(delivered):
    """Features would silently be computed from nothing."""
    with pytest.raises(DataError, match=r"lost its column 'amount'"):
        delivered(changed(amount=None))


@pytest.mark.parametrize(
    ("change", "told"), [("add", ("column 'amount' is missing and reads as null",)), ("ignore", ())]
)
def test_a_missing_column_reads_as_null_where_that_is_declared(delivered, change, told):
    """Of the declared type; `add` says so, `ignore` does not."""
    delivery = delivered(changed(amount=None), schema_changes={"missing": change})

    assert delivery.rows.column("amount").to_pylist() == [None, None]
    assert delivery.rows.schema.field("amount").type == pa.float64()
    assert delivery.notices == told


@pytest.mark.parametrize("name", ["order_id", "ordered_at"])
@pytest.mark.parametrize("change", ["missing", "retyped"])
def test_a_key_and_the_time_are_never_given_up(delivered, change, name):
    """Without them a row is nobody's, or no day's."""
    columns = changed(**{name: None if change == "missing" else pa.array([True, False])})

    with pytest.raises(DataError, match=name):
        delivered(columns, schema_changes={change: "ignore"})


def test_a_retyped_column_is_refused_by_default(delivered):
    """Half a day read would be worse than none."""
    with pytest.raises(DataError, match=r"Column 'amount' of source 'orders' is VARCHAR, declared as number"):
        delivered(changed(amount=pa.array(["1.5", "much"])))


def test_of_a_retyped_column_what_loses_nothing_is_kept_where_that_is_declared(delivered):
    """The other values take their rows along, whole and as text."""
    columns = changed(amount=pa.array(["1.5", "much"]), customer=pa.array([7.0, 7.5]))

    delivery = delivered(columns, schema_changes={"retyped": "add"})

    assert delivery.rows.select(["customer", "amount"]).to_pylist() == [{"customer": 7, "amount": 1.5}]
    (rejected,) = delivery.rejected.to_pylist()
    assert rejected["reason"] == "customer is no integer; amount is no number"
    assert json.loads(rejected["payload"])["amount"] == "much"
    assert delivery.notices == ("column 'amount' is VARCHAR, declared as number; values that lose nothing are kept",)


@pytest.mark.parametrize("values", [pa.array(["1.5", "much"]), pa.array([True, False])])
def test_a_retyped_column_becomes_null_where_it_is_ignored(delivered, values):
    """All of it: a value that happens to fit says nothing any more."""
    delivery = delivered(changed(amount=values), schema_changes={"retyped": "ignore"})

    assert delivery.rows.column("amount").to_pylist() == [None, None]
    assert delivery.rejected.num_rows == 0


def test_broken_whole_numbers_become_null_where_a_retyped_column_is_ignored(delivered):
    """A float column of whole numbers is no change, one of halves is."""
    delivery = delivered(changed(customer=pa.array([7.0, 7.5])), schema_changes={"retyped": "ignore"})

    assert delivery.rows.column("customer").to_pylist() == [None, None]


LOCAL = [
    ("2026-02-10 00:59:59", None),
    ("2026-02-10 01:00:00", datetime(2026, 2, 10, 0, 0, tzinfo=UTC)),
    ("2026-02-11 00:59:59", datetime(2026, 2, 10, 23, 59, 59, tzinfo=UTC)),
    ("2026-02-11 01:00:00", None),
]


@pytest.mark.parametrize(("clock", "expected"), LOCAL)
def test_a_time_without_a_zone_is_read_in_the_zone_of_the_contract(delivered, clock, expected):
    """The day is UTC's, also where the clocks of the source show another."""
    naive = pa.array([datetime.fromisoformat(clock), datetime(2026, 2, 12)], pa.timestamp("us"))  # noqa: DTZ001

    rows = delivered(changed(ordered_at=naive), time_zone="Europe/Berlin").rows

    assert rows.column("ordered_at").to_pylist() == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("2026-03-29 02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        ("2026-10-25 02:30:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_local_times_that_do_not_exist_or_exist_twice_are_defined(make_shop, clock, expected, as_text):
    """One that was skipped is read with the offset before the change, one that came twice with the one after it."""
    declared = toy.spec()
    suffix = "csv" if as_text else "parquet"
    declared["sources"][0] |= {"time_zone": "Europe/Berlin", "files": {"orders": f"local.{suffix}"}}
    case = make_shop(declared=declared)
    path = case.source("orders").files["orders"]
    if as_text:
        with pathlib.Path(path).open("w", encoding="utf-8") as file:
            file.write(f"order_id,customer,amount,ordered_at\n1,7,1,{clock}\n")
    else:
        times = pa.array([datetime.fromisoformat(clock)], pa.timestamp("us"))
        pq.write_table(pa.table({name: v.slice(0, 1) for name, v in ORDERS.items()} | {"ordered_at": times}), path)

    rows = Sources().read_day(case, case.source("orders"), expected.date())

    assert rows.column("ordered_at").to_pylist() == [expected]


def test_a_hashed_column_is_a_keyed_hash_that_still_joins(delivered):
    """A number gives the same hash as an integer, as a float and as text."""
    expected = hmac.digest(KEY.encode(), b"7", hashlib.sha256).hex()

    for values in (pa.array([7, None]), pa.array([7.0, None]), pa.array(["7", None])):
        assert delivered(changed(customer=values), **HASHED).rows.column("customer").to_pylist() == [expected, None]


def test_without_a_key_nothing_is_hashed_and_nothing_is_read(delivered):
    """A hash without a key could be guessed from a list of all numbers."""
    with pytest.raises(SetupError, match=r"hashes customer, and there is no key .* PERENNIAL_PERSONAL_KEY"):
        delivered(dict(ORDERS), key=None, **HASHED)


def test_a_dropped_column_is_nowhere(delivered):
    """Not among the rows, and not as a new column either."""
    delivery = delivered(changed(email=pa.array(["a@b", "c@d"])), personal={"email": "drop"},
                         schema_changes={"new": "refuse"})  # fmt: skip

    assert delivery.rows.column_names == list(ORDERS)


SECRETS = ("ada@example.org", "4711")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_personal_data_are_in_no_rejected_record_and_no_error(make_shop, form):
    """A record that was refused is kept by its other columns; a line that cannot be taken apart is withheld."""
    declared = toy.spec()
    declared["sources"][0] |= {
        "files": {"orders": f"orders-{{day}}.{form}"}, "personal": {"email": "drop", "customer": "hash"},
        "columns": {**toy.SPEC["sources"][0]["columns"], "customer": "string"}, "schema_changes": {"retyped": "add"},
    }  # fmt: skip
    case = make_shop(declared=declared)
    source = case.source("orders")
    path = source.files["orders"].format(day=DAY)
    row = {"order_id": 1, "customer": SECRETS[1], "email": SECRETS[0], "amount": "much", "ordered_at": f"{DAY} 10:00"}
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([row | {"ordered_at": NOON}]), path)
    else:
        lines = [",".join(row), ",".join(map(str, row.values())), f"{SECRETS[0]},{SECRETS[1]}"]
        text = "\n".join(lines) if form == "csv" else f"{json.dumps(row)}\n{{{SECRETS[0]} {SECRETS[1]}\n"
        with pathlib.Path(path).open("w", encoding="utf-8") as file:
            file.write(text)

    (delivery,) = Sources(personal_key=KEY).read_days(case, source, [DAY])

    told = json.dumps(delivery.rejected.to_pylist())
    assert "amount is no number" in told
    assert not [secret for secret in SECRETS if secret in told]


def test_an_error_quotes_no_value_of_a_source_with_personal_data(delivered):
    """What a library says of a value that it cannot cast may hold it."""
    with pytest.raises(DataError, match="its words are withheld") as raised:
        delivered(changed(order_id=pa.array([1.5, 4711.25])), personal={"email": "drop"})

    assert "4711" not in str(raised.value)


WRONG = [
    ({"files": {}}, r"needs `files`, `database`, or both"),
    ({"database": {"connection": "db", "query": "q.sql"}, "replay": {"first": "2017-01-01"}}, r"replay are for files"),
    ({"time_zone": "Berlin"}, r"time_zone 'Berlin' is none; write it like Europe/Berlin"),
    ({"encoding": "utf-9"}, r"encoding 'utf-9' is none"),
    ({"complete": {}}, r"complete needs `marker`, `min_age_minutes`, or both"),
    ({"personal": {"amount": "drop"}}, r"personal drops 'amount': take it out of columns"),
    ({"personal": {"customer": "hash"}}, r"personal hashes 'customer', which becomes text: declare it .* string"),
    ({"files": {"orders": "{month}.csv"}}, r"has \{month\} in it\. Known: \{day\}, \{data\}"),
    ({"schema_changes": {"gone": "add"}}, r"unknown key"),
    ({"files": None, "database": {"connection": "postgresql://u:p@h/d", "query": "q.sql"}}, r"connection"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_a_contract_that_cannot_hold_is_refused_at_load(make_shop, fields, message):
    """Before any row is read."""
    declared = toy.spec()
    declared["sources"][0] |= fields
    if declared["sources"][0]["files"] is None:
        del declared["sources"][0]["files"]

    with pytest.raises(SpecError, match=message):
        make_shop(declared=declared)


@pytest.mark.parametrize(
    ("query", "fields", "message"),
    [
        ("select * from orders", {}, r"takes no parameter\. The query of source 'orders' needs :start and :end"),
        ("select * from orders where ordered_at >= :start", {}, r"takes :start\. .* needs :start and :end"),
        ("select * from orders where a = :a and b >= :start and b < :end", {}, r"takes :a, :end, :start\."),
        ("select 1 -- :start :end", {}, r"takes no parameter"),
        ("select * from orders where b >= :start and b < :end", {"time_column": None}, r"a reference table is read"),
    ],
)
def test_a_query_without_its_window_is_refused_at_load(tmp_path, make_shop, query, fields, message):
    """It would read the whole table every day."""
    declared = toy.spec()
    del declared["sources"][0]["files"]
    declared["sources"][0] |= {"database": {"connection": "db", "query": "orders_query.sql"}} | fields
    folder = tmp_path / "use_cases" / "shop"
    folder.mkdir(parents=True)
    (folder / "orders_query.sql").write_text(query)

    with pytest.raises(SpecError, match=message):
        make_shop(declared=declared)
