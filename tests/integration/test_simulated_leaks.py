"""The leak hunter on the simulated visitors: nothing on any day, and each leak that can be planted there, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import toy
import yaml
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.core.clickstream import Dials, World
from perennial.errors import LeakError
from perennial.io import clickstreams
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import leaks

pytestmark = pytest.mark.integration
SHIPPED = Path(__file__).parents[2] / "include" / "use_cases" / "visitor_conversion"
FIRST, DAYS = date(2026, 1, 1), 50
LIVED = Window(FIRST, FIRST + timedelta(days=DAYS))
# Whom to show a coupon now: the visitors of the day itself, by what their visit says.
TODAY_SQL = """
select d.day, e.visitor_id, count(*) as views_1d, max(e.converts_later::integer) as converts_later
from days d join simulated_events e on e.day = d.day
group by d.day, e.visitor_id
"""


@pytest.fixture
def visitors(tmp_path: Path) -> Callable[..., tuple[UseCase, Adapters]]:
    """Return a builder of simulated worlds, small enough to look at every day; `changed` edits the shipped spec."""

    def make(changed: Callable[[dict[str, Any]], None] = lambda _: None, **dials: Any) -> tuple[UseCase, Adapters]:
        folder = shutil.copytree(SHIPPED, tmp_path / "cases" / SHIPPED.name)
        declared = yaml.safe_load((folder / "use_case.yaml").read_text())
        changed(declared)
        (folder / "use_case.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        (folder / "features.sql").write_text(TODAY_SQL)
        world = World(events_per_day=200, dials=Dials(**dials))
        clickstreams.write_files(world, clickstreams.Span(LIVED.start, LIVED.end), tmp_path / "home" / "data")
        case, adapters = read_folder(folder), toy.adapters(tmp_path / "home")
        events = adapters.sources.read_days(case, case.source("simulated_events"), list(LIVED.days()))
        # What its suite says of them is for other tests.
        adapters.lake.write_days(
            case.raw_table("simulated_events"), {each.day: each.rows for each in events}, metadata={}
        )
        return case, adapters

    return make


def with_status(declared: dict[str, Any]) -> None:
    """Count the events that a column calls those of a buyer; it calls a visitor so before the first purchase."""
    declared["sources"][0]["columns"]["visitor_status"] = "string"
    windows = declared["features"]["windows"]["columns"]
    windows["bought_30d"] = {"days": 30, "count": "rows", "where": "visitor_status = 'buyer'"}
    declared["features"]["numeric"].append("bought_30d")


def of_today(declared: dict[str, Any]) -> None:
    """Learn of the visitors of a day by a column that knows who buys within 15 days of it."""
    declared["sources"][0]["columns"]["converts_later"] = "boolean"
    declared["features"] = {
        "sql": "features.sql", "lookback_days": 30, "numeric": ["views_1d", "converts_later"],
    }  # fmt: skip
    declared["training"]["baselines"][1]["features"] = ["views_1d"]
    declared["gates"] = [gate for gate in declared["gates"] if "slices" not in gate]  # of columns that are gone


def named(report: leaks.LeakReport) -> set[tuple[str, str, str | None, tuple[str, ...]]]:
    """Return kind, feature, source and columns of each leak."""
    return {(leak.kind, leak.feature, leak.source, leak.columns) for leak in report.leaks}


def test_the_shipped_features_know_no_future_on_any_day(visitors):
    """Every day that has later rows, every kind of leak; labels of all days that have matured."""
    case, adapters = visitors()
    report = leaks.run(case, adapters, days=None)

    assert report.leaks == ()
    assert report.days == tuple(LIVED.days())[:-1]
    assert report.matured_days == DAYS - case.label.horizon_days
    assert report.notes == ()


def test_a_column_that_knows_who_will_buy_is_named(visitors):
    """The simulator's leak `label`: with it the label of the day is the feature."""
    case, adapters = visitors(of_today, leak="label")
    report = leaks.run(case, adapters, days=15, seed=3)

    assert named(report) == {("label inside", "converts_later", "simulated_events", ("converts_later",))}
    with pytest.raises(
        LeakError, match=r"converts_later on .*: label inside, from simulated_events \(converts_later\)"
    ):
        report.raise_if_any()


def test_a_status_that_was_written_back_is_named_or_excused_with_its_reason(visitors):
    """The simulator's leak `status`; an excuse is said, covers this kind alone, and one that is not needed is told."""
    case, adapters = visitors(with_status, leak="status")
    excuses = {"bought_30d": "the shop knows at once", "views_7d": "not needed"}
    lenient = case.model_copy(update={"features": case.features.model_copy(update={"strong": excuses})})
    strict, excused = (leaks.run(each, adapters, days=10, seed=3) for each in (case, lenient))

    assert named(strict) == {("label inside", "bought_30d", "simulated_events", ("visitor_status",))}
    assert excused.leaks == ()
    (one,) = excused.excused
    assert (one.feature, one.reason) == ("bought_30d", "the shop knows at once")
    assert str(one).startswith("bought_30d tells the label alone, 0.99")
    assert [note.split(":")[0] for note in excused.notes] == ["views_7d"]
