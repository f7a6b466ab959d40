"""The ledger under many writers and in the production profile: one chain, and a role that can only look and append."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, date, datetime

import compose
import pytest
import servers
import sqlalchemy as sa
from incidents import finding
from perennial.errors import LedgerError, RefusedError
from perennial.io.ledger import Entry, Ledger
from perennial.io.mails import Mail
from perennial.io.outbox import Outbox
from perennial.records import AlertRecord
from test_compose import VALUES, free_ports

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)
WRITERS, EACH = 8, 25


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of an empty ledger on each of the two databases."""
    folder = tmp_path_factory.mktemp("l")
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'ledger.db'}"
        return
    with servers.postgres(folder) as address:
        yield address


def entry(version: str, who: str, action: str = "promoted") -> Entry:
    """Return an entry about the case `toy`."""
    return Entry("toy", NOW, action, who, "because", "manual", to_version=version)  # type: ignore[arg-type]


def write(url: str, who: str, start: object) -> None:
    """Append entries as fast as it goes; run in a process of its own."""
    ledger = Ledger(url)
    start.wait()  # type: ignore[attr-defined]
    for number in range(EACH):
        ledger.add(entry(str(number), who, "evaluated"), once=f"once {number}" if number % 5 == 0 else None)


def crown(url: str, who: str, start: object, won: object) -> None:
    """Try to make a champion after the first one."""
    ledger = Ledger(url)
    first = ledger.latest_promotion("toy")
    start.wait()  # type: ignore[attr-defined]
    try:
        ledger.crown(entry(who, who), after=first)
    except RefusedError:
        return
    won.put(who)  # type: ignore[attr-defined]


def processes(target: object, url: str, *more: object) -> None:
    """Run eight writers at once, to their end."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(WRITERS)
    running = [
        context.Process(target=target, args=(url, str(number), start, *more))  # type: ignore[arg-type]
        for number in range(2, WRITERS + 2)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0] * WRITERS


def test_eight_processes_write_one_chain(url: str) -> None:
    """Every entry is there once, and what may happen once has happened once."""
    Ledger(url).upgrade()
    processes(write, url)
    found = Ledger(url).check()

    assert found.faults == ()
    assert found.entries == WRITERS * (EACH - EACH // 5) + EACH // 5
    assert list(found.places.values()) == list(range(1, found.entries + 1))


def test_of_eight_promotions_upon_the_same_champion_one_wins(url: str) -> None:
    """Whoever comes first; the others are refused and write nothing."""
    Ledger(url).upgrade()
    Ledger(url).add(entry("1", "ada"))
    won: multiprocessing.queues.Queue[str] = multiprocessing.get_context("spawn").Queue()
    processes(crown, url, won)

    assert Ledger(url).champion("toy") == won.get(timeout=5)
    assert won.empty()
    assert len(Ledger(url).reigns("toy")) == 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[compose.Site]:
    """Return the production profile's database, made by the file's own SQL, with the ledger that its job makes."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "state").mkdir()
    site = compose.Site(
        compose.services(VALUES), folder, ports={"postgres": free_ports(1)[0]}, use_cases=folder / "use_cases"
    )
    try:
        site.start_postgres()
        Ledger(site.environment("init")["PERENNIAL_LEDGER_URL"]).upgrade()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def application(site: compose.Site) -> str:
    """Return the address that every worker has."""
    address = site.environment("worker")["PERENNIAL_LEDGER_URL"]
    assert "//perennial:" in address
    assert {site.environment(name).get("PERENNIAL_LEDGER_URL") for name in site.services if name != "init"} <= {
        address,
        None,
    }
    return address


def test_the_application_looks_and_appends(application: str) -> None:
    """That is all it has to do; an upgrade that has nothing to do is no change."""
    ledger = Ledger(application)
    ledger.upgrade()
    ledger.add(entry("1", "ada"))
    ledger.save_alert(AlertRecord("toy", "drifted", DAY, DAY, "Look", ("ops@example.org",), NOW))
    ledger.add_monitor(finding(DAY, "feed"), at=NOW, run="run 1")

    assert ledger.champion("toy") == "1"
    assert [each.measure.about for each in ledger.measures("toy")] == ["feed"]
    assert ledger.check().faults == ()


def test_the_application_puts_mails_into_the_outbox_and_sends_them(application: str) -> None:
    """Looking and appending is enough for that too: what went out is an entry of the mails, not a change."""
    outbox, took = Outbox(Ledger(application)), list[Mail]()
    outbox.put(Mail(("ops@example.org",), "Look", "<p>Look</p>", "Look"), case="toy", topic="entry 1", at=NOW)
    (waiting,) = outbox.waiting("toy")

    assert outbox.send(waiting, took.append, now=NOW) is not None
    assert (outbox.waiting("toy"), len(took)) == ((), 1)


FORBIDDEN = [
    "update {} set \"case\" = 'other'",
    "delete from {}",
    "truncate {}",
    "drop table {}",
    "alter table {} disable trigger all",
    "alter table {} owner to perennial",
    "create table public.another (id integer)",
    "set role ledger_owner",
    "create role another",
]


@pytest.mark.parametrize(
    "table", ["ledger_entries", "ledger_monitors", "ledger_alerts", "ledger_measures", "ledger_outbox"]
)
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_can_neither_change_a_row_nor_lift_what_forbids_it(
    application: str, statement: str, table: str
) -> None:
    """The server denies it to the role, before any trigger is asked."""
    engine = sa.create_engine(application)

    with (
        pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"),
        engine.begin() as connection,
    ):
        connection.execute(sa.text(statement.format(table)))
    engine.dispose()


@pytest.mark.parametrize("role", ["airflow", "mlflow"])
def test_the_other_roles_do_not_even_see_the_ledger(site: compose.Site, role: str) -> None:
    """Whoever has the password of another database cannot open this one."""
    password = VALUES[f"{role.upper()}_DB_PASSWORD"]

    with pytest.raises(LedgerError, match="permission denied for database"):
        Ledger(f"postgresql://{role}:{password}@127.0.0.1:{site.ports['postgres']}/perennial").history()


def test_the_owner_is_held_by_the_triggers(site: compose.Site) -> None:
    """Its password is the job's alone, and even it has to lift a trigger first."""
    engine = sa.create_engine(site.environment("init")["PERENNIAL_LEDGER_URL"])

    with pytest.raises(sa.exc.InternalError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text("delete from ledger_entries"))
    engine.dispose()
