"""Score one day's snapshot with the champion and publish the predictions; in the shadow with the former one too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial import probations, projection
from perennial.core import frames, pipelines
from perennial.errors import DataError, PerennialError, nearest
from perennial.io.registry import RegisteredModel
from perennial.probations import Running
from perennial.records import Commit, ScoreRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]
# What a former champion may break with: our own errors, and those of an estimator that other libraries have loaded.
BREAKS = (PerennialError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


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

    While it is on probation the former champion scores the days that count as well, each after the champion's own
    scores are out. Where it cannot, the log and the record say why, and nothing else is held up.

    Raises:
        AliasMovedError: somebody has moved the champion's alias by hand.
        RegistryError: there is no champion yet, or MLflow does not answer.
        DataError: a day has no snapshot, or a snapshot lacks a feature of the champion.
    """
    champion = adapters.registry.load(case.name, projection.champion(case.name, adapters))
    _check_features(case, champion)
    shadow = _Shadow.of(case, adapters, champion=champion.version)
    pins = adapters.warehouse.pins(case)
    records = []
    for done, day in enumerate(days, start=1):
        rows = adapters.warehouse.snapshots(case, [day], pins=pins)
        record = _score(case, day, adapters, champion, rows=rows, pins=pins, run=run)
        records.append(shadow.beside(record, rows, pins=pins, run=run) if shadow else record)
        if progress is not None:
            progress("scores", done, len(days))
    return tuple(records)


def _score(
    case: UseCase, day: date, adapters: Adapters, champion: RegisteredModel, *, rows: pa.Table,
    pins: Mapping[str, int], run: str,
) -> ScoreRecord:  # fmt: skip
    predictions = _predictions(case, rows, champion)
    version = pins[case.features_table]
    commit, data_version = _publish(
        case, day, adapters, predictions, table=case.predictions_table, data_version=version, run=run
    )
    adapters.lineage.keep_predictions(case, day, features_version=version, run=run)
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


@dataclass
class _Shadow:
    """The former champion beside one that is on probation; `broken` says why it cannot score, if it cannot."""

    case: UseCase
    adapters: Adapters
    probation: Running
    model: RegisteredModel | None = None
    broken: str = ""

    @classmethod
    def of(cls, case: UseCase, adapters: Adapters, *, champion: str) -> _Shadow | None:
        """Return the shadow of the probation that is on, None where none is."""
        probation = probations.running(case.name, adapters.ledger)
        if probation is None or probation.new != champion:
            return None
        found = cls(case, adapters, probation)
        try:
            model = adapters.registry.load(case.name, probation.former)
            _check_features(case, model, who="Former champion")
            found.model = model
        except BREAKS as error:
            found.break_off(error)
        return found

    def beside(self, record: ScoreRecord, rows: pa.Table, *, pins: Mapping[str, int], run: str) -> ScoreRecord:
        """Publish the day's scores by the former champion, and return the record with what became of it."""
        if record.day < self.probation.declared.start:
            return record
        if self.model is not None:
            try:
                predictions = _predictions(self.case, rows, self.model)
                version = pins[self.case.features_table]
                _publish(
                    self.case, record.day, self.adapters, predictions, table=self.case.shadow_table,
                    data_version=version, run=run,
                )  # fmt: skip
                return replace(record, shadow=self.model.version)
            except BREAKS as error:
                self.break_off(error)
        return replace(record, shadow_missing=self.broken)

    def break_off(self, error: Exception) -> None:
        """Score no further day in the shadow; the champion's scores go on."""
        self.model, self.broken = None, f"{type(error).__name__}: {error}"
        log.warning(
            "%s: version %s does not score in the shadow, so the probation of version %s stands still: %s",
            self.case.name, self.probation.former, self.probation.new, self.broken,
        )  # fmt: skip


def _check_features(case: UseCase, champion: RegisteredModel, *, who: str = "Champion") -> None:
    """Refuse a champion that was trained on a feature the spec has dropped."""
    declared = case.features.columns
    gone = [name for name in (*champion.numeric, *champion.categorical) if name not in declared]
    if gone:
        raise DataError(
            f"{who} version {champion.version} of {case.name} needs {', '.join(gone)}, which use_case.yaml no "
            f"longer declares. {nearest(gone[0], declared)} Put it back, or train and promote a challenger without it."
        )


def _predictions(case: UseCase, rows: pa.Table, model: RegisteredModel) -> pa.Table:
    """Return the table to publish, still without the version of its data."""
    frame = frames.model_frame(rows, numeric=model.numeric, categorical=model.categorical)
    score = pipelines.scores(model.pipeline, frame, kind=model.kind)
    return pa.table(
        {
            case.entity: rows[case.entity],
            "score": pa.array(score, pa.float64()),
            "model_version": pa.array([model.version] * rows.num_rows, pa.string()),
        }
    )


def _publish(
    case: UseCase, day: date, adapters: Adapters, predictions: pa.Table, *, table: str, data_version: int, run: str
) -> tuple[Commit, int]:
    """Write the day unless the very same scores are there; return the commit and the data version that is stored.

    The features table gets a new version with every day that is built, so comparing with the data version
    would write old days anew for no reason.
    """
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
