"""A day's file holds its rows as they were given and is whole before the log names it, which says nothing of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.errors import LakeError
from perennial.io import datafiles, lake
from perennial.io.lake import Lake
from perennial.records import Window

DAY = date(2026, 1, 1)
NEXT = DAY + timedelta(days=1)
MANY = {
    "id": st.integers(-(2**63), 2**63 - 1),
    "few": st.integers(-(2**31), 2**31 - 1),
    "x": st.floats(allow_nan=False),
    "said": st.text(max_size=5).filter(lambda text: "\ud800" not in text and text.isprintable()),
    "at": st.integers(0, 2**52).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)),
    "so": st.booleans(),
}
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("few", pa.int32()),
        ("x", pa.float64()),
        ("said", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("so", pa.bool_()),
    ]
)
rows_of = st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in MANY.items()}), max_size=20)


def table(given_rows: list[dict[str, Any]], day: date = DAY) -> pa.Table:
    """Return rows with their day."""
    rows = pa.Table.from_pylist(given_rows, schema=SCHEMA)
    return rows.add_column(0, "day", pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))


@settings(max_examples=40, deadline=None)
@given(rows=rows_of)
def test_every_reader_finds_the_rows_as_they_were_given(tmp_path_factory, rows):
    """How the numbers are packed is in the format's standard: Arrow, DuckDB and polars all read it, in order."""
    folder = tmp_path_factory.mktemp("lake")
    written = datafiles.write(folder, {DAY: table(rows)})
    if not rows:
        assert written == []
        return
    path = folder / written[0].path

    assert pq.read_table(path, partitioning=None).to_pylist() == rows
    assert pl.read_parquet(path, hive_partitioning=False).to_dicts() == rows
    few = [row["few"] for row in rows if row["few"] is not None]
    told = duckdb.execute("select count(few), sum(few)::bigint from read_parquet(?)", [str(path)]).fetchall()
    assert told == [(len(few), sum(few) if few else None)]


def test_a_day_that_cannot_be_written_leaves_no_file_of_any_day(tmp_path):
    """One commit's files are all there or none is."""
    good = table([{"id": 1}])
    bad = good.append_column("e", pa.array([None], pa.month_day_nano_interval()))

    with pytest.raises(pa.ArrowException):
        datafiles.write(tmp_path, {DAY: good, NEXT: bad})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_log_says_nothing_of_what_the_rows_hold(tmp_path):
    """Who asks to be forgotten is then in no file but those that held the rows."""
    Lake(tmp_path).write_day("t", DAY, pa.table({"id": [730519], "who": ["Ada"]}), metadata={})
    log = "".join(path.read_text() for path in (tmp_path / "t/_delta_log").glob("*.json"))

    assert '\\"numRecords\\": 1' in log
    assert "730519" not in log
    assert "Ada" not in log


def test_a_column_of_whole_numbers_becomes_one_of_doubles_when_others_come(tmp_path):
    """A feature that was a count and is a mean now: older days and older versions stay readable, nothing is rounded."""
    lake = Lake(tmp_path)
    counted = lake.write_day("t", DAY, pa.table({"n": pa.array([1, None], pa.int32())}), metadata={})
    lake.write_day("t", NEXT, pa.table({"n": [0.5]}), metadata={})
    both = Window(DAY, NEXT + timedelta(days=1))

    assert lake.read("t", both).column("n").to_pylist() == [1.0, None, 0.5]
    assert lake.read("t", both, version=counted.version).column("n").to_pylist() == [1, None]
    assert DeltaTable(str(tmp_path / "t")).to_pyarrow_table().column("n").type == pa.float64()
    assert not lake.write_day("t", DAY, pa.table({"n": pa.array([None, 1], pa.int32())}), metadata={}).changed


def test_whole_numbers_lie_in_a_column_of_doubles_as_doubles(tmp_path):
    """A table that an earlier release began keeps its types."""
    lake = Lake(tmp_path)
    lake.write_day("t", DAY, pa.table({"n": [0.5]}), metadata={})
    lake.write_day("t", NEXT, pa.table({"n": pa.array([7], pa.int32())}), metadata={})

    assert lake.read("t", Window.of_day(NEXT)).column("n").combine_chunks().equals(pa.array([7.0]))


@pytest.mark.parametrize("value", [pa.array(["7"]), pa.array([2**40])], ids=["text", "too large"])
def test_a_value_that_the_column_cannot_hold_is_refused(tmp_path, value):
    """Text is never read as a number, and a number is never cut."""
    lake = Lake(tmp_path)
    lake.write_day("t", DAY, pa.table({"n": pa.array([7], pa.int32())}), metadata={})

    with pytest.raises(LakeError, match=r"2026-01-02 of table 't' was not written"):
        lake.write_day("t", NEXT, pa.table({"n": value}), metadata={})
    assert lake.days("t") == (DAY,)


def test_a_writer_that_lost_the_race_leaves_no_file_and_writes_again(tmp_path, monkeypatch):
    """The log refuses the second of two writers of a day: it looks again, and its first attempt is gone."""
    here = Lake(tmp_path)
    here.write_day("t", DAY, pa.table({"x": [0.0]}), metadata={})
    told, lost = lake.replace_days, [True]

    def beaten_once(delta: DeltaTable, *others: Any) -> int:
        if lost.pop() if lost else False:
            Lake(tmp_path).write_day("t", DAY, pa.table({"x": [1.0]}), metadata={})
        return told(delta, *others)

    monkeypatch.setattr(lake, "replace_days", beaten_once)
    commit = here.write_day("t", DAY, pa.table({"x": [2.0]}), metadata={})

    assert commit.version == here.version("t") == 3
    assert here.read("t", Window.of_day(DAY)).column("x").to_pylist() == [2.0]
    assert len(list((tmp_path / "t").rglob("*.parquet"))) == 3


def test_a_commit_that_may_be_in_the_log_keeps_its_files(tmp_path, monkeypatch):
    """Only where the log has surely refused them may files go: else a version would name what is not there."""
    here = Lake(tmp_path)
    told = lake.replace_days

    def committed_and_then_broken(*given: Any) -> int:
        told(*given)
        raise OSError("no space left for the checkpoint")

    monkeypatch.setattr(lake, "replace_days", committed_and_then_broken)
    with pytest.raises(LakeError, match="no space left"):
        here.write_day("t", DAY, pa.table({"x": [2.0]}), metadata={})
    assert here.read("t", Window.of_day(DAY)).column("x").to_pylist() == [2.0]


def test_a_commit_knows_its_own_version_though_others_write_beside_it(tmp_path):
    """What is pinned is the version that was made, not the newest."""
    here = Lake(tmp_path)
    here.write_day("t", DAY, pa.table({"x": [0.0]}), metadata={})

    def meanwhile(_stored: object) -> dict[date, pa.Table]:
        Lake(tmp_path).write_day("t", NEXT, pa.table({"x": [9.0]}), metadata={})
        return {DAY: pa.table({"x": [1.0]})}

    (commit,) = here.update_days("t", [DAY], meanwhile, metadata={})

    assert commit.version == 3
    assert here.read("t", Window.of_day(DAY), version=3).column("x").to_pylist() == [1.0]
    assert here.read("t", Window.of_day(DAY), version=2).column("x").to_pylist() == [0.0]


def test_a_refused_conflict_is_named(tmp_path, monkeypatch):
    """After many attempts the user is told what stays and what to do."""
    here = Lake(tmp_path)
    here.write_day("t", DAY, pa.table({"x": [0.0]}), metadata={})

    def always(*_given: Any) -> int:
        raise CommitFailedError("beaten")

    monkeypatch.setattr(lake, "replace_days", always)
    monkeypatch.setattr(Lake._update.retry, "sleep", lambda _seconds: None)
    with pytest.raises(LakeError, match="beaten What was there before is still there"):
        here.write_day("t", DAY, pa.table({"x": [1.0]}), metadata={})
    assert len(list((tmp_path / "t").rglob("*.parquet*"))) == 1
