"""Rebuild a model from its manifest alone and compare each stage with what its training recorded.

Source versions, features, rows, model, predictions: the first stage that differs ends it, since everything behind it
follows from it. Lake and registry are only read. `perennial reproduce` runs it in a process of its own.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.core import anatomy, contest, differences, frames, splits
from perennial.core.contest import Finished, Part
from perennial.core.pipelines import Recipe
from perennial.core.splits import PARTS, Split
from perennial.errors import DataError, LakeError, SpecError
from perennial.io.lake import DAY, GONE
from perennial.receipts import Outcome, Rebuilt, Stage
from perennial.records import Json
from perennial.spec import UseCase
from perennial.stages import blueprint
from perennial.stages.blueprint import BLUEPRINT, GOLDEN, SCORE, Blueprint

if TYPE_CHECKING:
    from perennial.adapters import Adapters

NAMED = 5
BREAKS = (DataError, LakeError, SpecError, OSError, pa.ArrowException)


def run(name: str, version: str, adapters: Adapters, *, today: UseCase | None) -> Rebuilt:
    """Return what became of each stage, as far as they are equal.

    Args:
        name: of the use case.
        version: of its model; its manifest has a blueprint.
        adapters: lake, warehouse and registry; nothing is written.
        today: the use case as it is declared now, to compare with; None leaves that out.

    Raises:
        RegistryError: the manifest, a file beside it or the model cannot be read.
    """
    registry = adapters.registry
    made = _Model(
        name, version, adapters, registry.manifest(name, version),
        Blueprint.from_json(registry.file(name, version, BLUEPRINT)),
    )  # fmt: skip
    steps: tuple[tuple[Stage, Callable[[], Outcome]], ...] = (
        ("definition", lambda: made.definition(today)),
        ("sources", made.sources),
        ("features", made.features),
        ("rows", made.rows),
        ("model", made.model),
        ("predictions", made.predictions),
    )
    outcomes: list[Outcome] = []
    for stage, step in steps:
        outcomes.append(_outcome(stage, step))
        if outcomes[-1].state == "differs":
            break
    return Rebuilt(tuple(outcomes), tuple(_notes(made.manifest)))


def _outcome(stage: Stage, step: Callable[[], Outcome]) -> Outcome:
    """Return a stage's outcome; one that breaks off differs, and says why."""
    try:
        return step()
    except BREAKS as error:
        return Outcome(stage, "differs", recorded="", found="", detail=str(error))


@dataclass(slots=True)
class _Model:
    """A model under reconstruction: what was recorded, and what the stages so far have made."""

    name: str
    version: str
    adapters: Adapters
    manifest: Json
    blueprint: Blueprint
    case: UseCase = field(init=False)
    split: Split = field(init=False)
    snapshots: pa.Table = field(init=False)
    tables: Mapping[str, pa.Table] = field(init=False)
    finished: Finished = field(init=False)

    def __post_init__(self) -> None:
        """Read the use case and the split as they were."""
        self.case, self.split = self.blueprint.case, Split.from_json(self.manifest["split"])

    @property
    def pins(self) -> dict[str, int]:
        """Return the recorded version of each table."""
        return dict(self.manifest["data_versions"])

    @property
    def older(self) -> dict[date, dict[str, int]]:
        """Return the versions behind the snapshots that were not built from these, by day."""
        return {date.fromisoformat(day): pins for day, pins in self.manifest[blueprint.OLDER].items()}

    @property
    def recorded(self) -> Json:
        """Return the recorded fingerprints."""
        return dict(self.manifest[blueprint.KEY])

    @property
    def recipe(self) -> Recipe:
        """Return what the manifest says the winner is: searched parameters included, so that nothing is searched."""
        winner, features = self.manifest["winner"], self.manifest["features"]
        return Recipe(
            winner["name"], winner["estimator"], winner["params"], tuple(features["numeric"]),
            tuple(features["categorical"]), seed=self.manifest["seed"], kind=self.manifest["label_kind"],
        )  # fmt: skip

    def definition(self, today: UseCase | None) -> Outcome:
        """Compare the files of the use case with those of then; the stages behind it use those of then."""
        then = blueprint.deciding(self.case)
        recorded = blueprint.fingerprint(then)
        if today is None:
            return Outcome("definition", "not compared", recorded, recorded)
        now = blueprint.deciding(today)
        detail = f"{differences.told(then, now)}. With `--definition recorded` it is rebuilt as it was"
        return Outcome.of("definition", recorded, blueprint.fingerprint(now), detail=detail)

    def sources(self) -> Outcome:
        """Compare the bytes of every file that was read."""
        days, lake = self.split.all_days, self.adapters.lake
        found = blueprint.source_digests(self.case, days, lake, pins=self.pins, older=self.older)
        now = {name: blueprint.fingerprint(files) for name, files in found.items()}
        then = self.blueprint.sources
        told = "; ".join(filter(None, (_files(name, files, found.get(name, {})) for name, files in then.items())))
        recorded = blueprint.fingerprint(self.recorded["sources"])
        return Outcome("sources", "differs" if told else "equal", recorded, blueprint.fingerprint(now), told)

    def features(self) -> Outcome:
        """Build the snapshots from the sources again, and compare them day by day."""
        columns = [DAY, self.case.entity, *self.case.features.columns]
        built = {day: rows.select(columns) for day, rows in self._built()}
        self.snapshots = pa.concat_tables(built[day] for day in sorted(built))
        now = blueprint.by_day(self.snapshots)
        recorded = self.recorded["features"]
        if blueprint.fingerprint(now) == recorded:
            return Outcome.of("features", recorded, recorded)
        return Outcome.of("features", recorded, blueprint.fingerprint(now), detail=self._days(now))

    def _built(self) -> Iterator[tuple[date, pa.Table]]:
        """Yield each day's snapshot from the versions it was built from."""
        warehouse, older = self.adapters.warehouse, self.older
        fresh = [day for day in self.split.all_days if day not in older]
        yield from warehouse.feature_days(self.case, fresh, pins=self.pins) if fresh else ()
        for day, pins in older.items():
            yield from warehouse.feature_days(self.case, [day], pins=pins)

    def _days(self, now: Mapping[str, str]) -> str:
        """Return which days differ, and in which columns the first of them differs from the one that lies there."""
        then = self.blueprint.features
        differing = [day for day in sorted({*then, *now}) if then.get(day) != now.get(day)]
        if not differing:
            return "the blueprint does not fit the manifest"
        day = next(each for each in self.split.all_days if each.isoformat() == differing[0])
        stored = self.adapters.warehouse.snapshots(self.case, [day], pins=self.pins)
        rebuilt = self.snapshots.filter(pc.equal(self.snapshots[DAY], pa.scalar(day)))
        columns = [name for name in stored.column_names if not _same(stored, rebuilt, name)]
        return (
            f"{len(differing)} of {len(then)} days, the first {day}: {', '.join(columns) or 'no column'} of "
            f"{rebuilt.num_rows} rows differ from the {stored.num_rows} rows of the snapshot"
        )

    def rows(self) -> Outcome:
        """Join the labels again, and compare each part."""
        days = self.split.all_days
        rows = self.adapters.warehouse.with_labels(self.case, self.snapshots, days, pins=self.pins)
        self.tables = splits.cut(rows, self.split)
        then = self.manifest["fingerprints"]
        now = {part: frames.fingerprint(table) for part, table in self.tables.items()}
        told = [
            f"{part} has {self.tables[part].num_rows} rows, had {self.manifest['rows'][part]}"
            for part in PARTS
            if now[part] != then[part]
        ]
        return Outcome.of("rows", blueprint.fingerprint(then), blueprint.fingerprint(now), detail="; ".join(told))

    def model(self) -> Outcome:
        """Fit the winner's recipe again, and compare what it learned."""
        fitted = pa.concat_tables([self.tables["fit"], self.tables["validation"]])
        refit_on, holdout = Part.of(fitted, self.case), Part.of(self.tables["holdout"], self.case)
        share = self.manifest["contacted_share"]
        self.finished = contest.refit(self.recipe, share, refit_on=refit_on, holdout=holdout, case=self.case)
        now, then = anatomy.parts(self.finished.pipeline), self.blueprint.model
        changed = [part for part in sorted({*now, *then}) if now.get(part) != then.get(part)]
        detail = f"{self.recipe.estimator} came out otherwise in {_few(changed)}"
        return Outcome.of("model", self.recorded["model"], blueprint.fingerprint(now), detail=detail)

    def predictions(self) -> Outcome:
        """Score the golden rows, by the rebuilt model and by the registered one, and measure the holdout."""
        golden = pq.read_table(pa.BufferReader(self.adapters.registry.file(self.name, self.version, GOLDEN)))
        recorded = frames.numbers(golden[SCORE])
        models = {
            "rebuilt": self.finished.pipeline,
            "registered": self.adapters.registry.load(self.name, self.version).pipeline,
        }
        scores = {name: blueprint.golden_scores(golden, each, self.recipe) for name, each in models.items()}
        told = [
            f"the {name} model scores {int((each != recorded).sum())} of {recorded.size} golden rows otherwise, by up "
            f"to {np.abs(each - recorded).max():.3g}"
            for name, each in scores.items()
            if not np.array_equal(each, recorded)
        ]
        holdout = differences.told(self.manifest["holdout"], dict(self.finished.metrics))
        told += [f"on the holdout {holdout}"] if holdout else []
        then = {"golden": {name: recorded.tolist() for name in models}, "holdout": self.manifest["holdout"]}
        now = {
            "golden": {name: each.tolist() for name, each in scores.items()},
            "holdout": dict(self.finished.metrics),
        }
        found = blueprint.fingerprint(now)
        return Outcome.of("predictions", blueprint.fingerprint(then), found, detail="; ".join(told))


def _same(then: pa.Table, now: pa.Table, name: str) -> bool:
    return frames.fingerprint(then.select([name])) == frames.fingerprint(now.select([name]))


def _files(source: str, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return which files of a source differ, and how."""
    told = [
        f"{path} {'is gone' if now.get(path, GONE) == GONE else 'has other bytes' if path in then else 'is new'}"
        for path in sorted({*then, *now})
        if then.get(path) != now.get(path) or now[path] == GONE  # gone before the training could pin it
    ]
    return f"{source}: {_few(told)}" if told else ""


def _few(told: list[str]) -> str:
    return ", ".join(told[:NAMED]) + (f" and {len(told) - NAMED} more" if len(told) > NAMED else "")


def _notes(manifest: Json) -> Iterator[str]:
    """Yield what else is not as it was, and may be why a stage differs."""
    then: dict[str, Any] = manifest["libraries"]
    now = blueprint.libraries()
    for name in sorted(then):
        if then[name] != now.get(name):
            yield f"{name} was {then[name]}, is {now.get(name, 'not installed')}"
    machine = manifest[blueprint.KEY].get("machine", "")
    if machine != platform.machine():
        yield f"it was trained on {machine or 'an unknown machine'}, this is {platform.machine()}"
