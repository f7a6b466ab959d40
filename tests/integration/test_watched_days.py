"""The rules about sources on real days: quiet on calm ones, and each fault of a day found by its rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from perennial.adapters import Adapters
from perennial.catalog import load_use_case
from perennial.core import feeds
from perennial.records import Measure, Window
from perennial.settings import Settings
from perennial.spec import UseCase
from perennial.stages import ingest

pytestmark = pytest.mark.integration
FIRST, LAST = date(2017, 2, 1), date(2017, 3, 22)
Change = Callable[[pa.Table, pa.Table], pa.Table]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[UseCase, Adapters]:
    """Return `conversion` with fifty days of real transactions."""
    home = tmp_path_factory.mktemp("real")
    case, world = load_use_case("conversion"), Adapters(Settings(home=home, ledger_url=None, mlflow_uri=None))
    days = [FIRST + timedelta(days=at) for at in range((LAST - FIRST).days + 1)]
    ingest.run_days(case, "transactions", days, world, run="test")
    return case, world


def over(case: UseCase, world: Adapters, day: date) -> list[Measure]:
    """Return what is past its limit on a day."""
    found = world.vitals.of(case, case.source("transactions"), day, pins=world.warehouse.pins(case))
    return [each for each in feeds.judge(found, limits=case.monitoring.feed, about="feed") if each.over]


def test_calm_days_are_quiet(lived: tuple[UseCase, Adapters]):
    """A fortnight of real shopping."""
    case, world = lived

    assert [each for back in range(14) for each in over(case, world, LAST - timedelta(days=back))] == []


def with_values(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    """Return the rows with other values in a column."""
    return rows.set_column(rows.schema.get_field_index(name), name, values.cast(rows.schema.field(name).type))


def cents(today: pa.Table, _before: pa.Table) -> pa.Table:
    """Return the day in cents."""
    return with_values(today, "sales_value", pc.multiply(today["sales_value"], 100.0))


def holes(today: pa.Table, _before: pa.Table) -> pa.Table:
    """Return the day with every third discount missing."""
    mask = pa.array([at % 3 == 0 for at in range(today.num_rows)])
    return with_values(today, "retail_disc", pc.if_else(mask, None, today["retail_disc"]))


FAULTS: dict[str, Change] = {
    "scale": cents,
    "null share": holes,
    "rows": lambda today, _before: today.slice(0, today.num_rows // 5),
    "copy": lambda _today, before: before,
}


@pytest.mark.parametrize("measure", FAULTS)
def test_a_fault_is_found_on_its_day(lived: tuple[UseCase, Adapters], measure: str):
    """On its day, by its own rule and no other; and the day after is calm again."""
    case, world = lived
    day, table = LAST - timedelta(days=3), case.raw_table("transactions")
    today, before = (world.lake.read(table, Window.of_day(each)) for each in (day, day - timedelta(days=1)))
    world.lake.write_day(table, day, FAULTS[measure](today, before), metadata={})
    try:
        found = over(case, world, day)
        after = over(case, world, day + timedelta(days=1))
    finally:
        world.lake.write_day(table, day, today, metadata={})

    assert [each.measure for each in found] == [measure]
    assert str(day) in found[0].detail
    assert after == []
