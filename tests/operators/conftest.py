"""Airflow without a database, fakes in place of stages and outside world, and a case to run them on."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="perennial-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")

import pytest
from fakes import FakeRegistry
from perennial.io.glances import glance
from perennial.io.incidents import open_incidents
from perennial.io.ledger import Ledger
from perennial.io.outbox import Outbox
from perennial.records import ColumnDrift, Measure, MonitorRecord
from perennial.spec import UseCase

DAY = date(2026, 3, 1)
TOY: dict[str, Any] = {
    "name": "toy",
    "title": "Who buys again?",
    "entity": "household_id",
    "sources": [
        {
            "name": "sales",
            "files": {"sales": "sales.parquet"},
            "time_column": "sold_on",
            "keys": ["household_id", "sold_on"],
            "columns": {"household_id": "integer", "sold_on": "date", "amount": "number"},
        }
    ],
    "features": {"sql": "features.sql", "lookback_days": 30, "numeric": ["spend_30d"]},
    "label": {"sql": "label.sql", "column": "bought", "horizon_days": 7},
    "training": {
        "cron": "0 4 * * 1",
        "window_days": 60,
        "validation_days": 10,
        "holdout_days": 10,
        "candidates": [{"name": "logistic", "estimator": "sklearn.linear_model.LogisticRegression"}],
        "baselines": [{"name": "constant", "estimator": "sklearn.dummy.DummyClassifier"}],
    },
    "gates": [{"metric": "roc_auc", "at_least": 0.6}],
    "value": {"currency": "USD", "conversion": 5.0, "contact": 0.5},
    "monitoring": {"performance": {"metric": "roc_auc", "at_least": 0.55}},
    "alerts": {"to": ["ops@example.org"]},
}


@dataclass
class Calls:
    """What a fake stage was called with, and what it gives back."""

    gives: Any = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Note the arguments; return what is to be given, or raise it."""
        self.args, self.kwargs = args, kwargs
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives


class FakeLake:
    """A lake that knows which days it has."""

    def __init__(self, *days: date) -> None:
        self.known = days

    def days(self, table: str) -> tuple[date, ...]:
        """Return the days, whatever the table."""
        return self.known

    def has_day(self, table: str, day: date) -> bool:
        """Tell whether the day is known."""
        return day in self.known

    def commits(self, table: str, *, limit: int = 20) -> list[dict[str, object]]:
        """Return one commit, of the first of March 2026."""
        return [{"version": 3, "timestamp": 1772323200000}]


class FakeEvents(dict[Any, SimpleNamespace]):
    """Airflow's outlet events: one accessor an asset, made when asked for."""

    def __missing__(self, asset: Any) -> SimpleNamespace:
        """Return a new accessor."""
        return self.setdefault(asset, SimpleNamespace(extra=None))


@pytest.fixture
def case() -> UseCase:
    """Return a valid use case."""
    return UseCase.model_validate(TOY)


@pytest.fixture
def adapters(tmp_path: Path) -> SimpleNamespace:
    """Return an outside world of fakes; ledger and outbox are real ones on SQLite."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    settings = SimpleNamespace(
        airflow_url="http://airflow", pages_root=tmp_path / "pages", home=tmp_path, mlflow="sqlite:///mlflow.db"
    )
    world = SimpleNamespace(lake=FakeLake(DAY), ledger=ledger, outbox=Outbox(ledger), settings=settings)
    world.registry = FakeRegistry()
    world.glance = lambda **asked: glance(ledger, **asked)
    world.newest_days = lambda tables: {table: max(world.lake.days(table), default=None) for table in tables}
    world.shadow_days = lambda case: ()
    world.open_incidents = lambda: open_incidents(ledger)
    world.overdue = lambda now: ()
    return world


@pytest.fixture(autouse=True)
def fake_world(monkeypatch: pytest.MonkeyPatch, case: UseCase, adapters: SimpleNamespace) -> None:
    """Put the case in place of the catalog's files and the fakes in place of the adapters."""
    catalog, module = ModuleType("perennial.catalog"), ModuleType("perennial.adapters")
    catalog.load_use_case = lambda name: case  # type: ignore[attr-defined]
    catalog.declared_today = lambda name: case  # type: ignore[attr-defined]
    catalog.use_cases = lambda: (case,)  # type: ignore[attr-defined]
    catalog.names = lambda: (case.name,)  # type: ignore[attr-defined]
    catalog.broken_use_cases = dict  # type: ignore[attr-defined]
    module.Adapters = SimpleNamespace(from_env=lambda **options: adapters)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "perennial.catalog", catalog)
    monkeypatch.setitem(sys.modules, "perennial.adapters", module)


@pytest.fixture
def fake_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Return a function that puts a fake in place of a stage's module and returns what it notes."""
    import perennial.stages

    def put(name: str, *, gives: Any) -> Calls:
        module, calls = ModuleType(f"perennial.stages.{name}"), Calls(gives=gives)
        module.run = calls.run  # type: ignore[attr-defined]
        module.rebuild_stale = lambda *args, **kwargs: ()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"perennial.stages.{name}", module)
        monkeypatch.setattr(perennial.stages, name, module, raising=False)
        return calls

    return put


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Catch what would be mailed; `refuses` makes the server refuse."""
    from perennial.errors import MailError
    from perennial_airflow.hooks import MailHook

    caught = SimpleNamespace(sent=[], refuses=False)

    def deliver(_hook: Any, mail: Any) -> None:
        if caught.refuses:
            raise MailError("refused")
        caught.sent.append(mail)

    monkeypatch.setattr(MailHook, "deliver", deliver)
    return caught


@pytest.fixture
def make_context() -> Callable[..., dict[str, Any]]:
    """Return a builder of task contexts; a test names only what it is about."""

    def make(run_type: str = "scheduled", **fields: Any) -> dict[str, Any]:
        run = SimpleNamespace(run_type=run_type, triggering_user_name=fields.pop("user", None))
        dag = SimpleNamespace(dag_id="toy__x", dag_display_name="toy · x")
        return {
            "partition_key": DAY.isoformat(), "run_id": "run 1", "dag_run": run, "dag": dag,
            "outlet_events": FakeEvents(), "params": {},
        } | fields  # fmt: skip

    return make


@pytest.fixture
def make_finding() -> Callable[..., MonitorRecord]:
    """Return a builder of monitor records: drifted on the first day, unless a test says otherwise."""

    def make(**fields: Any) -> MonitorRecord:
        score = ColumnDrift("score", "stable", 0.02, 0.01, "wasserstein")
        spend = ColumnDrift("spend_30d", "drifted", 0.61, 0.4, "wasserstein", "mean 12 → 31")
        defaults: dict[str, Any] = {
            "case": "toy", "day": DAY, "model_version": "3", "verdict": "drifted",
            "reason": "40% of the features drifted, limit 30%", "drifted_share": 0.4, "score": score,
            "columns": (spend,), "performance": {"roc_auc": 0.71}, "performance_window": None, "since": DAY,
            "report": "toy/drift/2026-03-01.html",
            "measures": (Measure("feed", "sales", "rows", 0.0, limit=40.0, over=True, detail="sales has 0 rows."),),
        }  # fmt: skip
        return MonitorRecord(**(defaults | fields))

    return make


@pytest.fixture
def now() -> datetime:
    """Return a moment."""
    return datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
