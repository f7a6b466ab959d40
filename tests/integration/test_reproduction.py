"""Reproduction on a real lake, registry and ledger: champions are rebuilt bit by bit, and what was changed is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import toy
from perennial.errors import DataError, NoModelError, NotReproducedError, RegistryError
from perennial.receipts import Receipt
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import features, maintain, promote, rebuild, reproduce, train
from test_model_loop import BOOSTED, LIGHT, LINEAR, NOW, TODAY, Shop, open_shop

pytestmark = pytest.mark.integration

STAGES = ["manifest", "definition", "sources", "features", "rows", "model", "predictions"]
SEARCHED = {
    "name": "searched",
    "estimator": "sklearn.linear_model.LogisticRegression",
    "search": {"C": {"low": 0.01, "high": 10.0, "log": True}},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop with a champion, version 1."""
    return crowned(open_shop(tmp_path_factory.mktemp("shop")))


def crowned(shop: Shop) -> Shop:
    """Return the shop with its first champion."""
    version = shop.evaluated(shop.challenger())
    promote.run(shop.case, version, shop.adapters, who="ada", reason="passed", now=NOW)
    return shop


def reproduced(shop: Shop, version: str = "1", *, today: UseCase | None = None) -> Receipt:
    """Return the receipt of a version, rebuilt in this process."""
    return reproduce.run(
        "shop",
        version,
        shop.adapters,
        rebuild=lambda name, number: rebuild.run(name, number, shop.adapters, today=today),
        code="abc123",
        who="ada",
        now=NOW,
    )


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """Let a file hold something else for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def raw_file(shop: Shop) -> Path:
    """Return a file of orders in the middle of the training's window."""
    (path,) = (shop.adapters.lake.root / "raw/shop/orders" / f"day={TODAY - timedelta(days=20)}").glob("*.parquet")
    return path


def kept_file(shop: Shop, version: str, name: str) -> Path:
    """Return where MLflow keeps a file of a version's run."""
    run_id = shop.adapters.registry.load("shop", version).run_id
    (path,) = (shop.folder / "home" / "mlartifacts").glob(f"**/{run_id}/artifacts/{name}")
    return path


def test_the_champion_is_rebuilt_and_the_receipt_is_kept(shop: Shop):
    """Seven stages, each equal; an entry of the ledger, a file of the run, a tag."""
    receipt = reproduced(shop, today=shop.case)
    entry = shop.adapters.ledger.latest("shop", "reproduced", version="1")

    assert [(each.stage, each.state) for each in receipt.outcomes] == [(stage, "equal") for stage in STAGES]
    assert all(each.recorded == each.found != "" for each in receipt.outcomes)
    assert entry is not None
    assert (entry.id, entry.who, entry.reason) == (receipt.entry, "ada", "rebuilt, every stage equal")
    assert [each["stage"] for each in entry.report["outcomes"]] == STAGES
    name = f"receipts/2026-04-01T000000Z-entry-{receipt.entry}.json"
    assert json.loads(shop.adapters.registry.file("shop", "1", name)) == receipt.to_json()
    receipt.raise_if_different()


@pytest.mark.parametrize("candidate", [LINEAR, BOOSTED, LIGHT, SEARCHED], ids=lambda each: each["name"])
def test_every_kind_of_model_is_rebuilt(shop: Shop, candidate: dict[str, Any]):
    """Searched parameters are taken from the manifest: nothing is searched again."""
    case = shop.with_candidates(candidate)
    version = train.run(case, TODAY, shop.adapters, run="test").version
    receipt = reproduced(shop, version, today=case)

    assert receipt.reason == "rebuilt, every stage equal"


def test_one_flipped_byte_in_a_raw_file_is_named(shop: Shop):
    """By its path; nothing behind the sources is looked at."""
    path = raw_file(shop)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with changed(path, bytes(content)):
        receipt = reproduced(shop)

    assert [each.stage for each in receipt.outcomes] == STAGES[:3]
    assert receipt.reason == f"sources differs: orders: {path.parent.name}/{path.name} has other bytes"
    with pytest.raises(NotReproducedError, match=r"shop version 1 is not reproduced: sources differs: orders: day="):
        receipt.raise_if_different()
    assert shop.adapters.ledger.latest("shop", "not reproduced", version="1") is not None


def test_a_raw_file_that_was_deleted_is_named(shop: Shop):
    """As after a vacuum that knew no pins, or a forgotten entity."""
    path = raw_file(shop)
    with changed(path, path.read_bytes()):
        path.unlink()
        receipt = reproduced(shop)

    assert receipt.reason == f"sources differs: orders: {path.parent.name}/{path.name} is gone"


def test_a_missing_version_of_a_table_is_named(shop: Shop, tmp_path: Path):
    """A table that was made anew has fewer versions than the manifest names."""
    table = shop.adapters.lake.root / "raw/shop/orders"
    version = shop.adapters.registry.manifest("shop", "1")["data_versions"]["raw/shop/orders"]
    shutil.move(table, tmp_path / "orders")
    try:
        shop.adapters.lake.write_day("raw/shop/orders", toy.FIRST, toy.order_rows(1), metadata={})
        receipt = reproduced(shop)
    finally:
        shutil.rmtree(table)
        shutil.move(tmp_path / "orders", table)

    assert receipt.difference is not None
    assert receipt.difference.stage == "sources"
    assert f"'raw/shop/orders' cannot be read at version {version}" in receipt.reason


def test_a_changed_sql_file_is_named_by_its_line(shop: Shop, tmp_path: Path):
    """It is the definition that differs; compared with the recorded one, the model is rebuilt all the same."""
    sql = toy.FEATURES_SQL.replace("d.day - 10", "d.day - 9")
    today = toy.shop(tmp_path, features_sql=sql)
    receipt = reproduced(shop, today=today)

    assert [each.stage for each in receipt.outcomes] == STAGES[:2]
    assert receipt.reason.startswith('definition differs: features.sql, line 8, was "join orders o')
    assert 'd.day - 9"' in receipt.reason
    recorded = reproduced(shop)
    assert recorded.outcomes[1].state == "not compared"
    assert recorded.difference is None


def test_what_does_not_decide_the_rows_may_change(shop: Shop, tmp_path: Path):
    """Who is mailed, gates, candidates: the champion stays the one that was trained."""
    today = toy.shop(tmp_path, declared=toy.spec(alerts={"to": ["else@example.org"]}, training__candidates=[LIGHT]))

    assert reproduced(shop, today=today).difference is None


def test_a_parameter_that_was_changed_in_the_manifest_is_named(shop: Shop):
    """The ledger has the manifest of the training, and its chain vouches for it."""
    version = train.run(shop.with_candidates(BOOSTED), TODAY, shop.adapters, run="test").version
    path = kept_file(shop, version, "manifest.json")
    manifest = json.loads(path.read_text())
    manifest["winner"]["params"]["max_iter"] = 11
    with changed(path, json.dumps(manifest).encode()):
        receipt = reproduced(shop, version)
        alone = rebuild.run("shop", version, shop.adapters, today=None)

    assert [each.stage for each in receipt.outcomes] == ["manifest"]
    assert receipt.reason.startswith(
        "manifest differs: winner.params.max_iter was 10, is 11. What was is in the ledger"
    )
    assert alone.outcomes[-1].stage == "model"
    assert "model.max_iter" in alone.outcomes[-1].detail


def test_golden_rows_that_were_changed_are_named(shop: Shop):
    """The manifest has the digests of the files beside it."""
    path = kept_file(shop, "1", "golden_rows.parquet")
    with changed(path, path.read_bytes() + b" "):
        receipt = reproduced(shop)

    assert receipt.reason.startswith("manifest differs: files.golden_rows.parquet was")


def test_snapshots_that_were_changed_behind_the_features_are_named(shop: Shop):
    """A feature that no SQL gave: the day and the column."""
    case, lake, day = shop.case, shop.adapters.lake, TODAY - timedelta(days=20)
    rows = lake.read(case.features_table, Window.of_day(day)).drop_columns(["day"])
    place = rows.schema.get_field_index("spend_10d")
    other = rows.set_column(place, "spend_10d", pa.array([1.5] * rows.num_rows))
    lake.write_day(case.features_table, day, other, metadata={})
    try:
        version = train.run(case, TODAY, shop.adapters, run="test").version
        receipt = reproduced(shop, version, today=case)
    finally:
        lake.write_day(case.features_table, day, rows, metadata={})

    assert receipt.difference is not None
    assert receipt.difference.stage == "features"
    assert f"features differs: 1 of 24 days, the first {day}: spend_10d of {rows.num_rows} rows" in receipt.reason


def test_a_model_of_before_is_refused_with_what_it_lacks(shop: Shop):
    """Its manifest has no fingerprints to compare with."""
    path = kept_file(shop, "1", "manifest.json")
    manifest = json.loads(path.read_text())
    del manifest["reproduction"]
    with (
        changed(path, json.dumps(manifest).encode()),
        pytest.raises(
            DataError, match=r"shop version 1 cannot be reproduced: its manifest has no 'reproduction'.*Train"
        ),
    ):
        reproduced(shop)


def test_a_snapshot_from_before_late_rows_is_rebuilt_from_what_it_saw(tmp_path: Path):
    """Rows come late, the snapshots stay as they are, a champion is trained on them; a vacuum leaves what it needs."""
    shop = open_shop(tmp_path)
    case, adapters = shop.case, shop.adapters
    days = [TODAY - timedelta(days=offset) for offset in reversed(range(36))]
    features.run_days(case, days, adapters, run="test")
    late, seen = TODAY - timedelta(days=20), adapters.lake.version(case.raw_table("orders"))
    orders = adapters.lake.read(case.raw_table("orders"), Window.of_day(late)).drop_columns(["day"])
    twice = orders.set_column(0, "order_id", pa.array([900_000 + at for at in range(orders.num_rows)]))
    adapters.lake.write_day(case.raw_table("orders"), late, pa.concat_tables([orders, twice]), metadata={})
    crowned(shop)
    older = adapters.registry.manifest("shop", "1")["built_from"]
    maintain.run(case, adapters, keep_days=0)

    assert min(older) == late.isoformat()
    assert {each["raw/shop/orders"] for each in older.values()} == {seen}
    assert reproduced(shop, today=case).reason == "rebuilt, every stage equal"


def test_a_case_alone_is_its_champion(shop: Shop):
    """A version, an alias, or neither; what is not there is an error with what is."""
    ask = reproduce.asked

    assert ask("shop", shop.adapters) == ask("shop@champion", shop.adapters) == ask("shop@1", shop.adapters)
    newest = shop.adapters.registry.version_of("shop", "challenger")
    assert ask("shop@challenger", shop.adapters) == ("shop", newest)
    with pytest.raises(RegistryError, match=r"shop has no version 'champoin'. Did you mean 'champion'"):
        ask("shop@champoin", shop.adapters)
    with pytest.raises(NoModelError, match="never has no champion: name a version, such as never@1"):
        ask("never", shop.adapters)


def shell(shop: Shop, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line over a shop in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    places = {"PERENNIAL_HOME": str(shop.folder / "home"), "PERENNIAL_USE_CASES": str(shop.folder / "use_cases")}
    command = [sys.executable, "-c", "from perennial.cli import main; main()", *arguments]
    return subprocess.run(
        command, env=inherited | places | environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_the_command_rebuilds_in_a_clean_process(shop: Shop):
    """Exit 0 and the receipt, with two threads allowed as with one; then exit 1 for a file of the use case."""
    lake = {path: path.stat().st_mtime_ns for path in shop.adapters.lake.root.rglob("*")}
    done = shell(shop, "reproduce", "shop@champion", "--json", OMP_NUM_THREADS="2", PYTHONHASHSEED="5")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)

    assert [each["state"] for each in receipt["outcomes"]] == ["equal"] * 7
    assert receipt["trained_with"] == "unknown"
    assert any(note.startswith("the code cannot be compared") for note in receipt["notes"])
    assert {path: path.stat().st_mtime_ns for path in shop.adapters.lake.root.rglob("*")} == lake

    with changed(shop.folder / "use_cases" / "shop" / "label.sql", toy.LABEL_SQL.replace("+ 3", "+ 2").encode()):
        differs = shell(shop, "reproduce", "shop")
    assert differs.returncode == 1
    assert "shop version 1 is not reproduced: definition differs: label.sql, line 3, was" in differs.stderr
    assert "differs" in differs.stdout

    refused = shell(shop, "reproduce", "shop", "--code", "recorded")
    assert refused.returncode == 2
    assert "The model was trained with the code unknown, which is no commit." in refused.stderr
