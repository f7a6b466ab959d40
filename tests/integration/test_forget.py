"""An entity that asked to be forgotten: gone from every version of every table, and it does not come back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from fakes import FakeRegistry
from perennial.adapters import Adapters
from perennial.changes import ForgetRecord
from perennial.errors import DataError, RegistryError
from perennial.io.registry import RegisteredModel
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import features, forget, ingest, quarantine

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=40)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def adapters(adapters: Adapters) -> Adapters:
    """Return adapters with a registry in memory and an empty ledger."""
    adapters.__dict__["registry"] = FakeRegistry()
    adapters.ledger.upgrade()
    return adapters


@pytest.fixture
def built(make_shop: Any, adapters: Adapters) -> UseCase:
    """Return a shop with two built days; a refused row of the busiest customer lies in quarantine."""
    rows = toy.order_rows()
    at = [
        position
        for position, (day, who) in enumerate(
            zip(rows["ordered_at"].cast(pa.date32()).to_pylist(), rows["customer"].to_pylist(), strict=True)
        )
        if day == DAY and str(who) == busiest(rows)
    ]
    amounts = rows["amount"].to_pylist()
    amounts[at[0]] = -1.0
    case = make_shop(orders=rows.set_column(2, "amount", pa.array(amounts)))
    for day in (DAY - timedelta(days=1), DAY):
        ingest.run(case, day, adapters)
        features.run(case, day, adapters)
    return case


def busiest(rows: pa.Table | None = None) -> str:
    """Return the customer with the most orders on DAY, as text."""
    rows = toy.order_rows() if rows is None else rows
    days = rows["ordered_at"].cast(pa.date32()).to_pylist()
    of_day = [who for day, who in zip(days, rows["customer"].to_pylist(), strict=True) if day == DAY]
    return str(max(set(of_day), key=of_day.count))


def ask(case: UseCase, adapters: Adapters, **options: Any) -> ForgetRecord:
    """Forget the busiest customer."""
    return forget.run(case, busiest(), adapters, who="ada", reason="request 12", now=NOW, **options)


def holders(adapters: Adapters) -> list[str]:
    """Return every data file of the lake, of whatever version, that still names the customer."""
    found = []
    for path in sorted(Path(adapters.lake.root).rglob("*.parquet")):
        rows = pq.read_table(path, partitioning=None)
        if "customer" in rows.column_names and int(busiest()) in rows["customer"].to_pylist():
            found.append(path.name)
    return found


def test_the_entity_is_gone_from_every_version_and_nobody_else_is(built, adapters):
    """Raw rows, quarantine, the reference table and snapshots: no file names it, all others are as they were."""
    window = Window(toy.FIRST, DAY + timedelta(days=1))
    tables = ("raw/shop/orders", "raw/shop/customers", "features/shop")
    before = {table: others(adapters, table, window) for table in tables}
    assert holders(adapters)

    record = ask(built, adapters)

    assert holders(adapters) == []
    assert {table: others(adapters, table, window) for table in tables} == before
    assert record.rows["raw/shop/orders"] > 0
    assert record.rows["features/shop"] == 2
    assert quarantine.listed(built, adapters) == ()


def others(adapters: Adapters, table: str, window: Window) -> list[str]:
    """Return the rows of all other customers."""
    rows = adapters.lake.read(table, window).to_pylist()
    return sorted(str(row) for row in rows if str(row["customer"]) != busiest())


def test_a_source_that_still_holds_it_does_not_bring_it_back(built, adapters):
    """Its hash is known; the days are read again without it."""
    ask(built, adapters)
    ingest.run(built, DAY, adapters)
    features.run(built, DAY, adapters)

    assert holders(adapters) == []


def test_a_dry_run_says_the_same_and_removes_nothing(built, adapters):
    """First look, then leap."""
    files = holders(adapters)
    looked = ask(built, adapters, dry_run=True)

    assert holders(adapters) == files
    assert looked.rows == ask(built, adapters).rows
    assert looked.files == len(files)


def test_the_models_that_read_such_a_file_are_named(built, adapters):
    """Those trained on a version that held the entity; one of before is not touched."""
    version = adapters.lake.version("features/shop")
    model = {"1": {"features/shop": 0}, "2": {"features/shop": version}}
    adapters.registry.models["shop"] = [
        RegisteredModel(number, f"run{number}", None, {"data_versions": pins}) for number, pins in model.items()
    ]
    record = ask(built, adapters)

    assert record.broken_models == ("2",)
    entry = adapters.ledger.latest("shop", "forgot an entity")
    assert entry is not None
    assert "can no longer be reproduced: 2" in entry.reason
    assert busiest() not in re.findall(r"\w+", entry.reason.split(";")[1])  # its digits may stand within the hash


def test_an_unknown_entity_is_an_error_and_a_known_one_may_be_asked_for_twice(built, adapters):
    """A misspelt id is not silently forgotten; a repeated request is done already."""
    with pytest.raises(DataError, match="Nothing of 'shop' holds customer '99999'"):
        forget.run(built, "99999", adapters, who="ada", reason="", now=NOW)
    ask(built, adapters)

    assert sum(ask(built, adapters).rows.values()) == 0


def test_without_the_registry_nothing_is_removed(built, adapters, monkeypatch):
    """What a request breaks has to be known first."""
    files = holders(adapters)
    adapters.registry.down.add("versions")

    with pytest.raises(RegistryError):
        ask(built, adapters)
    assert holders(adapters) == files
