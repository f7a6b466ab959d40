"""The simulated clickstream in PostgreSQL as it happens: no event lost or doubled, whatever stops the feed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import forks
import psycopg2
import pytest
from feeding import FIRST, WORLD, follow_quickly, moment, quick_clock
from perennial.catalog import read_folder
from perennial.cli import app
from perennial.contracts import Database
from perennial.core.clickstream import Dials, World, days
from perennial.errors import DataError, SetupError, SpecError
from perennial.io import clickstreams, feeds
from perennial.io.sources import Sources
from perennial.local import postgres as programs
from servers import postgres
from typer.testing import CliRunner

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[str]:
    """Give a PostgreSQL of this run's own."""
    with postgres(tmp_path_factory.mktemp("feed") / "pg") as url:
        yield url
        # One that was started again here is not known to the package, which would leave it running.
        control(url, "-m", "immediate", "stop")


def folder_of(server: str) -> str:
    """Return the server's data folder, where its socket lies as well."""
    return server.split("host=")[1]


def control(server: str, *words: str) -> None:
    """Call pg_ctl and wait for its end."""
    user = {"user": "pgserver", "group": "pgserver", "extra_groups": ()} if os.geteuid() == 0 else {}
    command = [str(programs.binaries() / "pg_ctl"), "-D", folder_of(server), "-w", *words]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd="/", **user)


@pytest.fixture
def shop(server) -> str:
    """Give an empty database."""
    with closing(psycopg2.connect(server)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute("drop database if exists shop with (force)")
            cursor.execute("create database shop")
    return server.replace("/postgres?", "/shop?")


def asked(address: str, query: str) -> list[tuple]:
    """Return the rows of a query."""
    with closing(psycopg2.connect(address)) as session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def received_until(end: datetime, world: World = WORLD) -> list[tuple[int, datetime]]:
    """Return number and receipt of each delivery up to a time, from the generator alone."""
    found: list[tuple[int, datetime]] = []
    for _, events in days(world, FIRST, end.date() + timedelta(days=1)):
        late = (events.received - events.at // (86_400 * 10**6)).tolist()
        for number, at, more in zip(events.event.tolist(), events.at.tolist(), late, strict=True):
            received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at, days=more)
            found.append((number, received))
    return sorted(each for each in found if each[1] <= end)


def table_of(address: str) -> list[tuple[int, datetime]]:
    """Return number and receipt of each row."""
    return sorted(asked(address, "select event_id, received_at from clickstream_simulated"))


@contextmanager
def following(address: str, clock, world: World = WORLD) -> Iterator[None]:
    """Follow beside the test's own thread, and stop in an orderly way."""
    stop = Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            feeds.follow(world, FIRST, address, stop=stop, clock=clock)
        except BaseException as error:  # noqa: BLE001  it is raised again
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        if failed:
            raise failed[0]
    assert not thread.is_alive()


def await_rows(address: str, expected: int, seconds: float = 20) -> None:
    """Wait until the table has as many rows."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        there = asked(address, "select to_regclass('clickstream_simulated') is not null")[0][0]
        if there and asked(address, "select count(*) from clickstream_simulated")[0][0] >= expected:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{expected} rows are not there after {seconds} s.")


def follow_until(address: str, end: datetime, world: World = WORLD) -> None:
    """Follow with a clock that stands still, until all that is due is there."""
    with following(address, lambda: end, world):
        await_rows(address, len(received_until(end, world)))


def test_history_comes_first_and_then_each_event_at_its_time(shop):
    """At any time the table holds what has been received, late events, duplicates and the outage included."""
    for end in (moment(2.4), moment(2.4), moment(5.9)):
        follow_until(shop, end)
        assert table_of(shop) == received_until(end)

    copies = asked(shop, "select count(*) from clickstream_simulated where copy = 1")[0][0]
    late = asked(shop, "select count(*) from clickstream_simulated where received_at > occurred_at")[0][0]
    assert 0.05 < copies / len(table_of(shop)) < 0.15
    assert 0.1 < late / len(table_of(shop)) < 0.25


def test_a_feed_killed_at_random_moments_loses_and_doubles_nothing(shop):
    """Six times kill -9, during the history and during what comes; then the table is what the generator gives."""
    context, draw, begun = forks.context(), random.Random(7), time.time() - 20
    for number in range(6):
        connects, writes = context.Event(), context.Event()
        child = context.Process(target=follow_quickly, args=(shop, begun, connects, writes))
        child.start()
        assert (writes if number % 2 else connects).wait(60)
        time.sleep(draw.uniform(0.0, 0.3))
        child.kill()
        child.join()
    before = len(table_of(shop))
    end = quick_clock(begun)()
    follow_until(shop, end)

    assert table_of(shop) == received_until(end)
    assert 0 < before < len(table_of(shop))


def test_a_server_that_goes_away_is_waited_for(shop, server, monkeypatch):
    """It is stopped at once and started a second later: the feed goes on, and nothing is lost or doubled."""
    for name in ("BATCH_SECONDS", "LOOK_AGAIN_SECONDS", "TRY_AGAIN_SECONDS"):
        monkeypatch.setattr(feeds, name, 0.1)
    begun = time.time()
    with following(shop, quick_clock(begun)):
        await_rows(shop, 100)
        with stopped_server(server):
            time.sleep(1)
        there = len(table_of(shop))
        await_rows(shop, there + 300)
    follow_until(shop, end := quick_clock(begun)())

    assert table_of(shop) == received_until(end)


@contextmanager
def stopped_server(server: str) -> Iterator[None]:
    """Stop the server like a crash would, and start it again with the same options."""
    control(server, "-m", "immediate", "stop")
    try:
        yield
    finally:
        folder = folder_of(server)
        control(server, "-o", f'-h "" -k {folder}', "start")


def test_other_dials_apply_to_the_days_that_are_not_there_yet(shop):
    """What is written stays; a drift that would have begun before is refused, and so are other visitors."""
    calm, late = World(events_per_day=300), World(events_per_day=300, dials=Dials(late=0.5, late_days=1))
    follow_until(shop, moment(1.5), calm)
    expected = [each for each in received_until(moment(2), calm) if each[1] < moment(2)]
    with following(shop, lambda: moment(3.9), late):
        await_rows(shop, len(expected) + 100)

    there = table_of(shop)
    assert [each for each in there if each[1] < moment(2)] == expected
    assert {(at - moment(0)).days for _, at in there} == {0, 1, 2, 3}
    drifting = World(events_per_day=300, dials=Dials(drift_from=FIRST, drift_views=2.0))
    for other, words in ((World(seed=1, events_per_day=300), "of seed 20150503, asked for is 1"),
                         (World(events_per_day=100), "of events_per_day 300"),
                         (drifting, r"drift .* 2026-01-01 .* 2026-01-05 or later")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            feeds.follow(other, FIRST, shop, stop=Event())


def test_what_is_hidden_lies_where_a_reader_of_the_shop_does_not_come(shop, tmp_path):
    """The table's truth is that of the files; a role that may read every table of the shop sees none of it."""
    follow_until(shop, moment(2.4))
    day = FIRST + timedelta(days=1)
    clickstreams.write_files(WORLD, clickstreams.Span(FIRST, FIRST + timedelta(days=3)), tmp_path)
    with closing(psycopg2.connect(shop)) as session, session.cursor() as cursor:
        cursor.execute("drop role if exists curious")
        cursor.execute("create role curious login")
        cursor.execute("grant select on all tables in schema public to curious")
        session.commit()
    curious = shop.replace("postgres:@", "curious:@")

    of_table, of_files = feeds.truth(shop, day), clickstreams.truth(WORLD, tmp_path, day)

    assert of_table.sort_by("visitor_id").equals(of_files.sort_by("visitor_id"))
    assert len(asked(curious, "select * from clickstream_simulated")) == len(table_of(shop))
    with pytest.raises(SetupError, match=r"permission denied .* what the connection's role may"):
        feeds.truth(curious, day)
    with pytest.raises(DataError, match=r"truth of 2026-01-09 is not beside .*perennial simulate"):
        feeds.truth(shop, FIRST + timedelta(days=8))


def test_a_table_written_whole_has_its_truth_and_is_not_followed(shop, tmp_path):
    """It may hold what is received later, so that nobody could tell where to go on."""
    span = clickstreams.Span(FIRST, FIRST + timedelta(days=3))
    feeds.write_table(WORLD, span, shop)
    clickstreams.write_files(WORLD, span, tmp_path)

    of_table, of_files = feeds.truth(shop, FIRST), clickstreams.truth(WORLD, tmp_path, FIRST)

    assert of_table.sort_by("visitor_id").equals(of_files.sort_by("visitor_id"))
    with pytest.raises(DataError, match=r"written whole .* drop the table and the schema"):
        feeds.follow(WORLD, FIRST, shop, stop=Event())


def test_the_table_is_the_source_of_the_use_case_as_the_files_are(shop, tmp_path):
    """Written by COPY in one transaction; the use case's query reads what its files hold."""
    world, span = World(events_per_day=500), clickstreams.Span(FIRST, FIRST + timedelta(days=5))
    whole = read_folder(Path(__file__).parents[2] / "include" / "use_cases" / "visitor_conversion")
    source = whole.source("simulated_events")
    declared = {"files": {}, "database": Database(connection="clickstream", query="simulated_events.sql")}
    queried = source.model_copy(update=declared)
    days = [FIRST + timedelta(days=each) for each in range(5)]

    in_files = clickstreams.write_files(world, span, tmp_path)
    for _ in range(2):
        in_table = feeds.write_table(world, span, shop)

    assert (in_table.rows, in_table.sha256) == (in_files.rows, in_files.sha256)
    sources = Sources(data=tmp_path, connections=lambda _: shop)
    for one, other in zip(sources.read_days(whole, source, days), sources.read_days(whole, queried, days), strict=True):
        assert one.rows.sort_by("event_id").equals(other.rows.sort_by("event_id"))


def test_a_clickstream_goes_into_postgresql_only(tmp_path):
    """Another database is refused before anything is written."""
    span = clickstreams.Span(FIRST, FIRST + timedelta(days=1))

    with pytest.raises(SetupError, match=r"to PostgreSQL only, and the connection is a 'sqlite'"):
        feeds.write_table(World(events_per_day=500), span, f"sqlite:///{tmp_path / 'shop.db'}")


def test_a_second_feed_waits_for_the_end_of_the_first(shop, caplog):
    """Two that write the same table would double its events."""
    with following(shop, lambda: moment(1.5)):
        await_rows(shop, len(received_until(moment(1.5))))
        with following(shop, lambda: moment(2.5)):
            time.sleep(0.5)
            assert len(table_of(shop)) == len(received_until(moment(1.5)))

    assert "Another process writes the table" in caplog.text


def test_the_command_follows_until_it_is_told_to_stop(shop):
    """By the connection's name; SIGTERM ends it behind the batch that it is in, and nobody sees the address."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    program = str(Path(sys.executable).parent / "perennial")
    command = [program, "simulate", "--connection", "shop", "--follow", "--days", "1", "--events-per-day", "300"]
    environment = {**os.environ, "PERENNIAL_CONN_SHOP": shop}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        await_rows(shop, 100, seconds=60)
        run.send_signal(signal.SIGTERM)
        said = run.communicate(timeout=30)[0].decode()

    days_there = {at.date() for _, at in table_of(shop)}
    assert (run.returncode, shop in said) == (0, False)
    assert days_there <= {yesterday, yesterday + timedelta(days=1)}


@pytest.mark.parametrize("more", [[], ["--connection", "shop", "--last", "2026-01-01"]])
def test_following_goes_on_from_now_in_a_database(more):
    """Not into files, and not up to a day of the past."""
    with pytest.raises(SpecError, match="--follow needs --connection, and goes on from now"):
        CliRunner().invoke(app, ["simulate", "--follow", *more], catch_exceptions=False)


@pytest.mark.parametrize("dials", [Dials(leak="label"), Dials(schema_change="new", schema_from=FIRST)])
def test_a_followed_table_keeps_its_columns(shop, dials):
    """A table has the same columns on all its days."""
    with pytest.raises(SpecError, match="--schema-change and --leak are for files"):
        feeds.follow(World(dials=dials), FIRST, shop, stop=Event())
