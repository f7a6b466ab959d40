"""The Models page as values: what it asks for does not grow with days and use cases; the newest of each counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from perennial.errors import LakeError
from perennial.io import newest
from perennial.io.glances import LINE_DAYS, NEWEST_DAYS, glance
from perennial.io.lake import Lake
from perennial.io.ledger import Entry, Ledger
from perennial.records import ColumnDrift, Measure, MonitorRecord
from perennial.views.asking import Inquiry

TODAY = date(2026, 3, 20)
AT = datetime(2026, 3, 20, 4, tzinfo=UTC)
NAMES = frozenset({"roc_auc", "expected_profit"})
SCORE = ColumnDrift("score", "stable", 0.02, 0.01, "wasserstein")


def record(case: str, day: date, *measures: Measure, verdict: str = "stable") -> MonitorRecord:
    """Return a day's finding."""
    return MonitorRecord(
        case, day, "3", verdict, "", 0.0, SCORE, (), {}, None, None, report=None, measures=measures
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return an empty ledger."""
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def live(ledger: Ledger, case: str, *, days: int) -> None:
    """Let a use case have a champion and some days."""
    report = {"metrics": {"challenger": {"roc_auc": 0.8}}}
    entry = Entry(case, AT, "evaluated", "airflow", "", "run 1", to_version="1", report=report)
    ledger.add(entry)
    ledger.add(replace(entry, action="promoted", report={}))
    for ago in range(days):
        measure = Measure("performance", "roc_auc", "value", 0.8)
        ledger.add_monitor(record(case, TODAY - timedelta(days=ago), measure), at=AT, run="run 1")


def statements(ledger: Ledger) -> int:
    """Return how many statements a glance takes."""
    seen: list[str] = []
    engine = ledger._engine
    note = lambda *args: seen.append(args[2])  # noqa: E731
    sa.event.listen(engine, "before_cursor_execute", note)
    glance(ledger, today=TODAY, names=NAMES)
    sa.event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_glance_takes_as_many_statements_for_many_use_cases(ledger: Ledger):
    """And for many days."""
    live(ledger, "one", days=2)
    few = statements(ledger)
    for number in range(8):
        live(ledger, f"case_{number}", days=6)

    assert statements(ledger) == few <= 8


def test_the_newest_of_each_use_case_counts(ledger: Ledger):
    """The last promotion, the evaluation of that version, the newest day's newest verdict."""
    live(ledger, "toy", days=3)
    report = {"metrics": {"challenger": {"roc_auc": 0.9}}}
    held = Entry("toy", AT, "evaluated", "airflow", "", "run 2", to_version="2", report=report)
    ledger.add(held)
    ledger.add_monitor(record("toy", TODAY, verdict="drifted"), at=AT, run="run 2")
    seen = glance(ledger, today=TODAY, names=NAMES)

    assert seen.crownings["toy"].to_version == "1"
    assert seen.metrics["toy"]["challenger"] == {"roc_auc": 0.8}
    assert (seen.findings["toy"].day, seen.findings["toy"].verdict) == (TODAY, "drifted")


def test_a_day_that_was_looked_at_again_has_its_newest_figures(ledger: Ledger):
    """Rows are only ever appended."""
    for at, value in ((AT, 0.7), (AT + timedelta(hours=1), 0.6)):
        ledger.add_monitor(record("toy", TODAY, Measure("performance", "roc_auc", "value", value)), at=at, run="r")

    (found,) = glance(ledger, today=TODAY, names=NAMES).lines["toy", "roc_auc"]
    assert found.value == 0.6


@pytest.mark.parametrize(
    ("about", "ago", "is_read"),
    [("performance", LINE_DAYS, True), ("performance", LINE_DAYS + 1, False), ("estimate", NEWEST_DAYS, True),
     ("estimate", NEWEST_DAYS + 1, False), ("value", NEWEST_DAYS, True), ("inputs", 0, False)],
)  # fmt: skip
def test_only_what_is_shown_is_read(ledger: Ledger, about: str, ago: int, is_read: bool):  # noqa: FBT001
    """A line of the metric, the newest estimate and money; the last day of each span is in it."""
    measure = Measure(about, "roc_auc", "value", 0.8)  # type: ignore[arg-type]
    ledger.add_monitor(record("toy", TODAY - timedelta(days=ago), measure), at=AT, run="r")

    seen = glance(ledger, today=TODAY, names=NAMES)
    assert (bool(seen.lines) or bool(seen.told)) is is_read


def test_another_figure_is_not_read(ledger: Ledger):
    """Such as the log loss beside the metric that is shown."""
    ledger.add_monitor(record("toy", TODAY, Measure("performance", "log_loss", "value", 0.4)), at=AT, run="r")

    seen = glance(ledger, today=TODAY, names=NAMES)
    assert (seen.lines, seen.told) == ({}, {})


def test_a_page_of_one_use_case_reads_its_measures_alone(ledger: Ledger):
    """Whatever else is in the ledger."""
    for name in ("one", "other"):
        live(ledger, name, days=1)

    assert set(glance(ledger, today=TODAY, names=NAMES, only="one").lines) == {("one", "roc_auc")}


def test_the_newest_day_with_a_value_is_told(ledger: Ledger):
    """A day on which money is not known does not hide the one before; of a day the newest look counts."""
    for ago, at, value in ((2, AT, 1.0), (1, AT, 2.0), (1, AT + timedelta(hours=1), 3.0), (0, AT, None)):
        measure = Measure("value", "expected_profit", "realised", value)
        ledger.add_monitor(record("toy", TODAY - timedelta(days=ago), measure), at=at, run="r")

    (found,) = glance(ledger, today=TODAY, names=NAMES).told["toy"]
    assert (found.day, found.measure.value) == (TODAY - timedelta(days=1), 3.0)


def test_an_empty_ledger_has_nothing_to_show(ledger: Ledger):
    """As before the first training."""
    assert glance(ledger, today=TODAY, names=NAMES).crownings == {}


class CountingLake(Lake):
    """A real lake that notes which tables were opened."""

    opened: tuple[str, ...] = ()

    def days(self, table: str, *, version: int | None = None) -> tuple[date, ...]:
        """Note the table; return its days."""
        self.opened += (table,)
        return super().days(table, version=version)


def test_a_table_is_opened_again_only_once_it_was_written(tmp_path: Path):
    """By another process too: its log tells."""
    lake, writer = CountingLake(tmp_path), Lake(tmp_path)
    row = pa.table({"person": [1]})
    writer.write_day("features/toy", TODAY, row, metadata={})

    first = newest.newest_days(lake, ["features/toy", "features/none"])
    assert first == newest.newest_days(lake, ["features/toy"]) | {"features/none": None} == {
        "features/toy": TODAY, "features/none": None,
    }  # fmt: skip
    assert lake.opened == ("features/toy",)
    writer.write_day("features/toy", TODAY + timedelta(days=1), row, metadata={})
    assert newest.newest_days(lake, ["features/toy"]) == {"features/toy": TODAY + timedelta(days=1)}


def test_a_part_that_has_failed_is_not_asked_again():
    """A page of a hundred use cases would wait a hundred times."""
    asked = []

    def refuse() -> int:
        asked.append(1)
        raise LakeError("the disk is gone")

    inquiry = Inquiry()
    assert [inquiry.ask(LakeError, refuse, otherwise=7) for _ in range(3)] == [7, 7, 7]
    assert len(asked) == 1
    assert inquiry.outages == ("the disk is gone",)
