"""A day is written whole or not at all, and the same content never makes a version."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.errors import LakeError
from perennial.io.lake import Lake
from perennial.records import Commit, Window

DAY = date(2026, 1, 1)
SPAWN = multiprocessing.get_context("spawn")  # Delta's runtime does not survive a fork


@pytest.fixture
def lake(tmp_path):
    """Return an empty lake."""
    return Lake(tmp_path / "lake")


def rows(*values: float | None) -> pa.Table:
    """Return a table of one number each row."""
    return pa.table({"x": pa.array(list(values), pa.float64())})


def test_the_same_content_again_makes_no_version(lake):
    """Order does not matter, and NaN is a null."""
    first = lake.write_day("raw/t", DAY, rows(1.0, 2.0, None), metadata={})
    again = lake.write_day("raw/t", DAY, rows(float("nan"), 2.0, 1.0), metadata={})

    assert (first.changed, again.changed, again.version) == (True, False, first.version)


def test_changed_content_replaces_its_day_and_no_other(lake):
    """A commit touches one partition; the older version can still be read."""
    lake.write_day("raw/t", DAY + timedelta(days=1), rows(9.0), metadata={})
    old = lake.write_day("raw/t", DAY, rows(1.0, 2.0), metadata={})
    new = lake.write_day("raw/t", DAY, rows(3.0), metadata={})
    window = Window.of_day(DAY)

    assert lake.read("raw/t", window, columns=["x"]).to_pydict() == {"x": [3.0]}
    assert sorted(lake.read("raw/t", window, version=old.version).column("x").to_pylist()) == [1.0, 2.0]
    assert lake.days("raw/t") == (DAY, DAY + timedelta(days=1))
    assert new.version == old.version + 1


def test_a_day_without_rows_is_known_as_written(lake):
    """A day without sales is no missing day."""
    lake.write_day("raw/t", DAY, rows(), metadata={})

    assert lake.has_day("raw/t", DAY)
    assert not lake.has_day("raw/t", DAY + timedelta(days=1))
    assert not lake.write_day("raw/t", DAY, rows(), metadata={}).changed


def test_a_commit_says_what_made_it(lake):
    """Case, run and code version travel with the commit."""
    lake.write_day("raw/t", DAY, rows(1.0), metadata={"case": "shop", "run": "r1"})
    newest = lake.commits("raw/t", limit=1)[0]

    assert (newest["case"], newest["run"], newest["day"], newest["rows"]) == ("shop", "r1", "2026-01-01", "1")


def test_a_new_column_is_added_and_older_days_show_null(lake):
    """A feature added later does not break the days before."""
    lake.write_day("raw/t", DAY, rows(1.0), metadata={})
    wider = rows(2.0).append_column("y", pa.array([5.0]))
    lake.write_day("raw/t", DAY + timedelta(days=1), wider, metadata={})

    assert lake.read("raw/t", Window.of_day(DAY)).column("y").to_pylist() == [None]


def test_a_column_of_another_type_is_refused_and_the_day_stays(lake):
    """Nothing is half-written."""
    lake.write_day("raw/t", DAY, rows(1.0), metadata={})

    with pytest.raises(LakeError, match=r"Day 2026-01-01 of table 'raw/t' was not written.*still there"):
        lake.write_day("raw/t", DAY, pa.table({"x": ["text"]}), metadata={})
    assert lake.read("raw/t", Window.of_day(DAY)).column("x").to_pylist() == [1.0]


def test_a_missing_table_says_what_to_run(lake):
    """Reading what was never written is the caller's mistake, told as such."""
    with pytest.raises(LakeError, match=r"no table 'raw/none'.*Run the stage"):
        lake.read("raw/none", Window.of_day(DAY))


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), max_size=20))
def test_what_is_written_is_what_is_read(tmp_path_factory, values):
    """Nulls and infinities come back as they were, whatever the order."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    lake.write_day("t", DAY, rows(*values), metadata={})
    read = lake.read("t", Window.of_day(DAY)).column("x").to_pylist()

    def order(value):
        return (value is not None, value or 0.0)

    assert sorted(read, key=order) == sorted(values, key=order)


def _write(arguments: tuple[Path, int, date, int]) -> Commit:
    root, writer, day, count = arguments
    return Lake(root).write_day("raw/t", day, pa.table({"writer": [writer] * count}), metadata={"run": str(writer)})


def test_many_writers_of_one_day_end_in_one_of_them_whole(tmp_path):
    """No mixing, no loss, no error: the day holds exactly one writer's rows."""
    with SPAWN.Pool(2) as pool:
        pool.map(_write, [(tmp_path, writer, DAY, 3 + writer) for writer in range(8)])
    found = Lake(tmp_path).read("raw/t", Window.of_day(DAY)).column("writer").to_pylist()

    assert len(set(found)) == 1
    assert len(found) == 3 + found[0]


def test_parallel_days_are_all_there(tmp_path):
    """A backfill writes days beside each other."""
    with SPAWN.Pool(2) as pool:
        pool.map(_write, [(tmp_path, n, DAY + timedelta(days=n), 2) for n in range(12)])

    assert len(Lake(tmp_path).days("raw/t")) == 12


def _write_until_killed(root: Path) -> None:
    lake, count = Lake(root), 0
    while True:
        count += 1
        lake.write_day("raw/t", DAY, pa.table({"x": [count] * 1000}), metadata={})


def test_a_writer_that_is_killed_leaves_a_whole_day(tmp_path):
    """Whatever the moment, a reader sees one write entirely, and the next write goes through."""
    writer = SPAWN.Process(target=_write_until_killed, args=(tmp_path,))
    writer.start()
    deadline = time.monotonic() + 30
    while len(Lake(tmp_path).commits("raw/t", limit=8)) < 8:
        assert time.monotonic() < deadline, "the writer never came to write"
        time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    found = Lake(tmp_path).read("raw/t", Window.of_day(DAY)).column("x").to_pylist()

    assert len(found) == 1000
    assert len(set(found)) == 1
    assert Lake(tmp_path).write_day("raw/t", DAY, pa.table({"x": [0]}), metadata={}).changed


def test_rows_come_by_day_whenever_the_days_were_written(lake):
    """Sums over them are then added up in one order, and a snapshot built again has the same bits."""
    for offset in (2, 0, 1):
        lake.write_day("raw/t", DAY + timedelta(days=offset), rows(float(offset)), metadata={})

    assert lake.dataset("raw/t").to_table().column("x").to_pylist() == [0.0, 1.0, 2.0]


def test_a_version_knows_the_revisions_of_its_own_time(lake):
    """What was written later counts for no older version; before its first commit a day has none."""
    for day, value in ((DAY, 1.0), (DAY + timedelta(days=1), 1.0), (DAY, 2.0)):
        lake.write_day("raw/t", day, rows(value), metadata={})
    counted = [lake.revisions("raw/t", [DAY], version=version)[DAY] for version in range(4)]

    assert counted == [0, 1, 1, 2]


def test_a_lake_of_an_earlier_release_keeps_its_revisions(tmp_path: Path) -> None:
    """Its commits name a span of days: the transactions beside it say which days were written."""
    days = [date(2026, 1, 1), date(2026, 1, 3)]
    rows = pa.table({"day": pa.array(days, pa.date32()), "a": [1, 2]})
    told = CommitProperties(
        custom_metadata={"day": "2026-01-01..2026-01-03"},
        app_transactions=[Transaction(f"day:{day}", 1) for day in days],
    )
    write_deltalake(str(tmp_path / "raw"), rows, partition_by=["day"], commit_properties=told)
    lake = Lake(tmp_path)

    assert lake.missing_days("raw", [*days, date(2026, 1, 2)]) == (date(2026, 1, 2),)
    lake.write_day("raw", days[0], pa.table({"a": [5]}), metadata={})
    assert lake.revisions("raw", days) == {days[0]: 2, days[1]: 1}


def test_a_revision_is_counted_up_to_the_version_that_was_asked(lake):
    """What was written behind a version does not count for it."""
    versions = [lake.write_day("raw/t", DAY, rows(value), metadata={}).version for value in (1.0, 2.0, 3.0)]

    assert [lake.revisions("raw/t", [DAY], version=version)[DAY] for version in versions] == [1, 2, 3]


def test_revisions_are_the_same_asked_one_by_one_and_together(lake):
    """A few days are asked for by their transactions, many by one walk over the log: both count alike."""
    days = [DAY + timedelta(days=offset) for offset in range(6)]
    for number, day in enumerate(days[:-1]):
        for value in range(number % 3 + 1):
            lake.write_day("raw/t", day, rows(float(value)), metadata={})

    together = lake.revisions("raw/t", days)

    assert list(together.values()) == [1, 2, 3, 1, 2, 0]
    assert together == {day: lake.revisions("raw/t", [day])[day] for day in days}


def test_only_the_files_of_the_asked_days_are_opened(lake):
    """A day costs the same in a table of a week and of years: other days' files are left out before the read."""
    days = [DAY + timedelta(days=offset) for offset in range(5)]
    lake.write_days("raw/t", {day: rows(1.0) for day in days}, metadata={})
    window = Window(days[1], days[3])

    chosen = lake.dataset("raw/t", only=[("day", ">=", str(window.start)), ("day", "<", str(window.end))])

    assert [path.split("/")[0] for path in chosen.files] == [f"day={day}" for day in days[1:3]]
    assert lake.read("raw/t", Window(date(2030, 1, 1), date(2030, 1, 2))).num_rows == 0


def test_a_long_log_is_summed_up_on_the_way(lake):
    """Opening a table reads the commits since the last checkpoint, so there has to be one every few commits."""
    for number in range(41):
        lake.write_day("raw/t", DAY, rows(float(number)), metadata={})

    assert len(list((lake.root / "raw/t/_delta_log").glob("*.checkpoint.parquet"))) == 2


def test_rows_of_many_pieces_lie_as_they_were_given(lake):
    """Sums over a day depend on the order of its rows, so whoever wrote it, it lies as the source has it."""
    pieces = pa.concat_tables([rows(*map(float, range(at, at + 500))) for at in range(0, 5000, 500)])
    days = [DAY + timedelta(days=offset) for offset in range(60)]
    lake.write_days("raw/t", dict.fromkeys(days, pieces), metadata={})

    for day in days:
        assert lake.read("raw/t", Window.of_day(day)).column("x").to_pylist() == list(map(float, range(5000))), day
