"""When each day was written, from the log of its table, and what a snapshot was built from."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from perennial.errors import LakeError
from perennial.io.lake import Lake, reading
from shopdays import FIRST, LAST, ShopDays

DAY = date(2026, 1, 1)


def rows(value: float) -> pa.Table:
    """Return one row."""
    return pa.table({"x": [value]})


def test_a_day_knows_the_first_and_the_last_time_it_was_written(tmp_path):
    """The same content again is no writing; a day that was never written is not named."""
    lake = Lake(tmp_path)
    before = datetime.now(UTC) - timedelta(seconds=1)
    lake.write_days("t", {DAY: rows(1), DAY + timedelta(days=1): rows(1)}, metadata={"run": "one"})
    lake.write_day("t", DAY, rows(2), metadata={"run": "two"})
    lake.write_day("t", DAY, rows(2), metadata={"run": "three"})
    found = lake.written("t")

    first, other = found[DAY], found[DAY + timedelta(days=1)]
    assert (first.times, first.first_run, first.last_run, first.version) == (2, "one", "two", 2)
    assert (other.times, other.last_run, other.version) == (1, "one", 1)
    assert before < first.first <= first.last
    assert set(found) == {DAY, DAY + timedelta(days=1)}
    assert lake.written("none") == {}


def test_a_commit_of_an_earlier_release_names_a_span_of_days(tmp_path):
    """Each day of it was written."""
    lake = Lake(tmp_path)
    commit = lake.write_day("t", DAY, rows(1), metadata={})
    log = tmp_path / "t" / "_delta_log" / f"{commit.version:020d}.json"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"]["day"] = f"{DAY}..{DAY + timedelta(days=2)}"
    log.write_text("\n".join(map(json.dumps, lines)))

    assert sorted(lake.written("t")) == [DAY + timedelta(days=at) for at in range(3)]


def test_whatever_keeps_a_table_from_being_read_is_a_lake_error():
    """With the table's name and the first line of the cause alone."""
    with (
        pytest.raises(LakeError, match=r"Table 'features/x' of the lake cannot be read: no disk See"),
        reading("features/x"),
    ):
        raise OSError("no disk\nand much more")


def test_a_snapshot_tells_what_it_was_built_from_and_what_changed_since(tmp_path):
    """The revisions of eleven days then and now; a reference table's one snapshot."""
    world = ShopDays.lived(tmp_path)
    world.ingest([LAST], amounts=[1.0])
    found = world.adapters.lineage.behind(world.case, LAST)

    orders, customers = found.reads
    assert (found.state.state, found.state.reason) == ("stale", f"orders of {LAST} changed")
    assert (orders.version, orders.first, len(orders.then)) == (1, LAST - timedelta(days=10), 11)
    assert (orders.then[-1], orders.now[-1]) == (1, 2)
    assert (customers.first, customers.then) == (FIRST, (1,))


def test_a_day_that_was_never_built_was_built_from_nothing(tmp_path):
    """Nor is anything known where there is no lineage at all."""
    world = ShopDays.lived(tmp_path, unbuilt=True)
    found = world.adapters.lineage.behind(world.case, LAST)

    assert (found.state.state, found.definition, found.reads) == ("missing", None, ())
