"""The ledger: append-only, safe to share, and honest when its database is gone."""

from __future__ import annotations

import math
import multiprocessing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from perennial.errors import LedgerError
from perennial.io.ledger import Entry, Ledger
from perennial.records import AlertRecord, ColumnDrift, Measure, MonitorRecord, Window
from perennial.verdicts import GateReport, GateResult

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Return an empty ledger."""
    return Ledger(f"sqlite:///{tmp_path / 'new' / 'ledger.db'}")


def entry(action: Any = "promoted", version: str | None = "1", **fields: Any) -> Entry:
    """Return an entry about the case `toy`."""
    plain: dict[str, Any] = {"case": "toy", "at": NOW, "who": "ada", "reason": "because", "run": "manual"}
    return Entry(action=action, to_version=version, **plain | fields)


def finding(day: date, verdict: Any = "stable") -> MonitorRecord:
    """Return a day's finding."""
    score = ColumnDrift("score", "stable", 0.01, 0.02, "wasserstein")
    return MonitorRecord(
        case="toy", day=day, model_version="1", verdict=verdict, reason="So.", drifted_share=0.0, score=score,
        columns=(score,), performance={"roc_auc": 0.8}, performance_window=Window(day, day), since=None,
        report=None, measures=(Measure("scores", "score", "psi", 0.01, limit=0.25),),
    )  # fmt: skip


def report(value: float) -> GateReport:
    """Return a gate report."""
    result = GateResult("roc_auc at least", value, 0.7, value - 0.7)
    return GateReport("toy", "1", None, DAY, (result,), {"challenger": {"roc_auc": value}}, Window(DAY, DAY), 10)


def test_an_entry_comes_back_as_it_was(ledger: Ledger):
    """With an id, and in UTC whatever zone it was given in."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    written = ledger.add(entry(at=elsewhere, day=DAY, from_version="0", report={"value": math.inf}))

    assert written.id == 1
    assert (written.at, written.at.tzinfo) == (NOW, UTC)
    assert ledger.history("toy") == (written,)


def test_a_moment_without_a_zone_is_refused(ledger: Ledger):
    """It could be any of 24."""
    with pytest.raises(ValueError, match="needs a time zone, got 2026-03-01T12:00:00"):
        ledger.add(entry(at=NOW.replace(tzinfo=None)))


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_monitors", "ledger_alerts", "ledger_measures"])
@pytest.mark.parametrize("statement", ["update {} set \"case\" = 'other'", "delete from {}"])
def test_the_database_itself_refuses_changes(ledger: Ledger, table: str, statement: str):
    """Whoever holds a connection."""
    ledger.add(entry())
    ledger.add_monitor(finding(DAY), at=NOW, run="manual")
    ledger.save_alert(AlertRecord("toy", "drifted", DAY, DAY, "Look", ("ops@example.org",), NOW))

    with pytest.raises(sa.exc.IntegrityError, match="append-only"), ledger._engine.begin() as connection:
        connection.execute(sa.text(statement.format(table)))


def test_what_may_happen_once_happens_once(ledger: Ledger):
    """The second call gets the first one's entry."""
    first = ledger.add(entry(who="ada"), once="that")
    second = ledger.add(entry(who="bob"), once="that")

    assert first == second
    assert len(ledger.history()) == 1


def test_a_decision_that_was_late_to_the_same_end_is_told_from_the_one_that_was_written(ledger: Ledger):
    """Both made version 1 the champion; the ledger has the first, and who was late can say so."""
    first, late = entry(who="ada"), entry(who="bob")
    written = ledger.crown(first, after=None)

    assert ledger.crown(late, after=None) == written
    assert (first.became(written), late.became(written)) == (True, False)


def test_a_report_comes_back_with_its_nan(ledger: Ledger):
    """Which still fails."""
    ledger.add(entry("evaluated", report=report(math.nan).to_json()))
    found = ledger.latest_report("toy")

    assert found is not None
    assert [result.passed for result in found.results] == [False]


def test_the_newest_report_of_a_version_counts(ledger: Ledger):
    """Of two evaluations the later one; of another version none."""
    for value in (0.9, 0.6):
        ledger.add(entry("evaluated", report=report(value).to_json()))

    found = ledger.latest_report("toy", version="1")
    assert found is not None
    assert found.metrics["challenger"]["roc_auc"] == 0.6
    assert ledger.latest_report("toy", version="2") is None


def test_of_one_day_the_newest_finding_counts(ledger: Ledger):
    """And the same finding again is not written again."""
    for record in (finding(DAY), finding(DAY), finding(DAY, "drifted"), finding(DAY - timedelta(days=1))):
        ledger.add_monitor(record, at=NOW, run="manual")

    assert ledger.monitor("toy", DAY) == finding(DAY, "drifted")
    assert ledger.latest_monitor("toy") == finding(DAY, "drifted")
    assert ledger.latest_monitor("toy", before=DAY) == finding(DAY - timedelta(days=1))
    assert ledger.monitors("toy") == (finding(DAY, "drifted"), finding(DAY - timedelta(days=1)))
    assert ledger.monitors("toy", days=1) == (finding(DAY, "drifted"),)


def test_a_mail_is_remembered_by_its_finding(ledger: Ledger):
    """The same verdict since another day is another finding."""
    alert = AlertRecord("toy", "drifted", DAY, DAY, "Look", ("ops@example.org",), NOW)
    ledger.save_alert(alert)

    assert ledger.was_alerted("toy", verdict="drifted", since=DAY)
    assert not ledger.was_alerted("toy", verdict="drifted", since=DAY + timedelta(days=1))
    assert ledger.alerts("toy") == (alert,)


def test_an_unknown_use_case_has_no_history(ledger: Ledger):
    """Nothing to tell is no error."""
    assert ledger.champion("none") is None
    assert ledger.latest_promotion("none") is None
    assert ledger.monitors("none") == ()
    assert ledger.cases() == ()


def upgrade(url: str) -> str:
    """Upgrade a ledger; run in a process of its own."""
    Ledger(url).upgrade()
    return "done"


def test_processes_may_upgrade_at_once(tmp_path: Path):
    """Four of them start an empty ledger together."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        done = pool.map(upgrade, [url] * 4)

    assert done == ["done"] * 4
    assert Ledger(url).history() == ()


def test_a_dead_database_is_an_error_of_ours_without_the_password():
    """Within seconds, with the next step."""
    with pytest.raises(LedgerError, match=r"does not answer as it should.*Connection refused.*perennial up") as caught:
        Ledger("postgresql://perennial:secret@127.0.0.1:1/ledger").history()

    assert "secret" not in str(caught.value)
    assert "perennial:***@127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "nosuch://someone:secret@host/ledger"])
def test_a_url_that_is_none_names_the_setting(url: str):
    """And says nothing of what is in it."""
    with pytest.raises(LedgerError, match="PERENNIAL_LEDGER_URL") as caught:
        Ledger(url).history()

    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_an_error_of_ours(tmp_path: Path):
    """Somebody's notes, for example."""
    (tmp_path / "ledger.db").write_text("not a database at all" * 100)

    with pytest.raises(LedgerError, match="file is not a database"):
        Ledger(f"sqlite:///{tmp_path / 'ledger.db'}").history()
