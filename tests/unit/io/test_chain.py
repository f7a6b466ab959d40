"""The chain of the ledger: what an entry's hash is made of, and that every kind of change is found and named."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from perennial.io import chain
from perennial.io.ledger import Entry, Ledger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRIGGERS = ("ledger_entries_no_update", "ledger_entries_no_delete")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return a ledger of six entries; the fourth says that version 4 was promoted."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    for number in range(1, 7):
        ledger.add(Entry("toy", NOW, "promoted", "ada", "because", "manual", None, str(number)))
    return ledger


@pytest.fixture
def change(ledger: Ledger, tmp_path: Path) -> Callable[..., None]:
    """Return somebody who holds the file, and therefore no trigger."""

    def change(*statements: str) -> None:
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            for statement in (*(f"drop trigger if exists {name}" for name in TRIGGERS), *statements):
                connection.execute(statement)
        connection.close()

    return change


def forge(tmp_path: Path, number: int, **said: Any) -> None:
    """Change what an entry says and give it the hash that fits."""
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("select * from ledger_entries where id = ?", [number]).fetchone()) | said
        row |= {name: datetime.fromisoformat(row[name]) for name in ("at", "recorded_at")}
        names = ", ".join(f'"{name}" = ?' for name in said)
        values = [*said.values(), chain.digest(row), number]
        connection.execute(f"update ledger_entries set {names}, hash = ? where id = ?", values)  # noqa: S608
    connection.close()


def test_a_hash_can_be_worked_out_by_hand():
    """The documented form, written out, under plain SHA-256: an auditor needs none of this code."""
    row = {
        "id": 2, "case": "toy", "at": NOW, "recorded_at": datetime(2026, 3, 1, 12, 0, 1), "day": date(2026, 2, 1),  # noqa: DTZ001
        "action": "promoted", "from_version": None, "to_version": "7", "who": "Žofie", "reason": "so", "run": "r",
        "report": "{}", "once": None, "previous": "ab", "hash": "not looked at",
    }  # fmt: skip
    text = (
        '{"action":"promoted","at":"2026-03-01T12:00:00.000000+00:00","case":"toy","day":"2026-02-01",'
        '"from_version":null,"id":2,"once":null,"previous":"ab","reason":"so",'
        '"recorded_at":"2026-03-01T12:00:01.000000+00:00","report":"{}","run":"r","to_version":"7",'
        '"who":"\\u017dofie"}'
    )

    assert chain.canonical(row) == text
    assert chain.digest(row) == hashlib.sha256(text.encode()).hexdigest()


def test_each_entry_carries_the_hash_of_the_one_before(ledger: Ledger):
    """The first one carries zeros."""
    written = ledger.history()[::-1]

    assert [each.id for each in written] == [1, 2, 3, 4, 5, 6]
    assert [each.previous for each in written] == ["0" * 64, *(each.hash for each in written[:-1])]
    found = ledger.check()
    assert (found.entries, found.faults, found.newest) == (6, (), f"6:{written[-1].hash}")


EDITS = {
    "action": "'evaluated'", "at": "'2026-03-01 12:00:00.000001'", "case": "'other'", "day": "'2026-01-01'",
    "from_version": "'9'", "once": "'x'", "reason": "'Because'", "recorded_at": "'2020-01-01 00:00:00'",
    "report": "'{ }'", "run": "'auto'", "to_version": "'9'", "who": "'bob'",
}  # fmt: skip


@pytest.mark.parametrize("column", EDITS)
def test_an_edited_entry_is_named(ledger: Ledger, change: Callable[..., None], column: str):
    """Whatever column it is; the others are not blamed."""
    change(f'update ledger_entries set "{column}" = {EDITS[column]} where id = 4')  # noqa: S608

    (fault,) = ledger.check().faults
    assert fault.startswith("entry 4 (")
    assert "was edited" in fault


def test_every_column_is_in_the_hash(ledger: Ledger, tmp_path: Path):
    """But the hash itself: a column that a later version adds cannot be forgotten."""
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        columns = {row[1] for row in connection.execute("pragma table_info(ledger_entries)")}
    connection.close()

    assert columns == {*chain.COLUMNS, "hash"}
    assert columns - {"id", "previous", "hash"} == set(EDITS)


def test_an_edited_entry_with_a_new_hash_is_named_by_the_one_behind_it(
    ledger: Ledger, change: Callable[..., None], tmp_path: Path
):
    """Whoever knows the form can make the hash, but not the one that the next entry carries."""
    change()
    forge(tmp_path, 4, to_version="9")

    (fault,) = ledger.check().faults
    assert fault.startswith("entry 4 (toy: promoted, 2026-03-01 12:00 UTC) was put in another's place: entry 5")


@pytest.mark.parametrize(
    ("gone", "said"),
    [("= 4", "entry 4 was removed"), ("in (3, 4)", "entries 3 to 4 were removed"), ("= 1", "entry 1 was removed")],
)
def test_a_removed_entry_is_named(ledger: Ledger, change: Callable[..., None], gone: str, said: str):
    """By the numbers that are missing."""
    change(f"delete from ledger_entries where id {gone}")  # noqa: S608

    (fault,) = ledger.check().faults
    assert fault.startswith(said)


def test_a_removed_entry_whose_number_was_closed_is_found(ledger: Ledger, change: Callable[..., None], tmp_path: Path):
    """Entry 4 is gone and 5 has its number, and even a hash that fits it."""
    change("delete from ledger_entries where id = 4", "update ledger_entries set id = 4 where id = 5")
    forge(tmp_path, 4, run="manual")

    faults = ledger.check().faults
    assert any("is gone" in fault for fault in faults)


def test_reordered_entries_are_named(ledger: Ledger, change: Callable[..., None]):
    """Both of the two that changed places, whose numbers their hashes know, and where they stood."""
    change(
        "update ledger_entries set id = 99 where id = 3",
        "update ledger_entries set id = 3 where id = 4",
        "update ledger_entries set id = 4 where id = 99",
    )

    faults = ledger.check().faults
    assert [fault[:8] for fault in faults if "was edited" in fault] == ["entry 3 ", "entry 4 "]
    assert any("the order was changed" in fault for fault in faults)


def test_the_newest_entry_can_go_unseen_unless_its_hash_was_kept(ledger: Ledger, change: Callable[..., None]):
    """A chain has no end; a hash that somebody kept tells."""
    kept = ledger.check().newest
    assert kept is not None
    change("delete from ledger_entries where id = 6")
    found = ledger.check()

    assert found.faults == ()
    assert not found.knows(kept)
    assert not found.knows(kept.partition(":")[2])
    assert found.knows(str(found.newest))


def test_two_entries_cannot_follow_the_same_one(ledger: Ledger, change: Callable[..., None]):
    """The database itself refuses a fork."""
    names = ", ".join(f'"{name}"' for name in chain.COLUMNS if name != "id")
    copy = f"insert into ledger_entries (id, hash, {names}) select 7, 'x', {names} from ledger_entries where id = 6"  # noqa: S608

    with pytest.raises(sqlite3.IntegrityError, match=r"ledger_entries.previous"):
        change(copy)


def test_a_migrated_ledger_is_chained_in_the_order_it_was_written(tmp_path: Path):
    """Nothing is lost: the entries of a version without a chain get one, with their ids, and stay append-only."""
    path = tmp_path / "old.db"
    write_old_ledger(path)
    ledger = Ledger(f"sqlite:///{path}")
    found = ledger.check()

    assert (found.entries, found.faults) == (3, ())
    assert [(each.id, each.action, each.to_version) for each in ledger.history()] == [
        (7, "promoted", "2"), (3, "promoted", "1"), (1, "trained", "1")
    ]  # fmt: skip
    assert ledger.add(Entry("toy", NOW, "rolled back", "ada", "so", "manual", "2", "1")).id == 8
    assert ledger.check().faults == ()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), sqlite3.connect(path) as connection:
        connection.execute("delete from ledger_entries")
    connection.close()


def write_old_ledger(path: Path) -> None:
    """Write a ledger in the form of the first schema, whose ids have gaps."""
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config
    from perennial.io.engines import MIGRATIONS, VERSION_TABLE

    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
        command.upgrade(config, "0001")
        for number, action, version in ((1, "trained", "1"), (3, "promoted", "1"), (7, "promoted", "2")):
            values = {"id": number, "action": action, "version": version, "report": json.dumps({})}
            connection.execute(
                sa.text(
                    'insert into ledger_entries (id, "case", at, action, to_version, who, reason, run, report) '
                    "values (:id, 'toy', '2026-03-01 12:00:00.000000', :action, :version, 'ada', 'so', 'r', :report)"
                ),
                values,
            )
    engine.dispose()
