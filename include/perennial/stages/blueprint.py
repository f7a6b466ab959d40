"""The blueprint of a model: what a training keeps beside its manifest, so that the model can be rebuilt and compared.

The definition of the rows as it was, the digest of every source file that was read, a fingerprint of each day's
features and of each part of the fitted model, and the golden rows with their scores. No row carries an entity.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.core import anatomy, frames, pipelines
from perennial.core.metrics import FloatArray
from perennial.core.pipelines import Recipe
from perennial.io.lake import DAY, Lake
from perennial.records import Json, Record, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

BLUEPRINT, GOLDEN, SCORE = "blueprint.json", "golden_rows.parquet", "score"
KEY = "reproduction"  # of the manifest
OLDER = "built_from"  # of the manifest: by day the versions behind a snapshot that was not built from `data_versions`
GOLDEN_ROWS = 100
LIBRARIES = (
    "perennial", "scikit-learn", "lightgbm", "numpy", "pandas", "pyarrow", "duckdb", "deltalake", "optuna", "skops",
    "mlflow",
)  # fmt: skip
# What of a source says how its rows are seen; how they came into the lake does not matter to a version of the lake.
SEEN = ("keys", "columns", "time_column", "known_ahead_days", "valid_from")

Digests = Mapping[str, Mapping[str, str]]
Pins = Mapping[str, int]
Older = Mapping[date, Pins]


@dataclass(frozen=True, slots=True)
class Blueprint(Record):
    """What can be compared stage by stage.

    Attributes:
        definition: `spec` and `texts` of the use case, from which it is loaded again.
        sources: by source the SHA-256 of each data file, by its path below the table.
        features: a fingerprint of the snapshots by day.
        model: a fingerprint of each attribute of the fitted steps.
    """

    definition: Json
    sources: Digests
    features: Mapping[str, str]
    model: Mapping[str, str]

    @classmethod
    def from_json(cls, text: bytes) -> Blueprint:
        """Return the blueprint that `text` wrote."""
        return cls(**json.loads(text))

    @property
    def text(self) -> bytes:
        """Return it as a file."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True).encode()

    @property
    def case(self) -> UseCase:
        """Return the use case as it was."""
        return UseCase.model_validate(self.definition["spec"]).with_texts(self.definition["texts"])


@dataclass(frozen=True, slots=True)
class Kept:
    """A blueprint and golden rows as the files of a run, and what the manifest says of them."""

    blueprint: Blueprint
    golden: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """Return the files by name."""
        return {BLUEPRINT: self.blueprint.text, GOLDEN: self.golden}

    @property
    def summary(self) -> Json:
        """Return one fingerprint a stage, and those of the files."""
        return {
            "sources": {name: fingerprint(files) for name, files in self.blueprint.sources.items()},
            "features": fingerprint(self.blueprint.features),
            "model": fingerprint(self.blueprint.model),
            "machine": platform.machine(),
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()},
        }


def of_training(
    case: UseCase,
    *,
    sources: Digests,
    features: Mapping[str, str],
    holdout: pa.Table,
    pipeline: Pipeline,
    recipe: Recipe,
) -> Kept:
    """Return what a training keeps.

    Args:
        case: as it was trained.
        sources: as `source_digests` gave them.
        features: as `by_day` gave them.
        holdout: rows of the holdout.
        pipeline: the model, fitted on fit and validation rows.
        recipe: what it was fitted by.
    """
    rows = golden_rows(holdout, recipe)
    buffer = io.BytesIO()
    pq.write_table(rows.append_column(SCORE, pa.array(golden_scores(rows, pipeline, recipe))), buffer)
    return Kept(Blueprint(definition(case), sources, features, anatomy.parts(pipeline)), buffer.getvalue())


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def table_versions(manifest: Json) -> dict[str, set[int]]:
    """Return the versions of each table that a model's manifest names."""
    found: dict[str, set[int]] = {}
    for versions in (manifest["data_versions"], *manifest.get(OLDER, {}).values()):
        for table, number in versions.items():
            found.setdefault(table, set()).add(int(number))
    return found


def libraries() -> dict[str, str]:
    """Return the installed versions of what a model depends on."""
    return {name: version(name) for name in LIBRARIES}


def definition(case: UseCase) -> Json:
    """Return the spec and the SQL that rows are made by."""
    files = [case.label.sql, *([] if case.features.sql is None else [case.features.sql])]
    return {"spec": case.model_dump(mode="json"), "texts": {name: case.text(name) for name in files}}


def deciding(case: UseCase) -> Json:
    """Return what of a definition decides the rows and their measures; split, recipe and seed are in the manifest."""
    declared = definition(case)
    spec = declared["spec"]
    return {
        "use_case.yaml": {
            "entity": spec["entity"],
            "sources": {each["name"]: {name: each[name] for name in SEEN} for each in spec["sources"]},
            "features": {name: value for name, value in spec["features"].items() if name != "strong"},
            "label": spec["label"],
            "value": spec["value"],
        },
        **declared["texts"],
    }


def source_digests(case: UseCase, days: Sequence[date], lake: Lake, *, pins: Pins, older: Older) -> Digests:
    """Return the digest of every source file that features and labels of `days` are made from.

    Args:
        case: whose sources.
        days: of the snapshots.
        lake: the tables.
        pins: version of each table.
        older: by day the versions behind a snapshot that was not built from those.

    Raises:
        LakeError: a table is not there at its pinned version.
    """
    found: dict[str, dict[str, str]] = {}
    for behind, versions in ((days, pins), *(([day], each) for day, each in older.items())):
        for name, files in _digests(case, behind, lake, versions).items():
            found.setdefault(name, {}).update(files)
    return found


def _digests(case: UseCase, days: Sequence[date], lake: Lake, pins: Pins) -> dict[str, dict[str, str]]:
    found = {}
    for source in case.sources:
        table = case.raw_table(source.name)
        if table not in pins:
            continue
        first = min(days) - timedelta(days=case.features.lookback_days)
        last = max(days) + case.horizon + timedelta(days=source.known_ahead_days)
        if source.is_reference:
            first = lake.snapshot_day(table, min(days), version=pins[table])
            last = max(first, max(days))
        window = Window(first, last + timedelta(days=1))
        found[source.name] = lake.digests(table, window, version=pins[table])
    return found


def by_day(rows: pa.Table) -> dict[str, str]:
    """Return a fingerprint of the rows of each day."""
    days = sorted(rows[DAY].unique().to_pylist())
    return {day.isoformat(): frames.fingerprint(rows.filter(pc.equal(rows[DAY], pa.scalar(day)))) for day in days}


def golden_rows(holdout: pa.Table, recipe: Recipe) -> pa.Table:
    """Return features of holdout rows, evenly spaced: always the same ones, and nobody's name."""
    places = np.unique(np.linspace(0, holdout.num_rows - 1, GOLDEN_ROWS).astype(int))
    return holdout.take(places).select(list(recipe.features))


def golden_scores(rows: pa.Table, pipeline: Pipeline, recipe: Recipe) -> FloatArray:
    """Return the scores of the golden rows, predicted together: how many go together may change the last bit."""
    frame = frames.model_frame(rows, numeric=recipe.numeric, categorical=recipe.categorical)
    return pipelines.scores(pipeline, frame, kind=recipe.kind)
