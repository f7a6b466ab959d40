"""After forgetting, no byte below the lake holds the id: not in a data file, and not in what the log says of one."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import toy
from deltalake import DeltaTable, write_deltalake
from fakes import FakeRegistry
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.errors import LakeError
from perennial.io import deltalog
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import features, forget, ingest

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=40)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVER = Window(toy.FIRST, DAY + timedelta(days=1))
TABLES = ("raw/shop/orders", "raw/shop/customers", "features/shop")
# The least id of all and the greatest: as text longer than what Delta keeps of one, and as a number.
NAMES = {"text": ("0" * 40 + "@example.org", "~" * 40 + "@example.org"), "number": ("-987654321", "987654321987")}
Killed = type("Killed", (BaseException,), {"__doc__": "Stands for a process that ends here."})


def opened(home: Path) -> Adapters:
    """Return adapters with a registry in memory."""
    adapters = toy.adapters(home)
    adapters.__dict__["registry"] = FakeRegistry()
    return adapters


def renamed(column: pa.ChunkedArray, kind: str) -> pa.Array:
    """Return ids of a kind, of which customers 0 and 1 have the two that are asked to be forgotten."""
    first, second = NAMES[kind]
    spelled = [{0: first, 1: second}.get(each, f"{each + 5000}") for each in column.to_pylist()]
    return pa.array(spelled) if kind == "text" else pa.array([int(each) for each in spelled], pa.int64())


def lived(root: Path, kind: str) -> tuple[UseCase, Adapters]:
    """Return a shop with days built in several versions; the two order on DAY alone. Each table has a checkpoint."""
    declared = toy.spec()
    for source in declared["sources"]:
        source["columns"]["customer"] = "string" if kind == "text" else "integer"
    orders = toy.order_rows()
    at_last = pc.equal(pc.cast(orders["ordered_at"], pa.date32()), DAY)
    others = orders.filter(pc.or_(pc.greater(orders["customer"], 1), at_last))
    of_day = others.filter(pc.equal(pc.cast(others["ordered_at"], pa.date32()), DAY))
    own = of_day.slice(0, 2).set_column(1, "customer", pa.array([0, 1]))
    own = own.set_column(0, "order_id", pa.array([900_001, 900_002]))
    rows = pa.concat_tables([others.filter(pc.greater(others["customer"], 1)), own])
    folder = toy.write_shop(root / "cases", declared=declared)
    known = {"orders": rows, "customers": toy.customer_rows()}
    for name, table in known.items():
        at = table.schema.get_field_index("customer")
        pq.write_table(table.set_column(at, "customer", renamed(table["customer"], kind)), folder / f"{name}.parquet")
    case, adapters = read_folder(folder), opened(root / "home")
    adapters.ledger.upgrade()
    for offset in (2, 1, 0):
        ingest.run(case, DAY - timedelta(days=offset), adapters)
        features.run(case, DAY - timedelta(days=offset), adapters)
    for table in TABLES:
        by_another_writer(adapters.lake.root / table)
        DeltaTable(str(adapters.lake.root / table)).create_checkpoint()
    return case, adapters


def by_another_writer(folder: Path) -> None:
    """Write the last day again with the same rows, as a compaction does: Delta's own writer keeps values in the log."""
    table = DeltaTable(str(folder))
    rows = table.to_pyarrow_table()
    last = pc.max(rows["day"])
    write_deltalake(table, rows.filter(pc.equal(rows["day"], last)), mode="overwrite", predicate=f"day = '{last}'")


@pytest.fixture(scope="module", params=sorted(NAMES))
def first_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a shop that the tests copy, and of which kind its ids are."""
    folder = tmp_path_factory.mktemp("first")
    lived(folder, request.param)
    return folder, request.param


@pytest.fixture
def shop_with(
    first_shop: tuple[Path, str], tmp_path: Path
) -> Callable[[str], tuple[UseCase, Adapters, tuple[str, str]]]:
    """Return a function that makes a copy of the shop by a name."""
    folder, kind = first_shop

    def copied(name: str) -> tuple[UseCase, Adapters, tuple[str, str]]:
        shutil.copytree(folder / "home", tmp_path / name)
        return read_folder(folder / "cases" / "shop"), opened(tmp_path / name), NAMES[kind]

    return copied


def traces(root: Path, entity: str) -> list[str]:
    """Return every file below the lake that holds the id: in its bytes, in its rows, or in its footer."""
    needles = [entity[:30].encode()]
    if entity.lstrip("-").isdigit():
        needles.append(struct.pack("<q", int(entity)))
    found = []
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        told = path.read_bytes()
        if ".parquet" in path.name:
            table = pq.read_table(path, partitioning=None)
            told += json.dumps(table.to_pylist(), default=str).encode() + str(pq.read_metadata(path).to_dict()).encode()
        if any(needle in told for needle in needles):
            found.append(str(path.relative_to(root)))
    return found


def ask(case: UseCase, adapters: Adapters, entity: str) -> Any:
    """Forget an entity."""
    return forget.run(case, entity, adapters, who="ada", reason="request 12", now=NOW)


def versions(adapters: Adapters) -> dict[tuple[str, int], list[str]]:
    """Return the rows of each version that can be read."""
    found = {}
    for table in TABLES:
        for number in range(1, (adapters.lake.version(table) or 0) + 1):
            try:
                rows = adapters.lake.read(table, EVER, version=number)
            except (FileNotFoundError, LakeError):
                continue
            found[table, number] = sorted(map(str, rows.to_pylist()))
    return found


def test_no_file_of_any_version_holds_the_id(shop_with):
    """Data files, commits and checkpoints, in their bytes and as they are read; both ends of the statistics."""
    case, adapters, (least, greatest) = shop_with("whole")
    root = adapters.lake.root
    named = {Path(path).suffix for path in traces(root, least)}
    parts = [path for path in traces(root, greatest) if "checkpoint" in path]
    before, held = versions(adapters), {table: adapters.lake.held(table) for table in TABLES}

    assert named == {".json", ".parquet"}
    assert len(parts) == 3
    ask(case, adapters, least)
    assert traces(root, least) == []
    assert traces(root, greatest) != []
    ask(case, adapters, greatest)
    assert traces(root, greatest) == []

    after = versions(adapters)
    kept = {key: rows for key, rows in after.items() if key in before}
    assert kept == {key: before[key] for key in kept}
    assert ("raw/shop/orders", 1) in kept
    assert {table: max(number for name, number in after if name == table) for table in TABLES} == {
        table: adapters.lake.version(table) for table in TABLES
    }
    assert set(held["features/shop"]) == set(adapters.lake.held("features/shop"))


def test_the_lake_goes_on_after_it(shop_with):
    """The days are read and built again, a checkpoint is written, and nothing comes back."""
    case, adapters, (least, _) = shop_with("on")
    ask(case, adapters, least)
    ingest.run(case, DAY, adapters)
    features.run(case, DAY, adapters)
    for table in TABLES:
        DeltaTable(str(adapters.lake.root / table)).create_checkpoint()

    assert traces(adapters.lake.root, least) == []


def test_a_kill_at_any_step_is_mended_by_asking_again(shop_with, monkeypatch):
    """Before each file that would be deleted or replaced in turn; in between every table can be read."""
    interrupted = 0
    while True:
        case, adapters, (least, _) = shop_with(f"killed{interrupted}")
        left = interrupted

        def counted(self: Path, *arguments: Any, real: Callable[..., Any], **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(self, *arguments, **options)

        with monkeypatch.context() as patch:
            for name in ("unlink", "replace"):
                real = getattr(Path, name)
                patch.setattr(Path, name, lambda self, *a, real=real, **o: counted(self, *a, real=real, **o))
            try:
                ask(case, adapters, least)
            except Killed:
                pass
            else:
                break
        for table in TABLES:
            adapters.lake.read(table, EVER)
        ask(case, adapters, least)
        assert traces(adapters.lake.root, least) == [], interrupted
        interrupted += 1 if interrupted < 4 else 3
    assert interrupted > 8


def test_what_a_killed_writer_left_is_deleted_once_it_is_old(shop_with):
    """A data file without its name yet, and a log file that was to replace another; a writer at work is left alone."""
    case, adapters, (least, _) = shop_with("left")
    day = adapters.lake.root / "raw/shop/orders" / f"day={DAY}"
    whole = next(day.glob("*.parquet"))
    old, new = day / "part-1.parquet#1", day / "part-2.parquet#1"
    half = adapters.lake.root / "raw/shop/orders" / deltalog.LOG / f"{deltalog.UNFINISHED}x"
    for path in (old, new, half):
        shutil.copy(whole, path)
        os.utime(path, (0, 0) if path != new else (NOW.timestamp(), NOW.timestamp()))
    ask(case, adapters, least)

    assert [path.exists() for path in (old, half, new)] == [False, False, True]
