"""A company's worth of use cases, seeded: their folders, a ledger with years of daily records, their tables' logs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from perennial.io.lake import Lake
from perennial.io.ledger import Entry, Ledger
from perennial.io.measures import measures
from perennial.records import ColumnDrift, MonitorRecord, Window
from perennial.settings import CHECKOUT
from perennial.verdicts import GateReport, GateResult

TEMPLATE = "conversion"
LOG = "_delta_log"
ENTRY_EVERY = 7  # days between two trainings, each with its evaluation and every fourth a promotion
BATCH = 20_000
SHOWN = (
    ("performance", "roc_auc", "value", 0.82), ("estimate", "roc_auc", "value", 0.83),
    ("value", "expected_profit", "realised", 310.0), ("value", "expected_profit", "expected", 300.0),
    ("value", "return_on_ad_spend", "realised", 2.4), ("value", "return_on_ad_spend", "expected", 2.3),
    ("inputs", "features", "drift at stake", 0.05), ("scores", "score", "psi", 0.02),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FleetWorld:
    """How large it is, and its last day.

    Attributes:
        cases: how many use cases.
        days: daily records of each.
        today: the day after the last of them.
        features: drift measures a day beside those that the Models page shows.
    """

    cases: int
    days: int
    today: date
    features: int = 40

    @property
    def names(self) -> list[str]:
        """Return the use cases' names."""
        return [f"case_{number:03}" for number in range(self.cases)]

    @property
    def first(self) -> date:
        """Return the first day with a record."""
        return self.today - timedelta(days=self.days)

    def declare(self, folder: Path) -> None:
        """Write a folder for each use case: the shipped one under other names."""
        source = CHECKOUT / "include" / "use_cases" / TEMPLATE
        for name in self.names:
            shutil.copytree(source, folder / name)
            spec = folder / name / "use_case.yaml"
            spec.write_text(spec.read_text().replace(f"\nname: {TEMPLATE}\n", f"\nname: {name}\n"))

    def fill_lake(self, lake: Lake) -> None:
        """Write a features table with every day, small; the others get its log, which is all that pages of all read."""
        rows = {self.first + timedelta(days=at): pa.table({"household_id": [1]}) for at in range(self.days)}
        first, *others = self.names
        lake.write_days(f"features/{first}", rows, metadata={"case": first, "run": "seed"})
        for name in others:
            shutil.copytree(lake.root / "features" / first / LOG, lake.root / "features" / name / LOG)

    def fill_ledger(self, ledger: Ledger) -> int:
        """Write entries, daily records and measures; return how many measures."""
        for name in self.names:
            self._decide(ledger, name)
            ledger.add_monitor(self._record(name), at=self._at(self.today), run="seed")
        with ledger.transaction() as connection:
            self._look(connection)
            return self._measure(connection)

    def _decide(self, ledger: Ledger, name: str) -> None:
        """Append a training and an evaluation a month, and the promotions: an entry costs a transaction of its own."""
        figures = {"challenger": {"roc_auc": 0.82, "expected_profit": 300.0}, "recency": {"roc_auc": 0.65}}
        gates = tuple(GateResult(f"gate {at}", 0.8, 0.7, 0.1, detail="as declared " * 8) for at in range(12))
        report = GateReport(name, "1", None, self.first, gates, figures, Window.of_day(self.first), 10_000).to_json()
        for version, ago in enumerate(range(self.days, 0, -ENTRY_EVERY * 4), start=1):
            entry = Entry(
                name, self._at(self.today - timedelta(days=ago)), "evaluated", "airflow", "passed", "seed",
                to_version=str(version), report=report,
            )  # fmt: skip
            ledger.add(entry)
            ledger.add(Entry(name, entry.at, "promoted", "eve", "gates are passed", "seed", None, str(version)))

    def _record(self, name: str) -> MonitorRecord:
        score = ColumnDrift("score", "stable", 0.02, 0.01, "wasserstein")
        columns = tuple(
            ColumnDrift(f"feature_{at}", "stable", 0.02, 0.01, "wasserstein") for at in range(self.features)
        )
        return MonitorRecord(
            name, self.today - timedelta(days=1), "1", "stable", "nothing to do", 0.0, score, columns,
            {}, None, None, report=None,
        )  # fmt: skip

    def _look(self, connection: sa.Connection) -> None:
        """Copy the newest finding to all the days before it, within the database."""
        days = [{"day": self.first + timedelta(days=at)} for at in range(self.days - 1)]
        copied = sa.text(
            'insert into ledger_monitors ("case", at, day, model_version, verdict, run, record) '
            'select "case", at, :day, model_version, verdict, run, record from ledger_monitors where day = :newest'
        )
        connection.execute(copied, [day | {"newest": self.today - timedelta(days=1)} for day in days])

    def _measure(self, connection: sa.Connection) -> int:
        """Append every day's measures: of one use case row by row, of the others by copying those."""
        first, *others = self.names
        told = [*SHOWN, *(("inputs", f"feature_{at}", "psi", 0.02) for at in range(self.features))]
        rows = [
            {
                "case": first, "at": self._at(day), "day": day, "about": about, "name": name, "measure": measure,
                "value": value + at % 7 / 100, "low": value - 0.02, "high": value + 0.08, "limit": 0.5, "over": False,
                "model_version": "1", "run": "seed",
            }
            for at, day in enumerate(self.first + timedelta(days=at) for at in range(self.days))
            for about, name, measure, value in told
        ]  # fmt: skip
        for start in range(0, len(rows), BATCH):
            connection.execute(sa.insert(measures), rows[start : start + BATCH])
        names = 'at, day, about, name, measure, value, low, high, "limit", "over", model_version, run'
        copied = sa.text(
            f'insert into ledger_measures ("case", {names}) select :other, {names} from ledger_measures '
            'where "case" = :first'
        )
        for other in others:
            connection.execute(copied, {"other": other, "first": first})
        return len(rows) * self.cases

    @staticmethod
    def _at(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
