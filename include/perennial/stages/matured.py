"""The champion's own stored scores of the newest days whose labels have matured, and what these say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.core import frames, metrics, promises
from perennial.core.evidence import Contender
from perennial.core.metrics import FloatArray, IntArray
from perennial.core.promises import Judge
from perennial.io.registry import RegisteredModel
from perennial.records import Measure, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters


@dataclass(frozen=True, slots=True)
class Matured:
    """The champion's metrics on matured labels; none where they cannot be told, with the reason."""

    metrics: Mapping[str, float]
    window: Window
    measures: tuple[Measure, ...]
    unknown: str = ""


def judged(
    case: UseCase, day: date, adapters: Adapters, *, champion: RegisteredModel, pins: Mapping[str, int], late: str = ""
) -> Matured:
    """Return performance, calibration and value on matured labels.

    Where labels are due and have not come nothing is told: their absence would look like decay.

    Args:
        case: whose champion.
        day: labels count that had matured by its end.
        adapters: lake and warehouse.
        champion: scores of other versions say nothing about it.
        pins: the table versions to read.
        late: why labels are late; empty where they are not.
    """
    window = Window.ending(day - case.horizon, days=case.monitoring.performance.window_days)
    if late:
        return _unknown(case, window, f"labels are late. {late.removesuffix('.')}")
    rows = _rows(case, window, adapters, champion=champion, pins=pins)
    if isinstance(rows, Measure):
        return _unknown(case, window, f"labels are late. {rows.detail.removesuffix('.')}", rows)
    if isinstance(rows, str):
        return _unknown(case, window, rows)
    label, score = frames.numbers(rows[case.label.column]), frames.numbers(rows["score"])
    scored = frames.scored(rows, label=label, score=score, entity=case.entity, kind=champion.kind)
    found = metrics.evaluate(scored, value=case.value, share=champion.contacted_share)
    contender = Contender(scored, champion.contacted_share, case.value, found)
    judge = Judge(scored, case.label.horizon_days, case.monitoring, case.training.seed)
    measures = (
        *promises.performance(judge, contender),
        *promises.calibration(judge),
        *promises.value(judge, contender),
    )
    return Matured({name: value for name, value in found.items() if math.isfinite(value)}, window, measures)


def _unknown(case: UseCase, window: Window, reason: str, *found: Measure) -> Matured:
    """Return that nothing can be told, and why, with what was found on the way."""
    limit = case.monitoring.performance
    measures = [
        Measure("performance", limit.metric, "value", None, limit=promises.limit_of(limit), detail=f"{reason}.")
    ]
    kind = "observed / expected" if case.label.kind == "binary" else "bias"
    measures.append(Measure("calibration", "score", kind, None, detail=f"{reason}."))
    if case.value is not None:
        measures.append(Measure("value", "expected_profit", "realised", None, detail=f"{reason}."))
    return Matured({}, window, (*found, *measures), reason)


def _rows(
    case: UseCase, window: Window, adapters: Adapters, *, champion: RegisteredModel, pins: Mapping[str, int]
) -> pa.Table | str | Measure:
    """Return the champion's matured scores with their labels, why there are too few, or that none have come."""
    least = case.monitoring.min_rows
    known = [scored for scored in adapters.lake.days(case.predictions_table) if scored in window]
    if not known:
        return f"no scores of {window.start} to {window.end} to judge"
    rows = adapters.lake.read(case.predictions_table, window)
    rows = rows.filter(pc.equal(rows["model_version"], champion.version)).select(["day", case.entity, "score"])
    if rows.num_rows < least:
        return f"{rows.num_rows} matured scores of version {champion.version}, {least} needed"
    joined = rows.join(
        adapters.warehouse.labels(case, known, pins=pins), keys=["day", case.entity], join_type="left outer"
    )
    missing = promises.missing_labels(*_came(case, joined), name=case.label.column)
    if missing is not None:
        return missing
    rows = _filled(case, joined)
    label = frames.numbers(rows[case.label.column])
    if label.size < least:
        return f"{label.size} of the matured scores have a label, {least} needed"
    if label.min() == label.max():
        return f"all {label.size} matured labels are {label[0]:g}"
    return rows


def _came(case: UseCase, joined: pa.Table) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return of each scored row its day, how many labels are expected of it, and how many have come.

    Where an entity that `label.sql` leaves out has the label 0, only ones come: as many as the scores promise.
    """
    label, day = joined[case.label.column], frames.day_numbers(joined["day"])
    came = frames.numbers(pc.is_valid(label))
    if case.label.missing == "drop" or case.label.kind != "binary":
        return day, np.ones(day.size), came
    return day, frames.numbers(joined["score"]), came


def _filled(case: UseCase, joined: pa.Table) -> pa.Table:
    """Return the rows in order; what `label.sql` leaves out has the label 0, or is left out too."""
    column = case.label.column
    if case.label.missing == "drop":
        joined = joined.filter(pc.is_valid(joined[column]))
    else:
        filled = pc.fill_null(joined[column], pa.scalar(0, joined[column].type))
        joined = joined.set_column(joined.schema.get_field_index(column), column, filled)
    return joined.sort_by([("day", "ascending"), (case.entity, "ascending")])
