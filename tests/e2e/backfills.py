"""Backfills as Airflow's button and command line ask for them, and what none of them may move."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from perennial.adapters import Adapters
from perennial.io.sources import Sources
from perennial.local import environment
from perennial.local.airflow_api import Airflow, Run
from perennial.local.mailbox import mails
from perennial.records import Window
from perennial.spec import UseCase

DAILY = ("feature_build", "batch_scoring", "drift_monitoring")
SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class DayRun:
    """One day's run: what started it, how it ended, and when it went on."""

    key: date
    kind: str
    state: str
    begun: datetime
    ended: datetime

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> DayRun:
        """Return the run that the API describes."""
        begun, ended = (datetime.fromisoformat(answer[name]) for name in ("start_date", "end_date"))
        return cls(date.fromisoformat(answer["partition_key"]), answer["run_type"], answer["state"], begun, ended)


def most_at_once(made: Sequence[DayRun]) -> int:
    """Return how many runs went on beside each other at most."""
    return max(sum(other.begun <= run.begun < other.ended for other in made) for run in made)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What no backfill may move: the champion, decisions, mails, and the runs of other DAGs."""

    aliases: Mapping[str, str]
    ledger: tuple[Any, ...]
    alerts: tuple[Any, ...]
    mails: int
    other_runs: Mapping[str, int]

    @classmethod
    def now(cls, case: UseCase, adapters: Adapters, airflow: Airflow) -> Surroundings:
        """Return them as they are."""
        dags = {dag["dag_id"] for dag in airflow.ask("GET", "/dags", params={"limit": 100})["dags"]}
        # The mail goes round by the clock, whatever else goes on.
        others = dags - {f"{case.name}__{stage}" for stage in DAILY} - {"perennial__mail"}
        one = {"limit": 1}
        return cls(
            aliases=adapters.registry.aliases(case.name),
            ledger=adapters.ledger.history(case.name, limit=1000),
            alerts=adapters.ledger.alerts(case.name, limit=1000),
            mails=len(mails(airflow.layout.mail)),
            other_runs={dag: airflow.ask("GET", f"/dags/{dag}/dagRuns", params=one)["total_entries"] for dag in others},
        )


@dataclass(frozen=True, slots=True)
class Story:
    """The days that are backfilled in each daily DAG of a use case, and how the world was before."""

    case: UseCase
    days: Mapping[str, tuple[date, ...]]
    adapters: Adapters
    airflow: Airflow
    before: Surroundings

    @classmethod
    def begun(cls, case: UseCase, first_built: date, adapters: Adapters, airflow: Airflow) -> Story:
        """Return the story at its beginning: three days are to be built, two built ones to be scored and monitored."""
        built = tuple(first_built - timedelta(days=offset) for offset in (19, 18, 17))
        scored = (first_built, first_built + timedelta(days=1))
        days = dict(zip(DAILY, (built, scored, scored), strict=True))
        return cls(case, days, adapters, airflow, Surroundings.now(case, adapters, airflow))

    def dag(self, stage: str) -> str:
        """Return the id of one of the use case's DAGs."""
        return f"{self.case.name}__{stage}"

    def asked(self, stage: str, days: Sequence[date], **choices: Any) -> dict[str, Any]:
        """Return what the button posts."""
        span = {"from_date": f"{days[0]}T00:00:00Z", "to_date": f"{days[-1]}T00:00:00Z"}
        return {"dag_id": self.dag(stage), **span, "max_active_runs": 2, "dag_run_conf": {}, **choices}

    def dry_run(self, stage: str, days: Sequence[date], **choices: Any) -> list[dict[str, Any]]:
        """Return the runs that a backfill would make."""
        asked = self.asked(stage, days, **choices)
        return list(self.airflow.ask("POST", "/backfills/dry_run", json=asked)["backfills"])

    def post(self, stages: Sequence[str] = DAILY, **choices: Any) -> datetime:
        """Ask for a backfill of the days in each of the stages' DAGs, and return when that was."""
        now = datetime.now(UTC)
        for stage in stages:
            self.airflow.ask("POST", "/backfills", json=self.asked(stage, self.days[stage], **choices))
        return now

    def command(self, stage: str, *words: str) -> None:
        """Ask for a backfill of the days with `airflow backfill create`."""
        program = str(Path(sys.executable).parent / "airflow")
        span = ["--from-date", str(self.days[stage][0]), "--to-date", str(self.days[stage][-1])]
        done = subprocess.run(
            [program, "backfill", "create", "--dag-id", self.dag(stage), *span, *words],
            env=environment.component_environment(self.airflow.layout),
            cwd=self.airflow.layout.run,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    def await_ends(self) -> None:
        """Wait until no backfill of the daily DAGs is active."""
        deadline = time.monotonic() + SECONDS
        while active := [each for stage in DAILY for each in self._backfills(stage) if each["completed_at"] is None]:
            assert time.monotonic() < deadline, f"still active after {SECONDS:.0f} s: {active}"
            time.sleep(0.5)

    def _backfills(self, stage: str) -> list[dict[str, Any]]:
        return list(self.airflow.ask("GET", "/backfills", params={"dag_id": self.dag(stage)})["backfills"])

    def runs(self, stage: str, *, since: datetime | None = None, days: Sequence[date] = ()) -> list[DayRun]:
        """Return the runs of some days, the stage's by default, as they began; only those queued `since`."""
        days = days or self.days[stage]
        span = {"partition_date_gte": f"{days[0]}T00:00:00Z", "partition_date_lte": f"{days[-1]}T00:00:00Z"}
        path = f"/dags/{self.dag(stage)}/dagRuns"
        found = self.airflow.ask("GET", path, params={"limit": 100, **span})["dag_runs"]
        made = [DayRun.of(run) for run in found if since is None or datetime.fromisoformat(run["queued_at"]) >= since]
        return sorted(made, key=lambda run: run.begun)

    def mark_failed(self, stage: str, day: date) -> None:
        """Mark a day's newest run as failed, as a person does who does not like what it did."""
        run: Run = self.airflow.runs(self.dag(stage), partition_key_prefix_pattern=day.isoformat())[0]
        self.airflow.ask("PATCH", f"/dags/{run.dag}/dagRuns/{run.id}", json={"state": "failed"})

    def partitions(self) -> dict[tuple[str, date], tuple[int, int, str]]:
        """Return how often each raw day, snapshot and day of scores was written, its rows, and a hash over them.

        No row is there twice.
        """
        lake, found, entity = self.adapters.lake, {}, [self.case.entity]
        raw = self.case.raw_table("transactions"), self.case.source("transactions").keys
        for table, keys in (raw, (self.case.features_table, entity), (self.case.predictions_table, entity)):
            days = self.days["batch_scoring" if table == self.case.predictions_table else "feature_build"]
            revisions = lake.revisions(table, days)
            for day in days:
                rows = lake.read(table, Window.of_day(day))
                assert rows.group_by(list(keys)).aggregate([]).num_rows == rows.num_rows, f"{table} {day}"
                found[table, day] = (revisions[day], rows.num_rows, content(rows))
        return found

    @contextmanager
    def without_households(self, day: date) -> Iterator[None]:
        """Let the source deliver a day in which nobody has a name, which its suite refuses; put it right at the end."""
        folder: Path = self.adapters.settings.injected_root
        source, path = self.case.source("transactions"), folder / "transactions.parquet"
        known = Sources(replay_weeks=self.adapters.settings.replay_weeks).read_day(self.case, source, day)
        folder.mkdir(exist_ok=True)
        pq.write_table(_with(known, self.case.entity, pa.nulls(known.num_rows)), path)
        try:
            yield
        finally:
            path.unlink()


def _with(rows: pa.Table, name: str, values: Any) -> pa.Table:
    field = rows.schema.field(name)
    return rows.set_column(rows.schema.get_field_index(name), field, values.cast(field.type))


def content(rows: pa.Table) -> str:
    """Return a hash over rows in any order."""
    ordered = rows.sort_by([(name, "ascending") for name in rows.column_names]).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, ordered.schema) as writer:
        writer.write_table(ordered)
    return hashlib.sha256(sink.getvalue()).hexdigest()
