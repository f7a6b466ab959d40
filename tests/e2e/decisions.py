"""A desk where a promotion is asked for, answered and looked at, by people with a login and by REST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from perennial.adapters import Adapters
from perennial.io.ledger import Entry
from perennial.local.airflow_api import Airflow, Run
from perennial.local.demo import APPROVAL, Demo
from perennial.records import TrainRecord
from perennial.spec import UseCase
from perennial.stages import train

SECONDS = 120.0


@dataclass
class Desk:
    """One use case, its ledger, and whoever may start and answer its promotions; `run` is the one that is asked."""

    case: UseCase
    adapters: Adapters
    demo: Demo
    engineer: Airflow
    run: Run | None = None

    @property
    def dag(self) -> str:
        """Return the DAG that promotes."""
        return f"{self.case.name}__model_promotion"

    def login(self, name: str) -> Airflow:
        """Return a client that is logged in as somebody."""
        return Airflow(self.engineer.layout, login=name)

    def challenger(self, *, days_ago: int = 0) -> TrainRecord:
        """Train a challenger in this process, as of the day that the champion was; no DAG starts by it."""
        as_of = self.demo.plan.yesterday - timedelta(days=days_ago)
        return train.run(self.case, as_of, self.adapters, run="by hand", reason="for a decision")

    def ask(self, *, by: str = "engineer") -> Run:
        """Start a promotion, and return its run once it asks."""
        self.run = self.login(by).trigger(self.dag)
        assert self.engineer.await_question(self.run, APPROVAL), self.engineer.place(self.run)
        return self.run

    def ask_again(self) -> Run:
        """Clear the question and what follows it, as a person does in the UI, and return the run once it asks."""
        run = self.asked()
        body = {
            "dry_run": False, "dag_run_id": run.id, "task_ids": [APPROVAL], "include_downstream": True,
            "only_failed": False, "reset_dag_runs": True,
        }  # fmt: skip
        self.engineer.ask("POST", f"/dags/{self.dag}/clearTaskInstances", json=body)
        assert self.engineer.await_question(self.engineer.run(run), APPROVAL), self.engineer.place(run)
        return run

    def asked(self) -> Run:
        """Return the run that asks."""
        assert self.run is not None
        return self.run

    def approve(self, *, by: str = "approver", reason: str | None = "it earns more") -> None:
        """Answer yes."""
        self.login(by).answer(self.asked(), APPROVAL, "Approve", **({"reason": reason} if reason else {}))

    def ends(self) -> dict[str, str]:
        """Wait until the run has ended, and return the states of its tasks."""
        run = self.engineer.await_run(self.engineer.run(self.asked()), seconds=SECONDS)
        return self.engineer.task_states(run)

    def entries(self, *, since: datetime) -> list[Entry]:
        """Return the ledger's entries since then, oldest first."""
        found = self.adapters.ledger.history(self.case.name, limit=1000)
        return [entry for entry in reversed(found) if entry.at >= since]

    def refusal(self, *, since: datetime) -> str:
        """Wait for the run to end; return the reason of the one refusal, nobody having been promoted."""
        self.ends()
        made = self.entries(since=since)
        assert [entry.action for entry in made if entry.action in {"promoted", "approved"}] in ([], ["approved"])
        (refused,) = [entry for entry in made if entry.action == "refused"]
        assert self.adapters.registry.aliases(self.case.name)["champion"] == self.adapters.ledger.champion(
            self.case.name
        )
        return refused.reason

    def set_xcom(self, task: str, key: str, value: Any) -> None:
        """Write an XCom by hand."""
        run = self.asked()
        path = f"/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/xcomEntries/{key}"
        self.login("admin").ask("PATCH", path, json={"value": value, "map_index": -1})
