"""What was measured, as rows that can be charted: they come back as they were, and the newest look counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from perennial.io.ledger import Ledger
from perennial.records import ColumnDrift, Measure, MonitorRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)
PSI = Measure("scores", "score", "psi", 0.3, limit=0.25, over=True, detail="The PSI of the scores is 0.3.")
ROWS = Measure("feed", "orders", "rows", 12.0, 8.0, 18.0)
UNKNOWN = Measure("performance", "roc_auc", "value", None, limit=0.6, detail="No scores.")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return an empty ledger."""
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def record(day: date = DAY, measures: tuple[Measure, ...] = (PSI, ROWS, UNKNOWN), version: str = "1") -> MonitorRecord:
    """Return a day's record."""
    score = ColumnDrift("score", "stable", 0.01, 0.02, "wasserstein")
    return MonitorRecord(
        case="toy", day=day, model_version=version, verdict="stable", reason="So.", drifted_share=0.0, score=score,
        columns=(), performance={}, performance_window=None, since=None, report=None,
        measures=measures,
    )  # fmt: skip


def test_a_measure_comes_back_as_it_was(ledger: Ledger):
    """But for its sentence, which stands in the day's record."""
    ledger.add_monitor(record(), at=NOW, run="manual")
    found = ledger.measures("toy")

    assert [each.measure for each in found] == [replace(each, detail="") for each in (PSI, ROWS, UNKNOWN)]
    assert {(each.day, each.model_version) for each in found} == {(DAY, "1")}
    assert ledger.monitor("toy", DAY) == record()


def test_a_chart_is_of_one_concern_and_name(ledger: Ledger):
    """Oldest day first; nothing of other cases."""
    for back in (0, 2, 1):
        ledger.add_monitor(record(DAY - timedelta(days=back)), at=NOW, run="manual")
    found = ledger.measures("toy", about="feed", name="orders", measure="rows")

    assert [each.day for each in found] == [DAY - timedelta(days=back) for back in (2, 1, 0)]
    assert ledger.measures("toy", about="parity") == ()
    assert ledger.measures("other") == ()


def test_the_days_are_counted_back_from_the_newest(ledger: Ledger):
    """Two days are the newest and the one before."""
    for back in range(4):
        ledger.add_monitor(record(DAY - timedelta(days=back)), at=NOW, run="manual")

    assert {each.day for each in ledger.measures("toy", days=2)} == {DAY, DAY - timedelta(days=1)}


def test_looking_again_counts(ledger: Ledger):
    """What a later look has not measured any more is gone from the chart; the same look again writes nothing."""
    ledger.add_monitor(record(), at=NOW, run="manual")
    ledger.add_monitor(record(), at=NOW + timedelta(hours=1), run="manual")
    ledger.add_monitor(record(measures=(replace(PSI, value=0.1, over=False),)), at=NOW + timedelta(hours=2), run="x")
    found = ledger.measures("toy")

    assert [(each.measure.name, each.measure.value) for each in found] == [("score", 0.1)]
    with ledger._engine.begin() as connection:
        assert connection.execute(sa.text("select count(*) from ledger_measures")).scalar() == 4


def test_two_looks_at_one_moment_leave_each_measure_once(ledger: Ledger):
    """The one that was written later."""
    for value in (1.0, 2.0):
        ledger.add_monitor(record(measures=(replace(ROWS, value=value),)), at=NOW, run="manual")

    assert [each.measure.value for each in ledger.measures("toy")] == [2.0]


def test_a_record_and_its_measures_are_written_together(ledger: Ledger):
    """A measure that the database refuses leaves no record that would keep it from being written later."""
    broken = record(measures=(ROWS, replace(ROWS, name=None)))  # type: ignore[arg-type]

    with pytest.raises(Exception, match="does not answer as it should"):
        ledger.add_monitor(broken, at=NOW, run="manual")
    assert ledger.monitor("toy", DAY) is None
