"""The quarantine: every refused row is kept whole, leaves it once, and is in one place at any moment."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.errors import DataError
from perennial.io.rows import DISCARDED, PLACE, PUBLISHED, QUARANTINE, STRAYS, TRACE
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import features, ingest, quarantine
from perennial.stages.quarantine import Chosen, Decision

pytestmark = pytest.mark.integration
DAY = toy.FIRST + timedelta(days=40)
ADA = Decision(who="ada", at=datetime(2026, 3, 1, tzinfo=UTC), reason="the limit was wrong", run="by hand")
HIGHER = json.dumps(
    {"orders": [{**item, "kwargs": {**item["kwargs"], "max_value": 5000}}
                if item["kwargs"].get("column") == "amount" and "max_value" in item["kwargs"] else item
                for item in toy.SUITE["orders"]], "customers": []}
)  # fmt: skip


def orders_with(amounts: dict[int, float | None]) -> pa.Table:
    """Return the shop's orders with other amounts for some orders of DAY, counted from the first of it."""
    rows = toy.order_rows()
    of_day = [at for at, day in enumerate(rows.column("ordered_at").cast(pa.date32()).to_pylist()) if day == DAY]
    listed = rows.column("amount").to_pylist()
    for number, amount in amounts.items():
        listed[of_day[number]] = amount
    return rows.set_column(2, "amount", pa.array(listed, pa.float64()))


def shop_with(tmp_path: Path, amounts: dict[int, float | None]) -> UseCase:
    """Return a shop some of whose orders have other amounts."""
    return toy.shop(tmp_path / "use_cases", declared=tolerant(), orders=orders_with(amounts))


def tolerant() -> dict[str, Any]:
    """Return the shop's spec with room for half a day of refused rows."""
    declared = toy.spec()
    declared["sources"][0]["quarantine_limit"] = 0.5
    return declared


def with_suite(case: UseCase, text: str) -> UseCase:
    """Return the use case with another suite.json."""
    folder = Path(case.source("orders").files["orders"]).parent
    (folder / "suite.json").write_text(text)
    return read_folder(folder)


def places(adapters: Adapters) -> Counter[str]:
    """Count the orders of DAY by place."""
    rows = adapters.lake.read("raw/shop/orders", Window.of_day(DAY))
    return Counter(rows.column(PLACE).to_pylist())


def ids_by_place(adapters: Adapters) -> dict[str, list[int]]:
    """Return the orders of DAY by place."""
    found: dict[str, list[int]] = {}
    for row in adapters.lake.read("raw/shop/orders", Window.of_day(DAY)).to_pylist():
        found.setdefault(row[PLACE], []).append(row["order_id"])
    return found


def test_a_refused_row_is_kept_whole(tmp_path, adapters):
    """Source, day, all reasons, version of the suite, run, and every value that the source gave."""
    case = shop_with(tmp_path, {0: 2000.0, 1: None})
    ingest.run(case, DAY, adapters, run="scheduled 7")
    found = {tuple(row["reasons"]): row for row in quarantine.shown(case, adapters, Chosen())}
    row = found["amount is not within 0 and 1,000",]

    assert set(found) == {("amount is not within 0 and 1,000",), ("amount is missing",)}
    assert (row["source"], row["day"], row["run"]) == ("orders", DAY.isoformat(), "scheduled 7")
    assert row["row"]["amount"] == 2000.0
    assert row["row"].keys() >= {"order_id", "customer", "ordered_at"}
    assert len(row["suite"]) == 12


def test_a_list_counts_by_day_and_reasons(tmp_path, adapters):
    """Rows with the same reasons are one line; a chosen reason leaves the others out."""
    case = shop_with(tmp_path, {0: 2000.0, 1: 3000.0, 2: None})
    ingest.run(case, DAY, adapters)
    all_of_them = quarantine.listed(case, adapters)

    assert {(record.reasons, record.rows) for record in all_of_them} == {
        (("amount is not within 0 and 1,000",), 2),
        (("amount is missing",), 1),
    }
    assert [record.rows for record in quarantine.listed(case, adapters, Chosen(reason="missing"))] == [1]


def test_after_a_new_suite_the_rows_that_pass_are_published_in_their_day(tmp_path, adapters):
    """Once, with a trace; the others stay, and the snapshots behind that day are stale."""
    case = shop_with(tmp_path, {0: 2000.0, 1: None})
    ingest.run(case, DAY, adapters, run="scheduled 7")
    features.run(case, DAY, adapters)
    before = places(adapters)
    fixed = with_suite(case, HIGHER)

    first = quarantine.redrive(fixed, adapters, Chosen(), ADA)
    second = quarantine.redrive(fixed, adapters, Chosen(), ADA)
    rows = adapters.lake.read("raw/shop/orders", Window.of_day(DAY)).to_pylist()
    traces = [json.loads(row[TRACE]) for row in rows if row[TRACE]]

    assert [(record.day, record.asked, record.moved, record.in_quarantine) for record in first] == [(DAY, 2, 1, 1)]
    assert [(record.asked, record.moved, record.in_quarantine) for record in second] == [(1, 0, 1)]
    assert places(adapters) == {PUBLISHED: before[PUBLISHED] + 1, QUARANTINE: 1}
    assert [(trace["redriven"]["by"], trace["before"]["run"]) for trace in traces] == [("ada", "scheduled 7")]
    assert adapters.lineage.features(fixed, [DAY])[0].reason == f"orders of {DAY} changed"


def test_what_is_asked_for_and_what_is_left_are_counted_apart(tmp_path, adapters):
    """Two rows of the day have the reason, one of them passes; a third row is in quarantine and nobody asked for it."""
    case = shop_with(tmp_path, {0: 2000.0, 1: 1e9, 2: None})
    ingest.run(case, DAY, adapters)
    fixed = with_suite(case, HIGHER)

    (redriven,) = quarantine.redrive(fixed, adapters, Chosen(reason="amount is not within"), ADA)
    (discarded,) = quarantine.discard(fixed, adapters, Chosen(reason="amount is missing"), ADA)

    assert (redriven.asked, redriven.moved, redriven.in_quarantine) == (2, 1, 2)
    assert (discarded.asked, discarded.moved, discarded.in_quarantine) == (1, 1, 1)


def test_a_redriven_row_that_is_delivered_again_changes_nothing(tmp_path, adapters):
    """The day ingested again is the day as it is, trace and all."""
    case = with_suite(shop_with(tmp_path, {0: 2000.0}), json.dumps(toy.SUITE))
    ingest.run(case, DAY, adapters)
    fixed = with_suite(case, HIGHER)
    quarantine.redrive(fixed, adapters, Chosen(), ADA)
    version = adapters.lake.version("raw/shop/orders")
    again = ingest.run_days(fixed, "orders", [DAY], adapters, run="again")

    assert [record.changed for record in again] == [False]
    assert adapters.lake.version("raw/shop/orders") == version


def test_a_row_with_a_key_that_is_published_already_stays_in_quarantine(tmp_path, adapters):
    """A re-driven row is judged beside the rows of its day."""
    rows = toy.order_rows()
    of_day = [at for at, day in enumerate(rows.column("ordered_at").cast(pa.date32()).to_pylist()) if day == DAY]
    doubled = rows.column("order_id").to_pylist()
    doubled[of_day[1]] = doubled[of_day[0]]
    case = toy.shop(tmp_path / "use_cases", orders=rows.set_column(0, "order_id", pa.array(doubled)))
    ingest.run(case, DAY, adapters)
    one, other = quarantine.shown(case, adapters, Chosen())
    quarantine.redrive(case, adapters, Chosen(rows=frozenset({one["id"]})), ADA)
    quarantine.redrive(case, adapters, Chosen(rows=frozenset({other["id"]})), ADA)

    assert places(adapters)[QUARANTINE] == 1


def test_a_corrected_source_is_read_again(tmp_path, adapters):
    """The row with the right amount is in the table, and the wrong one in no place any more."""
    case = shop_with(tmp_path, {0: -1.0})
    ingest.run(case, DAY, adapters)
    pq.write_table(orders_with({}), case.source("orders").files["orders"])
    days = quarantine.days_to_read_again(case, adapters, Chosen())
    for source, listed in days.items():
        ingest.run_days(case, source, listed, adapters, run="corrected")

    assert days == {"orders": (DAY,)}
    assert set(places(adapters)) == {PUBLISHED}


def test_a_row_that_had_no_day_moves_to_its_day_in_one_commit(tmp_path, adapters):
    """There is no version of the table in which it is in both partitions or in neither."""
    rows = toy.order_rows()
    at = rows.column("ordered_at").cast(pa.date32()).to_pylist().index(DAY)
    times = rows.column("ordered_at").to_pylist()
    right, times[at] = times[at], None
    kind = rows.schema.field("ordered_at").type
    case = toy.shop(tmp_path / "use_cases", orders=rows.set_column(3, "ordered_at", pa.array(times, kind)))
    ingest.run(case, DAY, adapters)
    assert ids_of(adapters, STRAYS) == [at]
    times[at] = right
    pq.write_table(rows, case.source("orders").files["orders"])
    before = adapters.lake.version("raw/shop/orders")

    for source, days in quarantine.days_to_read_again(case, adapters, Chosen()).items():
        ingest.run_days(case, source, days, adapters, run="corrected")
    after = adapters.lake.version("raw/shop/orders")

    assert after == before + 1
    assert ids_of(adapters, STRAYS) == []
    assert at in ids_of(adapters, DAY)


def ids_of(adapters: Adapters, day: Any) -> list[int]:
    """Return the orders in a partition, whatever their place."""
    return adapters.lake.read("raw/shop/orders", Window.of_day(day)).column("order_id").to_pylist()


def test_a_discarded_row_stays_discarded_when_it_is_delivered_again(tmp_path, adapters):
    """The decision is about the row, and is kept with who took it and why."""
    case = shop_with(tmp_path, {0: -1.0})
    ingest.run(case, DAY, adapters)
    quarantine.discard(case, adapters, Chosen(), ADA)
    again = ingest.run_days(case, "orders", [DAY], adapters, run="again")
    (row,) = [r for r in adapters.lake.read("raw/shop/orders", Window.of_day(DAY)).to_pylist() if r[PLACE] == DISCARDED]

    assert not again[0].changed
    assert quarantine.listed(case, adapters) == ()
    assert json.loads(row[TRACE])["discarded"] == {
        "by": "ada", "at": "2026-03-01T00:00:00+00:00", "why": "the limit was wrong", "run": "by hand",
    }  # fmt: skip


def test_discarding_needs_a_reason(tmp_path, adapters):
    """Nobody can say later that nobody knew."""
    case = shop_with(tmp_path, {0: -1.0})
    ingest.run(case, DAY, adapters)

    with pytest.raises(DataError, match="needs a reason"):
        quarantine.discard(case, adapters, Chosen(), Decision("ada", ADA.at, "  ", "by hand"))
    assert places(adapters)[QUARANTINE] == 1


def test_an_unknown_source_is_named_with_the_nearest(tmp_path, adapters):
    """A misspelt source is not an empty quarantine."""
    with pytest.raises(DataError, match="Did you mean 'orders'"):
        quarantine.listed(shop_with(tmp_path, {}), adapters, Chosen(source="order"))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> tuple[UseCase, UseCase]:
    """Return a shop with five bad orders on DAY, under a strict suite and under a wide one."""
    amounts = {0: 2000.0, 1: 3000.0, 2: -1.0, 3: None, 4: 9000.0}
    strict, wide = (shop_with(tmp_path_factory.mktemp(name), amounts) for name in ("strict", "wide"))
    return strict, with_suite(wide, HIGHER)


STEPS = ("ingest", "ingest under the wide suite", "redrive", "redrive one", "discard one", "discard")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=6), pick=st.integers(0, 4))
def test_in_any_order_of_steps_every_row_is_in_exactly_one_place(workshop, tmp_path_factory, steps, pick):
    """Ingest, re-drive and discard in whatever order: no order is lost, none comes twice."""
    strict, wide = workshop
    adapters = toy.adapters(tmp_path_factory.mktemp("home"))
    ingest.run_days(strict, "orders", [DAY], adapters, run="first")
    expected = sorted(ids_of(adapters, DAY))
    for step in steps:
        do(step, strict, wide, adapters, pick)
        assert sorted(ids_of(adapters, DAY)) == expected, step
        assert all(json.loads(row["reasons"]) for row in refused_rows(adapters))


def do(step: str, strict: UseCase, wide: UseCase, adapters: Adapters, pick: int) -> None:
    """Take one step."""
    waiting = [row["id"] for row in quarantine.shown(strict, adapters, Chosen())]
    one = Chosen(rows=frozenset({waiting[pick % len(waiting)]})) if waiting else Chosen(reason="no such reason")
    if step.startswith("ingest"):
        ingest.run_days(wide if "wide" in step else strict, "orders", [DAY], adapters, run=step)
    elif step.startswith("redrive"):
        quarantine.redrive(wide, adapters, one if step.endswith("one") else Chosen(), ADA)
    else:
        quarantine.discard(strict, adapters, one if step.endswith("one") else Chosen(), ADA)


def refused_rows(adapters: Adapters) -> list[dict[str, Any]]:
    """Return the rows of DAY in quarantine."""
    rows = adapters.lake.read("raw/shop/orders", Window.of_day(DAY)).to_pylist()
    return [row for row in rows if row[PLACE] == QUARANTINE]
