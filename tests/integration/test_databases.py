"""Sources in real databases: read by bound windows, in bounded memory, with errors that show no password."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa
import toy
from perennial.adapters import Adapters
from perennial.errors import DataError, SetupError, SourceError
from perennial.io.databases import normalised
from perennial.io.sources import Sources
from perennial.settings import Settings
from servers import mariadb, postgres

pytestmark = pytest.mark.integration
DAY = date(2026, 1, 10)
WRONG = "hunter2/&"
QUERY = (
    "select order_id, customer, amount, paid, ordered_at from orders where ordered_at >= :start and ordered_at < :end"
)
COLUMNS = {
    "order_id": "integer", "customer": "integer", "amount": "number", "paid": "boolean", "ordered_at": "timestamp",
}  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A database to read: how it is reached, and how it spells its types."""

    url: str
    timestamp: str
    amount: str = "numeric(12, 2)"

    @contextmanager
    def session(self) -> Iterator[sa.Connection]:
        """Give a connection that may write."""
        engine = sa.create_engine(normalised(self.url).set(drivername=self.driver), poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    @property
    def driver(self) -> str:
        """Return SQLAlchemy's driver for writing."""
        name = normalised(self.url).drivername
        return "postgresql+psycopg2" if name == "postgresql" else name


@pytest.fixture(scope="session")
def servers(tmp_path_factory, program) -> Iterator[dict[str, Server]]:
    """Give a PostgreSQL, a MariaDB and a SQLite of this run's own."""
    folder = tmp_path_factory.mktemp("db")
    with postgres(folder / "pg") as pg_url, mariadb(folder / "my", program) as my_url:
        yield {
            "postgresql": Server(pg_url, "timestamptz"),
            "mariadb": Server(my_url, "datetime(6)"),
            "sqlite": Server(f"sqlite:///{folder / 'shop.db'}", "timestamp", "real"),
        }


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def server(request, servers) -> Server:
    """Return each of the databases in turn, with 40 days of orders."""
    chosen = servers[request.param]
    fill(chosen)
    return chosen


def order_rows(days: int = 40) -> list[dict[str, object]]:
    """Return 24 orders a day, on the hour; none on the tenth day but one."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [hour for hour in range(days * 24) if hour // 24 != 10]
    return [
        {"i": hour, "c": hour % 7, "a": hour / 4, "p": hour % 2 == 0, "at": start + timedelta(hours=hour)}
        for hour in hours
    ]


def fill(server: Server, rows: list[dict[str, object]] | None = None) -> None:
    """Write the table `orders` anew."""
    rows = order_rows() if rows is None else rows
    if server.driver != "postgresql+psycopg2":
        rows = [{**row, "at": row["at"].replace(tzinfo=None)} for row in rows]
    with server.session() as session:
        session.execute(sa.text("drop table if exists orders"))
        session.execute(
            sa.text(
                f"create table orders (order_id bigint, customer int, amount {server.amount}, paid boolean, "
                f"ordered_at {server.timestamp})"
            )
        )
        insert = sa.text("insert into orders values (:i, :c, :a, :p, :at)").bindparams(
            sa.bindparam("at", type_=sa.DateTime(timezone=True))
        )
        session.execute(insert, rows)


def declared_by(query: str = QUERY, **fields: object):
    """Return the shop's spec with its orders in the database `warehouse`."""
    declared = toy.spec()
    orders = declared["sources"][0]
    del orders["files"]
    orders |= {"database": {"connection": "warehouse", "query": "orders_query.sql"}, "columns": COLUMNS} | fields
    return declared, query


@pytest.fixture
def make_case(tmp_path):
    """Return a builder of shops whose orders lie in a database."""

    def make(query: str = QUERY, **fields: object):
        declared, text = declared_by(query, **fields)
        folder = tmp_path / "use_cases" / "shop"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orders_query.sql").write_text(text)
        return toy.shop(tmp_path / "use_cases", declared=declared)

    return make


def sources_of(server: Server) -> Sources:
    """Return sources whose every connection is this server."""
    return Sources(connections=lambda _: server.url)


def test_a_day_is_read_under_the_contract(server, make_case):
    """The window is half-open; whatever the database calls its types, the contract's come out."""
    case = make_case()

    rows = sources_of(server).read_day(case, case.source("orders"), DAY)

    assert rows.column("order_id").to_pylist() == list(range(9 * 24, 10 * 24))
    assert rows.column("amount").to_pylist()[:2] == [54.0, 54.25]
    assert rows.column("paid").to_pylist()[:2] == [True, False]
    assert rows.column("ordered_at")[0].as_py() == datetime(2026, 1, 10, tzinfo=UTC)
    assert [str(field.type) for field in rows.schema] == ["int64", "int64", "double", "bool", "timestamp[us, tz=UTC]"]


def test_many_days_in_one_query_are_the_same_as_each_by_itself(server, make_case):
    """Also the day without rows between others, and days with a gap between them."""
    case = make_case()
    source, sources = case.source("orders"), sources_of(server)
    days = [date(2026, 1, 8) + timedelta(days=offset) for offset in (0, 1, 2, 3, 4, 9, 10)]

    together = {each.day: each.rows for each in sources.read_days(case, source, days)}

    assert list(together) == days
    assert together[date(2026, 1, 11)].num_rows == 0
    for day in days:
        assert together[day].equals(sources.read_day(case, source, day))


def test_days_that_have_not_arrived_are_refused_after_those_that_have(server, make_case):
    """The last day with orders is the ninth of February."""
    case = make_case()
    days = [date(2026, 2, 8), date(2026, 2, 9), date(2026, 2, 10)]
    read = sources_of(server).read_days(case, case.source("orders"), days)

    assert [next(read).rows.num_rows for _ in range(2)] == [24, 24]
    with pytest.raises(DataError, match=r"no rows for 2026-02-10 and none later: the day has not arrived"):
        next(read)


def test_a_reference_table_is_read_whole_without_a_window(server, make_case):
    """Its query takes no parameter."""
    case = make_case("select distinct customer from orders", time_column=None, keys=["customer"],
                     columns={"customer": "integer"})  # fmt: skip

    assert sorted(sources_of(server).read_day(case, case.source("orders"), DAY).column("customer").to_pylist()) == [
        *range(7)
    ]


def test_the_window_is_bound_and_no_part_of_the_text(server, make_case):
    """Colons in texts, casts and comments are none of it, and a comment may end the query."""
    query = "select o.*, '12:30 %' as note from orders o where ordered_at >= :start and ordered_at < :end -- at :end;"
    case = make_case(query, columns={**COLUMNS, "note": "string"})

    rows = sources_of(server).read_day(case, case.source("orders"), DAY)

    assert set(rows.column("note").to_pylist()) == {"12:30 %"}


def test_a_query_cannot_write(servers, make_case):
    """The session only reads; here a function of PostgreSQL would have written."""
    with servers["postgresql"].session() as session:
        session.execute(sa.text("create sequence if not exists counted"))
    case = make_case(f"{QUERY} and nextval('counted') > 0")
    fill(servers["postgresql"])

    with pytest.raises(DataError, match="read-only"):
        sources_of(servers["postgresql"]).read_day(case, case.source("orders"), DAY)


def test_a_query_that_does_not_run_names_the_file_and_what_the_database_says(server, make_case):
    """The author of the query can fix it."""
    case = make_case("select * from ordres where ordered_at >= :start and ordered_at < :end")

    with pytest.raises(DataError, match=r"orders_query.sql of source 'orders' does not run .*ordres.* Correct"):
        sources_of(server).read_day(case, case.source("orders"), DAY)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({**COLUMNS, "voucher": "string"}, r"'orders' has lost its column 'voucher'"),
        ({**COLUMNS, "customer": "string"}, r"Column 'customer' of source 'orders' is (INTEGER|BIGINT), declared as"),
    ],
)
def test_a_column_that_is_gone_or_of_another_type_is_named(server, make_case, columns, message):
    """The contract holds for databases as for files."""
    case = make_case(columns=columns)

    with pytest.raises(DataError, match=message):
        sources_of(server).read_day(case, case.source("orders"), DAY)


def test_a_retyped_column_keeps_the_values_that_lose_nothing(server, make_case):
    """The others take their rows into the rejected records, with the row's text."""
    case = make_case(
        "select order_id, case when order_id % 2 = 0 then '7' else 'seven' end as amount, ordered_at from orders "
        "where ordered_at >= :start and ordered_at < :end",
        columns={"order_id": "integer", "amount": "number", "ordered_at": "timestamp"},
        schema_changes={"retyped": "add"},
    )

    (delivery,) = sources_of(server).read_days(case, case.source("orders"), [DAY])

    assert delivery.rows.column("amount").to_pylist() == [7.0] * 12
    assert set(delivery.rejected.column("reason").to_pylist()) == {"amount is no number"}
    assert json.loads(delivery.rejected.column("payload")[0].as_py())["amount"] == "seven"
    assert "column 'amount' is VARCHAR, declared as number" in delivery.notices[0]


def test_local_times_are_read_into_the_days_of_utc(server, make_case):
    """Berlin is an hour ahead in January: the UTC day begins at one o'clock there."""
    cast = {"postgresql+psycopg2": "at_berlin::timestamp"}.get(server.driver, "at_berlin")
    case = make_case(f"select order_id, {cast} as ordered_at from berlin where {cast} >= :start and {cast} < :end",
                     time_zone="Europe/Berlin", columns={"order_id": "integer", "ordered_at": "timestamp"})  # fmt: skip
    kind = "datetime" if server.driver == "mariadb+pymysql" else "timestamp"
    with server.session() as session:
        session.execute(sa.text("drop table if exists berlin"))
        session.execute(sa.text(f"create table berlin (order_id int, at_berlin {kind})"))
        for number, clock in enumerate(["2026-01-10 00:59:59", "2026-01-10 01:00:00", "2026-01-11 00:59:59"]):
            session.execute(sa.text(f"insert into berlin values ({number}, '{clock}')"))
        session.execute(sa.text("insert into berlin values (3, '2026-01-11 01:00:00')"))

    days = [date(2026, 1, 9), DAY, date(2026, 1, 11)]
    together = [
        each.rows.column("order_id").to_pylist()
        for each in sources_of(server).read_days(case, case.source("orders"), days)
    ]

    assert together == [[0], [1, 2], [3]]
    assert sources_of(server).read_day(case, case.source("orders"), DAY).column("order_id").to_pylist() == [1, 2]


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_wrong_password_is_not_shown(servers, make_case, name):
    """Whoever reads the log learns the connection's name, neither user nor password."""
    case = make_case()
    with servers[name].session() as session:
        for statement in PASSWORD_USERS[name]:
            session.execute(sa.text(statement))
    url = sa.make_url(servers[name].url).set(username="accountant", password=WRONG)
    sources = Sources(connections=lambda _: url.render_as_string(hide_password=False))

    with pytest.raises(SourceError, match=r"'orders' cannot read connection 'warehouse'") as raised:
        sources.read_day(case, case.source("orders"), DAY)

    assert not {"hunter2", "accountant"} & set(str(raised.value).replace("'", " ").replace('"', " ").split())
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None


PASSWORD_USERS = {
    "postgresql": ["drop role if exists accountant", "create role accountant login password 'right'"],
    "mariadb": ["create or replace user accountant@localhost identified by 'right'"],
}


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret@127.0.0.1:1/shop", "mysql://u:secret@127.0.0.1:1/shop", "sqlite:////no/such/file.db"]
)
def test_a_server_that_is_down_is_an_operators_matter(make_case, url):
    """A task tries it again."""
    case = make_case()

    with pytest.raises(SourceError, match="connection 'warehouse'") as raised:
        Sources(connections=lambda _: url).read_day(case, case.source("orders"), DAY)

    assert "secret" not in str(raised.value)


DROPS = {
    "postgresql": "select pg_terminate_backend(pid) from pg_stat_activity where query like '%source_rows%' "
    "and pid <> pg_backend_pid()",
    "mariadb": "select concat('kill ', id) from information_schema.processlist where id <> connection_id()",
}


@pytest.mark.parametrize("name", DROPS)
def test_a_connection_that_drops_in_the_middle_gives_no_half_day(servers, make_case, name):
    """The days before it were given whole; the day it happened in is not given at all."""
    case, server = make_case(columns=dict(list(COLUMNS.items())[:2]) | {"ordered_at": "timestamp"}), servers[name]
    fill_large(server)
    days = [date(2026, 1, 1) + timedelta(days=offset) for offset in range(30)]
    read = sources_of(server).read_days(case, case.source("orders"), days)
    given = [next(read)]

    with server.session() as session:
        for (found,) in session.execute(sa.text(DROPS[name])).fetchall():
            if name == "mariadb":
                session.exec_driver_sql(found)
    with pytest.raises(SourceError, match=r"cannot read connection 'warehouse'"):
        given.extend(read)

    assert 1 <= len(given) < 30
    assert {each.rows.num_rows for each in given} == {34_560}


def fill_large(server: Server) -> None:
    """Write an order each 2.5 seconds of 30 days, a million and 36,800, in wide rows."""
    rows = "select {n}, 5, 1.5, true, {at}, repeat('x', 200) from {series}"
    if server.driver == "postgresql+psycopg2":
        made = rows.format(n="g", at="timestamptz '2026-01-01Z' + g * interval '2.5 seconds'",
                           series="generate_series(0, 1036799) g")  # fmt: skip
    else:
        made = rows.format(n="seq", at="timestamp '2026-01-01 00:00:00' + interval seq * 2500000 microsecond",
                           series="seq_0_to_1036799")  # fmt: skip
    with server.session() as session:
        session.execute(sa.text("drop table if exists orders"))
        session.execute(sa.text(
            f"create table orders (order_id bigint, customer int, amount {server.amount}, paid boolean, "
            f"ordered_at {server.timestamp}, note varchar(300))"
        ))  # fmt: skip
        session.exec_driver_sql(f"insert into orders {made}")
        session.execute(sa.text("create index orders_at on orders (ordered_at)"))


READER = """
import resource, sys
from datetime import date, timedelta
from pathlib import Path
from perennial.catalog import read_folder
from perennial.io.sources import Sources

case = read_folder(Path(sys.argv[1]))
days = [date(2026, 1, 1) + timedelta(days=each) for each in range(int(sys.argv[3]))]
read = Sources(connections=lambda _: sys.argv[2]).read_days(case, case.source("orders"), days)
rows = [delivery.rows.num_rows for delivery in read]
print(sum(rows), len(rows), max(rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(("name", "few", "many"), [("postgresql", 10, 30), ("mariadb", 10, 20)])
def test_a_million_rows_need_no_more_memory_than_a_few_days_of_them(servers, make_case, tmp_path, name, few, many):
    """A day is 8 MB as Arrow, all 30 are 250; reading more than ten in one query may take 30 MB more than reading ten.

    Until about the tenth day the allocators of Arrow and DuckDB still grow.
    """
    make_case("select * from orders where ordered_at >= :start and ordered_at < :end",
              columns={**COLUMNS, "note": "string"})  # fmt: skip
    fill_large(servers[name])
    peaks = []
    for days in (few, many):
        command = [sys.executable, "-c", READER, str(tmp_path / "use_cases" / "shop"), servers[name].url, str(days)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        rows, given, largest, peak = map(int, done.stdout.split())
        assert (rows, given, largest) == (days * 34_560, days, 34_560)
        peaks.append(peak)

    assert peaks[1] - peaks[0] < 30, peaks


def test_a_connection_is_found_by_its_name(make_case, tmp_path, monkeypatch, servers):
    """The project's own variable comes before Airflow's; without either the error says what to set."""
    case = make_case()
    fill(servers["sqlite"])
    adapters = Adapters(Settings(home=tmp_path / "home"))
    with pytest.raises(SetupError, match=r"no connection 'warehouse'\. Set PERENNIAL_CONN_WAREHOUSE"):
        adapters.sources.read_day(case, case.source("orders"), DAY)

    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "nonsense")
    with pytest.raises(SetupError, match=r"address of connection 'warehouse'.* cannot be understood") as raised:
        adapters.sources.read_day(case, case.source("orders"), DAY)
    assert "nonsense" not in str(raised.value)

    monkeypatch.setenv("PERENNIAL_CONN_WAREHOUSE", servers["sqlite"].url)
    assert adapters.sources.read_day(case, case.source("orders"), DAY).num_rows == 24


def test_hashed_columns_join_across_databases_and_files(server, make_case, tmp_path):
    """A customer's number gives the same hash as an integer, as a float and as text."""
    case = make_case(columns={**COLUMNS, "customer": "string"}, personal={"customer": "hash"})
    sources = Sources(connections=lambda _: server.url, personal_key="a key")

    hashed = sources.read_day(case, case.source("orders"), DAY).column("customer").to_pylist()

    assert set(hashed) == {sources._hasher.digest(case.source("orders"), str(each)) for each in range(7)}
    assert pa.types.is_string(sources.read_day(case, case.source("orders"), DAY).schema.field("customer").type)
