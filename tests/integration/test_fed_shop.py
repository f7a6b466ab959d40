"""The embedded stack's simulated shop without Airflow: who may do what in its database, and what feeds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pytest
from perennial.catalog import read_folder
from perennial.core.clickstream import World
from perennial.io import feeds
from perennial.io.lake import Lake
from perennial.io.sources import Sources
from perennial.local import credentials, demo, environment, feed, injection, postgres
from perennial.local.layout import Layout
from perennial.local.steps import Steps
from perennial.settings import Settings

pytestmark = pytest.mark.integration
USE_CASES = Path(__file__).parents[2] / "include" / "use_cases"
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Layout]:
    """Return a layout whose Postgres runs, with the shop's database in it; nothing else of the stack does."""
    made = Layout(tmp_path_factory.mktemp("shop") / "home", airflow_port=1, mlflow_port=2, smtp_port=3)
    made.make_folders()
    postgres.prepare(made)
    user = postgres.system_user()
    identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": ()} if user else {}
    with (made.logs / "postgres.log").open("wb") as log:
        run = subprocess.Popen(postgres.command(made), stdout=log, stderr=log, cwd="/", **identity)
        try:
            postgres.create_databases(made)
            for _ in range(2):  # safe to repeat
                feed.prepare_database(made)
            yield made
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(30)


@pytest.fixture(scope="module")
def fed(place) -> Iterator[feed.Fed]:
    """Return a shop that the stack's own program feeds; it has written everything up to now, and goes on."""
    begun = feed.Feed.beginning(TODAY - timedelta(days=4), yesterday=TODAY - timedelta(days=1),
                                changed=TODAY - timedelta(days=2))  # fmt: skip
    feed.keep(place, begun)
    environ = {**os.environ, "PERENNIAL_HOME": str(place.home)}
    with (place.logs / "feed.log").open("ab") as log:
        run = subprocess.Popen([sys.executable, "-m", "perennial.local.feed"], env=environ, stdout=log, stderr=log)
        try:
            shop = feed.Fed(place, begun)
            shop.prepare(Steps())
            yield shop
        finally:
            run.send_signal(signal.SIGTERM)
            assert run.wait(30) == 0


def asked(place: Layout, role: str, statement: str) -> list[tuple[Any, ...]]:
    """Return what a role gets for a statement."""
    with closing(psycopg2.connect(feed.address(place, role))) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_the_feed_writes_and_the_use_case_reads(fed, place):
    """Up to now; then through the use case's own query by the connection that Airflow gets, with nothing refused."""
    case = read_folder(USE_CASES / "visitor_conversion", live=[feed.CONNECTION])
    days = [TODAY - timedelta(days=each) for each in (3, 2)]
    address = environment.component_environment(place)["AIRFLOW_CONN_CLICKSTREAM"]

    found = list(Sources(connections=lambda _: address).read_days(case, case.source("simulated_events"), days))

    assert feed.feeds_case(Settings(home=place.home), "visitor_conversion")
    assert not feed.feeds_case(Settings(home=place.home), "conversion")
    assert found[1].rows.num_rows > 3 * found[0].rows.num_rows > 3 * 500  # six times as many visitors arrive
    assert {each.rejected.num_rows for each in found} == {0}


@pytest.mark.parametrize(
    "statement",
    [
        "insert into clickstream_simulated select * from clickstream_simulated limit 1",
        "delete from clickstream_simulated",
        "drop table clickstream_simulated",
        "create table mine (x int)",
        "select * from clickstream_simulated_hidden.visitors",
        "select * from clickstream_simulated_hidden.eras",
    ],
)
def test_a_reader_may_read_the_shop_and_nothing_else(fed, place, statement):
    """Not write, not make tables, not see what is hidden."""
    assert asked(place, feed.READER, "select count(*) > 0 from clickstream_simulated") == [(True,)]
    with pytest.raises(psycopg2.Error, match=r"permission denied|must be owner"):
        asked(place, feed.READER, statement)


@pytest.mark.parametrize("role", [feed.READER, feed.WRITER])
@pytest.mark.parametrize("database", ["airflow", "mlflow", "perennial", "postgres"])
def test_the_shops_roles_get_into_no_other_database(place, role, database):
    """Airflow's and the ledger's tables are none of the shop's business."""
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(feed.address(place, role).replace("/clickstream?", f"/{database}?"))


def test_a_role_of_the_shop_shows_its_password(place):
    """Reaching the socket is not enough; the file that holds the passwords is its owner's."""
    wrong = feed.address(place, feed.READER).replace(f"{feed.READER}:", f"{feed.READER}:x")

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    assert place.secrets.stat().st_mode & 0o777 == 0o600
    assert credentials.keys(place)[feed.WRITER] != credentials.keys(place)[feed.READER]


def test_the_stacks_file_leads_the_command_line_to_the_shop(fed, place):
    """As soon as there is a feed, and with the reader's rights."""
    environment.write_stack_env(place, weeks=1)
    text = place.stack_env.read_text()

    assert "PERENNIAL_LIVE='clickstream'" in text
    assert f"PERENNIAL_CONN_CLICKSTREAM='{feed.address(place, feed.READER)}'" in text
    assert credentials.keys(place)[feed.WRITER] not in text


def test_scores_are_held_against_the_truth(fed, place, tmp_path):
    """True probabilities as scores go all of the way; the same for everybody goes nothing of it."""
    case, lake, day = read_folder(USE_CASES / "visitor_conversion"), Lake(tmp_path), TODAY - timedelta(days=3)
    truth = feeds.truth(feed.address(place, feed.WRITER), day)
    chance = truth.column("probability").to_numpy()
    shares = []
    for scores in (chance, np.full(len(chance), chance.mean())):
        rows = pa.table({"visitor_id": truth.column("visitor_id"), "score": scores})
        lake.update_days(case.predictions_table, [day], lambda _, rows=rows: {day: rows}, metadata={})
        shares.append(fed.nearness(case, lake, [day])[day].share)

    assert shares == pytest.approx([1.0, 0.0], abs=1e-9)


def test_the_demonstration_takes_its_days_from_where_the_use_case_reads(fed, place):
    """From the feed where the use case reads it, else from the replayed year."""
    settings = Settings(home=place.home)
    live, replayed = (demo.shop_of(read_folder(USE_CASES / name), place, settings) for name in
                      ("visitor_conversion", "conversion"))  # fmt: skip

    assert isinstance(live, feed.Fed)
    assert live.changed() == live.change([]) == fed.feed.change
    assert live.tell(fed.feed.change).startswith("SIMULATED: ")
    assert isinstance(replayed, injection.Replayed)
    assert replayed.changed() is None


def test_what_is_fed_stays_over_a_restart_and_says_what_changed(place):
    """The file of the first start decides; the changed days are those up to the day before it."""
    begun = feed.Feed.beginning(date(2026, 1, 1), yesterday=date(2026, 4, 9), changed=date(2026, 4, 3))
    other = Layout(place.home / "elsewhere", airflow_port=1, mlflow_port=2, smtp_port=3)
    other.make_folders()
    feed.keep(other, begun)

    assert feed.read(other) == begun
    assert [str(begun.change.days[0]), str(begun.change.days[-1])] == ["2026-04-03", "2026-04-09"]
    assert "simulated" in begun.change.what
    assert isinstance(begun.world, World)
