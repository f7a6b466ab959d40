"""Stand-ins for the outside world, and a small population to put into them.

Each fake has a sibling test on the real thing: tests/integration/test_model_loop.py runs the same stages over Delta,
DuckDB, MLflow and Evidently.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from perennial.contracts import Source
from perennial.core.vitals import Vitals
from perennial.errors import DataError, RegistryError
from perennial.incidents import Incident
from perennial.io.glances import Glance, glance
from perennial.io.incidents import open_incidents
from perennial.io.lake import Held
from perennial.io.ledger import Ledger
from perennial.io.outbox import Outbox
from perennial.io.registry import RegisteredModel, Registry
from perennial.io.runs import ChildRun
from perennial.records import Commit, Window
from perennial.spec import UseCase

FIRST_DAY = date(2026, 1, 1)
HORIZON = 5


def make_case(**fields: Any) -> UseCase:
    """Return a valid use case named `toy`; a test names only the fields it is about."""
    training: dict[str, Any] = {
        "cron": "0 4 * * 1",
        "window_days": 40,
        "validation_days": 6,
        "holdout_days": 6,
        "every_days": 2,
        "min_rows": 100,
        "seed": 7,
        "candidates": [{"name": "linear", "estimator": "sklearn.linear_model.LogisticRegression"}],
        "baselines": [
            {"name": "dummy", "estimator": "sklearn.dummy.DummyClassifier"},
            {"name": "recency", "estimator": "sklearn.linear_model.LogisticRegression", "features": ["recency"]},
        ],
        "search": {"trials": 2, "seconds": 10},
    }
    plain: dict[str, Any] = {
        "name": "toy",
        "title": "Who comes back?",
        "entity": "person",
        "sources": [
            {"name": "visits", "files": {"visits": "v.csv"}, "keys": ["person"], "columns": {"person": "integer"}}
        ],
        "features": {
            "sql": "features.sql",
            "lookback_days": 30,
            "numeric": ["recency", "spend", "visits"],
            "categorical": ["town"],
        },
        "label": {"sql": "label.sql", "column": "returns", "horizon_days": HORIZON},
        "training": training | fields.pop("training", {}),
        "gates": [
            {"metric": "roc_auc", "at_least": 0.55},
            {"metric": "roc_auc", "beats_baseline": "dummy", "by": 0.01},
            {"metric": "roc_auc", "no_worse_than_champion_by": 0.02, "resamples": 100},
        ],
        "value": {"currency": "EUR", "conversion": 10.0, "contact": 1.0},
        "monitoring": {
            "min_rows": 50,
            "report_rows": 100,
            "performance": {"metric": "roc_auc", "at_least": 0.52, "window_days": 4},
        },
        "alerts": {"to": ["ops@example.org"]},
    }
    case = UseCase.model_validate(plain | fields)
    return case.with_texts({"features.sql": "", "label.sql": "", case.label.sql: ""})


@dataclass
class Population:
    """People with habits of their own: their features and labels of successive days hang together."""

    people: int = 150
    seed: int = 1

    def __post_init__(self) -> None:
        """Give each person a habit."""
        self._habit = np.random.default_rng(self.seed).normal(size=self.people)

    def day(self, day: date) -> tuple[pa.Table, np.ndarray]:
        """Return the snapshot of a day, by person, and who returns after it."""
        generator = np.random.default_rng([self.seed, day.toordinal()])
        noise = generator.normal(size=(3, self.people))
        recency = np.maximum(0.0, np.round(5 - 3 * self._habit + noise[0]))
        spend = np.where(generator.random(self.people) < 0.1, np.nan, 20 + 8 * self._habit + 5 * noise[1])
        town = [None if i % 17 == 0 else ("north", "south", "west")[i % 3] for i in range(self.people)]
        rows = pa.table(
            {
                "person": pa.array(range(self.people), pa.int64()),
                "recency": recency,
                "spend": pa.array(spend, from_pandas=True),
                "visits": generator.poisson(2, self.people).astype(np.float64),
                "town": pa.array(town, pa.string()),
            }
        )
        returns = self._habit + 0.7 * noise[2] > 0.8
        return rows, returns


class FakeLake:
    """Tables in memory, one version a changed write; reading a version gives the newest."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[date, pa.Table]] = {}
        self.versions: dict[str, int] = {}

    def write_day(self, table: str, day: date, rows: pa.Table, *, metadata: Mapping[str, str]) -> Commit:
        """Replace a day."""
        if "day" in rows.column_names:
            rows = rows.drop_columns(["day"])
        rows = rows.add_column(0, "day", pa.array([day] * rows.num_rows, pa.date32()))
        days = self.tables.setdefault(table, {})
        changed = day not in days or not days[day].equals(rows)
        if changed:
            days[day] = rows
            self.versions[table] = self.versions.get(table, -1) + 1
        return Commit(table, day, rows.num_rows, self.versions[table], changed)

    def version(self, table: str) -> int | None:
        """Return the newest version."""
        return self.versions.get(table)

    def days(self, table: str, *, version: int | None = None) -> tuple[date, ...]:
        """Return the days that hold rows."""
        return tuple(sorted(day for day, rows in self.tables.get(table, {}).items() if rows.num_rows))

    def held(self, table: str) -> dict[date, Held]:
        """Return the rows of each day."""
        return {day: Held(rows.num_rows, rows.nbytes) for day, rows in self.tables.get(table, {}).items()}

    def has_day(self, table: str, day: date) -> bool:
        """Tell whether a day was written."""
        return day in self.tables.get(table, {})

    def read(
        self, table: str, window: Window, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the rows of a window."""
        found = [rows for day, rows in sorted(self.tables[table].items()) if day in window]
        rows = pa.concat_tables(found, promote_options="default")
        return rows if columns is None else rows.select(list(columns))

    def dataset(self, table: str, *, version: int | None = None) -> pa.Table:
        """Return something with the table's schema."""
        return pa.concat_tables(self.tables[table].values(), promote_options="default")


class FakeWarehouse:
    """Snapshots out of a fake lake, labels out of a dictionary of the people who return.

    Where `given` has a day, its labels are those numbers by person, and a person who is not in it has none.
    """

    def __init__(self, lake: FakeLake) -> None:
        self.lake = lake
        self.returning: dict[date, list[int]] = {}
        self.asked_at: datetime | None = None
        self.given: dict[date, dict[int, float]] = {}

    def pins(self, case: UseCase, *, known_at: datetime | None = None) -> dict[str, int]:
        """Return the version of the features table, and remember which moment was asked for."""
        self.asked_at = known_at
        version = self.lake.version(case.features_table)
        return {} if version is None else {case.features_table: version}

    def snapshots(self, case: UseCase, days: Sequence[date], *, pins: Mapping[str, int]) -> pa.Table:
        """Return the features of the days, by day and entity."""
        missing = [day for day in days if not self.lake.has_day(case.features_table, day)]
        if missing:
            raise DataError(f"{case.features_table} has no snapshot for {missing[0]}.")
        rows = [self.lake.tables[case.features_table][day] for day in sorted(days)]
        names = ["day", case.entity, *case.features.columns]
        table = pa.concat_tables(rows, promote_options="default").select(names)
        return table.sort_by([("day", "ascending"), (case.entity, "ascending")])

    def labels(self, case: UseCase, days: Sequence[date], *, pins: Mapping[str, int]) -> pa.Table:
        """Return a row for each one who has a label: who returns, or whom `given` names."""
        found = [(day, *pair) for day in days for pair in self._of_day(day).items()]
        return pa.table(
            {
                "day": pa.array([day for day, _, _ in found], pa.date32()),
                case.entity: pa.array([person for _, person, _ in found], pa.int64()),
                case.label.column: pa.array([label for _, _, label in found]).cast(self._type(case)),
            }
        )

    def labelled(self, case: UseCase, days: Sequence[date], *, pins: Mapping[str, int]) -> pa.Table:
        """Return the snapshots with their labels; who has none gets 0, or is left out."""
        return self.with_labels(case, self.snapshots(case, days, pins=pins), days, pins=pins)

    def with_labels(self, case: UseCase, rows: pa.Table, days: Sequence[date], *, pins: Mapping[str, int]) -> pa.Table:
        """Return given snapshots with their labels."""
        known = self.labels(case, days, pins=pins).to_pylist()
        named = {(row["day"], row[case.entity]): row[case.label.column] for row in known}
        pairs = zip(rows["day"].to_pylist(), rows[case.entity].to_pylist(), strict=True)
        absent = 0 if case.label.missing == "zero" else None
        label = pa.array([named.get(pair, absent) for pair in pairs]).cast(self._type(case))
        rows = rows.append_column(case.label.column, label)
        return rows.filter(pc.is_valid(rows[case.label.column]))

    def _of_day(self, day: date) -> dict[int, float]:
        return self.given.get(day, dict.fromkeys(self.returning.get(day, []), 1.0))

    def _type(self, case: UseCase) -> pa.DataType:
        return pa.int8() if case.label.kind == "binary" else pa.float64()


@dataclass
class FakeRun:
    """A parent run in memory."""

    run_id: str
    status: str = "RUNNING"
    children: list[ChildRun] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Keep tags."""
        self.tags |= tags

    def child(self, child: ChildRun) -> str:
        """Keep a child run."""
        self.children.append(child)
        return f"{self.run_id}-{len(self.children)}"

    def metrics(self, metrics: Mapping[str, float], *, prefix: str) -> None:
        """Keep metrics."""
        self.figures |= {f"{prefix}_{name}": value for name, value in metrics.items()}

    def files(self, files: Mapping[str, bytes]) -> None:
        """Keep files."""
        self.kept |= files


class FakeRegistry(Registry):
    """Runs, versions and aliases in memory; `down` makes it refuse everything, as a dead MLflow would."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.models: dict[str, list[RegisteredModel]] = {}
        self.alias: dict[str, dict[str, str]] = {}
        self.tags_of: dict[tuple[str, str], dict[str, str]] = {}
        self.described: dict[tuple[str, str], str] = {}
        self.moves: list[tuple[str, str]] = []
        self.kept_notes: dict[str, dict[str, str]] = {}
        self.down: set[str] = set()
        self.forged: dict[tuple[str, str], str] = {}

    def _ask(self, what: str) -> None:
        if what in self.down:
            raise RegistryError(f"MLflow at memory could not {what}.")

    @contextmanager
    def training_run(self, case: str, *, name: str, tags: Mapping[str, str]) -> Iterator[FakeRun]:  # type: ignore[override]
        """Open a run."""
        self._ask("open")
        run = FakeRun(f"run{len(self.runs) + 1}")
        self.runs[run.run_id] = run
        try:
            yield run
            run.status = "FINISHED"
        finally:
            run.status = "FAILED" if run.status == "RUNNING" else run.status

    def register(self, case: str, pipeline: Any, *, run_id: str, manifest: Any, tags: Mapping[str, str]) -> str:
        """Keep a model."""
        self._ask("register")
        versions = self.models.setdefault(case, [])
        made = RegisteredModel(
            str(len(versions) + 1), run_id, pipeline, json.loads(self.runs[run_id].kept["manifest.json"])
        )
        versions.append(made)
        return made.version

    def versions(self, model: str) -> tuple[str, ...]:
        """Return all versions, oldest first."""
        self._ask("versions")
        return tuple(made.version for made in self.models.get(model, []))

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Move an alias."""
        self._ask(f"alias {alias}")
        self.moves.append((alias, version))
        self.alias.setdefault(model, {})[alias] = version

    def delete_alias(self, model: str, alias: str) -> None:
        """Take an alias away."""
        self.alias.get(model, {}).pop(alias, None)

    def note(self, model: str, notes: Mapping[str, str]) -> None:
        """Keep notes about a model."""
        self._ask("note")
        self.kept_notes.setdefault(model, {}).update(notes)

    def notes(self, model: str) -> dict[str, str]:
        """Return the notes about a model."""
        return dict(self.kept_notes.get(model, {}))

    def noted(self, name: str) -> dict[str, str]:
        """Return the models that have such a note."""
        self._ask("noted")
        return {model: kept[name] for model, kept in self.kept_notes.items() if name in kept}

    def aliases(self, model: str) -> dict[str, str]:
        """Return all aliases."""
        return dict(self.alias.get(model, {}))

    def load(self, model: str, version: str) -> RegisteredModel:
        """Return a kept model."""
        self._ask("load")
        return self.models[model][int(version) - 1]

    def manifest(self, model: str, version: str) -> Any:
        """Return what a version was trained with."""
        return self.load(model, version).manifest

    def profile(self, run_id: str) -> Any:
        """Return the kept profile."""
        return json.loads(self.runs[run_id].kept["reference_profile.json"])

    def file(self, model: str, version: str, name: str) -> bytes:
        """Return a kept file."""
        kept = self.runs[self.load(model, version).run_id].kept
        if name not in kept:
            raise RegistryError(f"MLflow at memory could not read {name} of {model} version {version}.")
        return kept[name]

    def keep(self, model: str, version: str, files: Mapping[str, bytes]) -> None:
        """Keep further files."""
        self.runs[self.load(model, version).run_id].files(files)

    def sample(self, run_id: str) -> pa.Table:
        """Return the kept sample."""
        import pyarrow.parquet as pq

        return pq.read_table(pa.BufferReader(self.runs[run_id].kept["reference_sample.parquet"]))

    def rivals(self, run_id: str) -> pa.Table:
        """Return the kept scores of other models."""
        import pyarrow.parquet as pq

        return pq.read_table(pa.BufferReader(self.runs[run_id].kept["holdout_rivals.parquet"]))

    def size(self, model: str, version: str) -> int:
        """Return what a pickle of the model would have."""
        return len(pickle.dumps(self.load(model, version).pipeline))

    def fingerprint(self, model: str, version: str) -> str:
        """Return a hash of the kept model; a test may set another one."""
        made = self.load(model, version)
        return self.forged.get((model, version)) or hashlib.sha256(json.dumps(made.manifest).encode()).hexdigest()

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Keep tags; the real one refuses other names too."""
        for name in tags:
            if not re.fullmatch(r"[\w\-. :/]+", name, re.ASCII):
                raise RegistryError(f"MLflow at memory could not tag {model} with {name!r}.")
        self.tags_of.setdefault((model, version), {}).update(tags)

    def describe(self, model: str, version: str, text: str) -> None:
        """Keep a description."""
        self.described[model, version] = text


class FakeReports:
    """Remembers which pages were asked for."""

    def __init__(self) -> None:
        self.pages: list[Any] = []

    def write(self, page: Any, *, current: pa.Table, reference: pa.Table) -> str:
        """Return where the page would lie."""
        self.pages.append(page)
        return f"drift/{page.case}/{page.day}/version-{page.model_version}.html"


class FakeLineage:
    """Remembers from which version of the snapshots each day was scored."""

    def __init__(self) -> None:
        self.scored_from: dict[date, int] = {}

    def built_from(
        self, case: UseCase, days: Sequence[date], *, pins: Mapping[str, int], known_at: datetime | None = None
    ) -> dict[date, dict[str, int]]:
        """Return nothing: no source of a fake ever changes."""
        return {}

    def keep_predictions(self, case: UseCase, day: date, *, features_version: int, run: str) -> None:
        """Keep a day's version."""
        self.scored_from[day] = features_version


class FakeVitals:
    """Gives what a test has put into `known` of a source, by its name; else a source that holds no day."""

    def __init__(self) -> None:
        self.known: dict[str, Vitals] = {}

    def of(self, case: UseCase, source: Source, day: date, *, pins: Mapping[str, int]) -> Vitals:
        """Return what is known of a source."""
        empty = np.zeros(0, np.int64)
        return self.known.get(source.name, Vitals(source.name, day, (), empty, empty))


@dataclass
class FakeSettings:
    """The settings that stages look at."""

    pages_root: Path
    code_version: str = "abc123"
    airflow_url: str = "http://airflow"
    compute_rate: float | None = None
    compute_currency: str = "USD"


class FakeAdapters:
    """Everything a model stage needs; the ledger is a real one on SQLite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = FakeLake()
        self.warehouse = FakeWarehouse(self.lake)
        self.lineage = FakeLineage()
        self.vitals = FakeVitals()
        self.registry = FakeRegistry()
        self.reports = FakeReports()
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
        self.outbox = Outbox(self.ledger)
        self.settings = FakeSettings(folder / "pages")

    def open_incidents(self) -> tuple[Incident, ...]:
        """Return the incidents that are not over."""
        return open_incidents(self.ledger)

    def overdue(self, now: datetime) -> tuple[datetime, ...]:
        """Return since when mails wait that are due."""
        return tuple(each.not_before for each in self.outbox.waiting() if each.not_before < now)

    def glance(self, *, today: date, names: frozenset[str], only: str | None = None) -> Glance:
        """Return the newest of each use case in the ledger."""
        return glance(self.ledger, today=today, names=names, only=only)

    def newest_days(self, tables: Sequence[str]) -> dict[str, date | None]:
        """Return the newest day of each table."""
        return {table: max(self.lake.days(table), default=None) for table in tables}

    def shadow_days(self, case: str) -> tuple[date, ...]:
        """Return the days that a former champion has scored."""
        return self.lake.days(f"shadow/{case}")

    def live(self, case: UseCase, *, days: int, population: Population | None = None, start: date = FIRST_DAY) -> date:
        """Let that many days pass; return the last of them."""
        people = population or Population()
        for offset in range(days):
            day = start + timedelta(days=offset)
            rows, returns = people.day(day)
            self.lake.write_day(case.features_table, day, rows, metadata={})
            self.warehouse.returning[day] = pc.filter(rows["person"], pa.array(returns)).to_pylist()
        return start + timedelta(days=days - 1)
