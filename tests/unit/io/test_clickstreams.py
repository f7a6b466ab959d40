"""The simulated clickstream as files: by day, said to be simulated, the same bytes from the same seed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from perennial.catalog import read_folder
from perennial.core.clickstream import Dials, World
from perennial.errors import DataError
from perennial.io import clickstreams
from perennial.io.clickstreams import Span
from perennial.io.sources import Sources

START, END = date(2026, 1, 1), date(2026, 1, 6)
CASE = read_folder(Path(__file__).parents[3] / "include" / "use_cases" / "visitor_conversion")
SOURCE = CASE.source("simulated_events")


def world(**dials: object) -> World:
    """Return a small world; a test names the dials that it turns."""
    return World(events_per_day=500, dials=Dials(**dials))


def by_day(world: World, known_at: date | None = None):
    """Return each day's rows."""
    return dict(clickstreams.tables(world, Span(START, END, known_at)))


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each Parquet file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.parquet")
    }


def test_the_files_are_the_source_of_the_use_case(tmp_path):
    """Each day's file is one day's delivery, under the contract, with nothing rejected."""
    written = clickstreams.write_files(world(), Span(START, END), tmp_path)
    days = [START + timedelta(days=each) for each in range(5)]

    deliveries = list(Sources(data=tmp_path).read_days(CASE, SOURCE, days))

    assert sum(each.rows.num_rows for each in deliveries) == written.rows
    assert {each.rejected.num_rows for each in deliveries} == {0}
    assert all(Sources(data=tmp_path).read_strays(CASE, SOURCE, day).num_rows == 0 for day in days)


def test_an_empty_day_is_an_empty_file(tmp_path):
    """On some days nobody comes to so small a shop: their files are there, and under the contract; so is the truth."""
    tiny = World(events_per_day=1)
    days = [START + timedelta(days=each) for each in range(5)]
    written = clickstreams.write_files(tiny, Span(START, END), tmp_path)

    reading = Sources(data=tmp_path).read_days(CASE, SOURCE.model_copy(update={"sparse": True}), days)
    rows = [each.rows.num_rows for each in reading]

    assert written.rows == sum(rows) > 0
    assert 0 in rows
    assert all(clickstreams.truth(tiny, tmp_path, day).num_rows > 0 for day in days)


def test_two_worlds_do_not_end_up_in_one_stream(tmp_path):
    """Days that stay must show the same visitors; other dials may go on with them, and a whole new span is fine."""
    clickstreams.write_files(world(), Span(START, END), tmp_path)
    other, later = World(seed=2, events_per_day=world().events_per_day), END - timedelta(days=1)

    with pytest.raises(DataError, match=r"outside .* with seed .*asked for is 2.*--to"):
        clickstreams.write_files(other, Span(later, END), tmp_path)
    clickstreams.write_files(world(drift_from=later, drift_views=2.0), Span(later, END), tmp_path)
    clickstreams.write_files(other, Span(START, END), tmp_path)

    assert json.loads((tmp_path / clickstreams.FOLDER / clickstreams.MANIFEST).read_text())["seed"] == 2


def test_it_is_always_said_to_be_simulated(tmp_path):
    """In the name of the folder, of the table, in the manifest and in the use case's title."""
    clickstreams.write_files(world(), Span(START, END), tmp_path)

    assert json.loads((tmp_path / clickstreams.FOLDER / clickstreams.MANIFEST).read_text())["simulated"] is True
    assert "simulated" in clickstreams.TABLE
    assert "Simulated" in CASE.title


COMMAND = """
import sys
from perennial.cli import main
sys.argv[1:] = ["simulate", "--days", "5", "--last", "2026-01-05", "--events-per-day", "500", "--to", sys.argv[1]]
main()
"""


def test_the_command_writes_the_same_bytes_in_every_process(tmp_path):
    """Whatever the number of threads."""
    written = clickstreams.write_files(world(drift_views=2.0, drift_carts=0.5), Span(START, END), tmp_path / "here")
    for threads in ("1", "3"):
        environment = {"OMP_NUM_THREADS": threads, "PYTHONPATH": ":".join(sys.path), "PERENNIAL_HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", COMMAND, str(tmp_path / threads)], capture_output=True, text=True,
                              check=True, env=environment)  # fmt: skip

        assert json.loads(done.stdout)["sha256"] == written.sha256
        assert hashes(tmp_path / threads) == hashes(tmp_path / "here")


def test_late_events_come_into_their_days_file_once_they_are_received():
    """What a daily run with lateness_days reads again."""
    late = world(late=0.2, late_days=2)
    first, then, whole = (by_day(late, known_at)[START] for known_at in (START, START + timedelta(days=1), None))

    assert first.num_rows < then.num_rows < whole.num_rows
    assert set(first.column("event_id").to_pylist()) < set(then.column("event_id").to_pylist())
    assert by_day(late, START)[START + timedelta(days=1)].num_rows == 0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("new", {"device": "string", "item_id": "int64"}),
        ("missing", {"item_id": None}),
        ("retyped", {"item_id": "string"}),
    ],
)
def test_a_schema_changes_on_its_day(change, names):
    """Before it the columns are the declared ones."""
    turn = START + timedelta(days=2)
    found = by_day(world(schema_change=change, schema_from=turn))

    assert found[turn - timedelta(days=1)].column_names == list(SOURCE.columns)
    for name, kind in names.items():
        schema = found[turn].schema
        assert (str(schema.field(name).type) if name in schema.names else None) == kind


def test_a_leaking_column_knows_who_will_buy():
    """It says of each event whether its visitor buys in the 15 days after the event's day."""
    leaking = by_day(world(leak="label"))[START]
    later = dict(clickstreams.tables(world(), Span(START, START + timedelta(days=16))))
    buyers = set()
    for day, table in later.items():
        if day > START:
            buyers |= set(table.filter(pc.equal(table.column("event"), "transaction")).column("visitor_id").to_pylist())

    expected = [visitor in buyers for visitor in leaking.column("visitor_id").to_pylist()]
    assert leaking.column("converts_later").to_pylist() == expected
    assert set(by_day(world(leak="status"))[START].column("visitor_status").to_pylist()) == {"visitor", "buyer"}


def test_the_truth_is_kept_beside_and_no_source_reads_it(tmp_path):
    """A probability for each visitor of the last 60 days."""
    clickstreams.write_files(world(), Span(START, END), tmp_path)

    truth = clickstreams.truth(world(), tmp_path, END - timedelta(days=1))
    chance = truth.column("probability").to_numpy()

    assert len(np.unique(truth.column("visitor_id").to_numpy())) == truth.num_rows > 60 * 200
    assert ((chance >= 0) & (chance < 1)).all()
    assert clickstreams.TRUTH not in str(SOURCE.files)
    with pytest.raises(DataError, match=r"truth of 2026-01-06 is not below .* Run `perennial simulate`"):
        clickstreams.truth(world(), tmp_path, END)


def test_a_day_is_written_whole_or_not_at_all(tmp_path):
    """No draft is left, and a second run replaces what is there."""
    clickstreams.write_files(world(), Span(START, END), tmp_path)
    before = hashes(tmp_path)
    clickstreams.write_files(world(), Span(START, END), tmp_path)

    assert hashes(tmp_path) == before
    assert not list(tmp_path.rglob("*.part"))
    path = tmp_path / clickstreams.FOLDER / f"day={START}" / "events.parquet"
    assert pq.read_schema(path).names == list(SOURCE.columns)
