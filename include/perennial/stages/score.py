"""Score one day's snapshot with the champion and publish the predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial import projection
from perennial.core import frames, pipelines
from perennial.core.metrics import FloatArray
from perennial.errors import DataError, nearest
from perennial.io.registry import RegisteredModel
from perennial.records import Commit, ScoreRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]


def run(case: UseCase, day: date, adapters: Adapters, *, run: str) -> ScoreRecord:
    """Publish a day's scores: entity, score, model_version, data_version; the same scores again change nothing.

    `data_version` is the version of the features table that the scores were first made from.

    Raises:
        AliasMovedError: somebody has moved the champion's alias by hand.
        RegistryError: there is no champion yet, or MLflow does not answer.
        DataError: the day has no snapshot, or the snapshot lacks a feature of the champion.
    """
    return run_days(case, [day], adapters, run=run)[0]


def run_days(
    case: UseCase, days: Sequence[date], adapters: Adapters, *, run: str, progress: Progress | None = None
) -> tuple[ScoreRecord, ...]:
    """Publish the scores of many days by the one champion of now; a day that cannot be scored ends it.

    Raises:
        AliasMovedError: somebody has moved the champion's alias by hand.
        RegistryError: there is no champion yet, or MLflow does not answer.
        DataError: a day has no snapshot, or a snapshot lacks a feature of the champion.
    """
    champion = adapters.registry.load(case.name, projection.champion(case.name, adapters))
    _check_features(case, champion)
    pins = adapters.warehouse.pins(case)
    records = []
    for done, day in enumerate(days, start=1):
        records.append(_score(case, day, adapters, champion, pins=pins, run=run))
        if progress is not None:
            progress("scores", done, len(days))
    return tuple(records)


def _score(
    case: UseCase, day: date, adapters: Adapters, champion: RegisteredModel, *, pins: Mapping[str, int], run: str
) -> ScoreRecord:
    rows = adapters.warehouse.snapshots(case, [day], pins=pins)
    frame = frames.model_frame(rows, numeric=champion.numeric, categorical=champion.categorical)
    score = pipelines.scores(champion.pipeline, frame, kind=champion.kind)
    predictions = _predictions(case, rows, score, version=champion.version)
    commit, data_version = _publish(case, day, adapters, predictions, data_version=pins[case.features_table], run=run)
    adapters.lineage.keep_predictions(case, day, features_version=pins[case.features_table], run=run)
    log.info("%s of %s: %s rows by version %s", case.name, day, commit.rows, champion.version)
    return ScoreRecord(
        case=case.name,
        day=day,
        rows=commit.rows,
        model_version=champion.version,
        data_version=data_version,
        version=commit.version,
        changed=commit.changed,
    )


def _check_features(case: UseCase, champion: RegisteredModel) -> None:
    """Refuse a champion that was trained on a feature the spec has dropped."""
    declared = case.features.columns
    gone = [name for name in (*champion.numeric, *champion.categorical) if name not in declared]
    if gone:
        raise DataError(
            f"Champion version {champion.version} of {case.name} needs {', '.join(gone)}, which use_case.yaml no "
            f"longer declares. {nearest(gone[0], declared)} Put it back, or train and promote a challenger without it."
        )


def _predictions(case: UseCase, rows: pa.Table, score: FloatArray, *, version: str) -> pa.Table:
    """Return the table to publish, still without the version of its data."""
    return pa.table(
        {
            case.entity: rows[case.entity],
            "score": pa.array(score, pa.float64()),
            "model_version": pa.array([version] * rows.num_rows, pa.string()),
        }
    )


def _publish(
    case: UseCase, day: date, adapters: Adapters, predictions: pa.Table, *, data_version: int, run: str
) -> tuple[Commit, int]:
    """Write the day unless the very same scores are there; return the commit and the data version that is stored.

    The features table gets a new version with every day that is built, so comparing with the data version
    would write old days anew for no reason.
    """
    table = case.predictions_table
    if adapters.lake.has_day(table, day):
        stored = adapters.lake.read(table, Window.of_day(day))
        if _same(case, stored, predictions):
            first_version = int(stored["data_version"][0].as_py())
            commit = Commit(table, day, predictions.num_rows, adapters.lake.version(table) or 0, changed=False)
            return commit, first_version
    versions = pa.array([data_version] * predictions.num_rows, pa.int64())
    metadata = {"case": case.name, "run": run, "spec": case.fingerprint()[:12]}
    rows = predictions.append_column("data_version", versions)
    return adapters.lake.write_day(table, day, rows, metadata=metadata), data_version


def _same(case: UseCase, stored: pa.Table, predictions: pa.Table) -> bool:
    """Tell whether the stored rows are the new ones, in whatever order."""
    if stored.num_rows != predictions.num_rows:
        return False
    names = [case.entity, "score", "model_version"]
    order = [(case.entity, "ascending")]
    sides = [table.select(names).sort_by(order).combine_chunks() for table in (stored, predictions)]
    return bool(sides[0].cast(sides[1].schema).equals(sides[1]))
