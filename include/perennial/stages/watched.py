"""What is measured of a day beside drift and matured labels: its sources, its estimate, its scores, what was served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.core import drift, estimation, feeds, frames, pipelines, promises
from perennial.core.estimation import EstimatedPerformance, Rows
from perennial.errors import DataError, LakeError, RegistryError
from perennial.io.registry import RegisteredModel
from perennial.io.vitals import sources_of
from perennial.records import ColumnDrift, Measure, Window
from perennial.spec import UseCase
from perennial.stages import holdouts

if TYPE_CHECKING:
    from perennial.adapters import Adapters

# A metric that cannot be estimated, and the nearest one that can.
NEAREST = {
    "expected_calibration_error": "brier_score",
    "reliability_gap": "brier_score",
    "median_absolute_error": "mae",
    "bias": "mae",
    "r2": "rmse",
}
SAME = 1e-9  # as close as scores of the same model on the same features come


@dataclass(frozen=True, slots=True)
class Sources:
    """What was measured of the sources, and why labels are late; empty where they are not."""

    measures: tuple[Measure, ...]
    late: str


def sources(case: UseCase, day: date, adapters: Adapters, *, pins: Mapping[str, int]) -> Sources:
    """Return what the day's sources hold against the days before, and whether labels have come that are due."""
    by_features, by_label = sources_of(case)
    counted = {source.name: adapters.vitals.of(case, source, day, pins=pins) for source in case.sources}
    limits = case.monitoring.feed
    found: list[Measure] = []
    for name, vitals in counted.items():
        only_labels = name in by_label and name not in by_features
        found += feeds.judge(vitals, limits=limits, about="labels" if only_labels else "feed")
    needed = [counted[source.name] for source in case.sources if source.name in by_label and not source.is_reference]
    since = Window.ending(day - case.horizon, days=case.monitoring.performance.window_days).start + timedelta(days=1)
    due = feeds.due(needed, case=case.name, limits=limits, since=since)
    return Sources((*found, *due), " ".join(each.detail for each in due if each.over))


def score(found: ColumnDrift) -> Measure:
    """Return the score's PSI against its limit, or that it cannot be told."""
    over = drift.counts_as_drift(found)
    said = ""
    if over and found.psi is not None and found.limit is not None:
        said = f"The PSI of the scores is {found.psi:.3f}, limit {found.limit:.3g}."
    elif found.psi is None:
        said = f"The scores cannot be judged: {found.verdict} ({found.detail})."
    return Measure("scores", "score", "psi", found.psi, limit=found.limit, over=over, detail=said)


def estimate(case: UseCase, rows: pa.Table, adapters: Adapters, *, champion: RegisteredModel) -> Measure:
    """Return the declared metric as it probably is on a day's rows, before their labels mature.

    A metric that cannot be estimated stands behind the nearest one that can, which has no limit. Unknown, with the
    reason, for a champion whose training kept no holdout.

    Args:
        case: whose day.
        rows: day, entity and features, with the champion's `score`.
        adapters: the registry.
        champion: which made the scores.
    """
    limit = case.monitoring.performance
    metric = NEAREST.get(limit.metric, limit.metric)
    held = promises.limit_of(limit) if metric == limit.metric else None
    reason = _lacking(rows, champion) if champion.kind == "number" else ""
    if rows.num_rows < case.monitoring.min_rows:
        reason = f"{rows.num_rows} rows with a score of version {champion.version}, {case.monitoring.min_rows} needed."
    if reason:
        return Measure("estimate", metric, "value", None, limit=held, detail=reason)
    try:
        found = _estimated(case, rows, adapters, champion=champion)
    except (RegistryError, DataError) as error:
        reason = f"{metric} cannot be estimated for version {champion.version}: {error}"
        return Measure("estimate", metric, "value", None, limit=held, detail=reason)
    expected = found.metrics[metric]
    if held is None:
        low, high = promises.finite(expected.low), promises.finite(expected.high)
        return Measure("estimate", metric, "value", promises.finite(expected.value), low, high, detail=found.blind)
    interval = promises.Interval(expected.value, expected.low, expected.high)
    source = f"{found.rows:,} rows, {found.confidence:.0%} interval"
    measured = promises.against_limit(interval, limit, about="estimate", what="as estimated", source=source)
    said = f"{measured.detail} {found.blind}".strip()
    return Measure(
        "estimate", metric, "value", measured.value, measured.low, measured.high, held, over=measured.over, detail=said
    )


def _estimated(case: UseCase, rows: pa.Table, adapters: Adapters, *, champion: RegisteredModel) -> EstimatedPerformance:
    """Return the estimate in the way of the label's kind."""
    kept = holdouts.read(adapters.registry.file(case.name, champion.version, holdouts.HOLDOUT), kind=champion.kind)
    held, seed = case.monitoring, case.training.seed
    day, entity = frames.day_numbers(rows["day"]), frames.codes(rows[case.entity])
    today = frames.numbers(rows["score"])
    if champion.kind == "binary":
        return estimation.by_confidence(
            Rows(today, day, entity), kept.scored, value=case.value, share=champion.contacted_share,
            confidence=held.confidence, seed=seed,
        )  # fmt: skip
    features, known = holdouts.numbered(rows, kept.features, numeric=champion.numeric, categorical=champion.categorical)
    return estimation.by_direct_loss(
        Rows(today, day, entity, features), kept.scored, known, confidence=held.confidence, seed=seed
    )


def parity(
    case: UseCase, day: date, adapters: Adapters, *, champion: RegisteredModel, rows: pa.Table, own: pa.Table
) -> tuple[Measure, ...]:
    """Return which share of a day's rows was served other than it would be now: by its score, and by its features.

    Args:
        case: whose day.
        day: the day.
        adapters: the lake.
        champion: scores again; predictions of other versions are left out.
        rows: the day's snapshot as it lies in the lake now.
        own: the champion's predictions of the day.
    """
    lacking = _lacking(rows, champion)
    reason = f"No scores of {day} are of version {champion.version}." if not own.num_rows else lacking
    if reason:
        return tuple(Measure("parity", name, "share differing", None, detail=reason) for name in ("score", "features"))
    limit, kind = case.monitoring.parity_limit, champion.kind
    frame = frames.model_frame(rows, numeric=champion.numeric, categorical=champion.categorical)
    score = pipelines.scores(champion.pipeline, frame, kind=kind)
    fresh = pa.table({case.entity: rows[case.entity].cast(own[case.entity].type), "score": score})
    share = differing(own.select([case.entity, "score"]), fresh, key=case.entity)
    what = f"have another score than version {champion.version} gives to their features as they are stored now"
    return (
        _served("score", share, limit, f"{share:.1%} of the rows of {day} {what}"),
        _served_features(case, day, adapters, champion=champion, rows=rows, own=own),
    )


def _lacking(rows: pa.Table, champion: RegisteredModel) -> str:
    """Return why the champion cannot look at a snapshot; empty where it can."""
    gone = [name for name in (*champion.numeric, *champion.categorical) if name not in rows.column_names]
    texts = [name for name in champion.numeric if name not in gone and not frames.is_numeric(rows[name])]
    if gone or texts:
        told = [*(f"{name} is missing" for name in gone), *(f"{name} is text" for name in texts)]
        return f"Version {champion.version} cannot look at the day's snapshot: {', '.join(told)}."
    return ""


def differing(one: pa.Table, other: pa.Table, *, key: str) -> float:
    """Return the share of rows, of both tables by their key, whose scores differ by more than their last digits."""
    place = pc.index_in(one[key].combine_chunks(), value_set=other[key].combine_chunks())
    left = frames.numbers(one["score"].filter(pc.is_valid(place)))
    right = frames.numbers(other["score"].take(pc.drop_null(place)))
    same = int((np.abs(left - right) <= SAME * np.maximum(1.0, np.abs(left))).sum())
    rows = one.num_rows + other.num_rows - left.size
    return 1 - same / rows if rows else 0.0


def _served_features(
    case: UseCase, day: date, adapters: Adapters, *, champion: RegisteredModel, rows: pa.Table, own: pa.Table
) -> Measure:
    """Return the share of rows whose features are not those that they were served from."""
    version, limit = int(own["data_version"][0].as_py()), case.monitoring.parity_limit
    names = [case.entity, *champion.numeric, *champion.categorical]
    try:
        served = adapters.lake.read(case.features_table, Window.of_day(day), version=version, columns=names)
        served = served.cast(rows.select(names).schema)
    except (LakeError, OSError, pa.ArrowException) as error:
        reason = f"The features of {day} in version {version} cannot be compared: {str(error).splitlines()[0]}"
        return Measure("parity", "features", "share differing", None, limit=limit, detail=reason)
    share = rows_differing(served, rows.select(names), key=case.entity)
    said = f"{share:.1%} of the rows of {day} have other features now than those they were served from"
    return _served("features", share, limit, f"{said} (version {version})")


def rows_differing(one: pa.Table, other: pa.Table, *, key: str) -> float:
    """Return the share of rows, of both tables together by their key, that are not the same in all columns.

    Both have the same columns, and each key once; two missing values are the same. 0 where there are no rows.
    """
    place = pc.index_in(one[key].combine_chunks(), value_set=other[key].combine_chunks())
    left, right = one.filter(pc.is_valid(place)), other.take(pc.drop_null(place))
    same = pa.chunked_array([pa.repeat(pa.scalar(value=True), left.num_rows)])
    for name in one.column_names:
        alike = _both_missing(left[name], right[name])
        if not pa.types.is_null(left[name].type):
            alike = pc.or_(alike, pc.fill_null(pc.equal(left[name], right[name]), fill_value=False))
        same = pc.and_(same, alike)
    rows = one.num_rows + other.num_rows - left.num_rows
    return 1 - (pc.sum(same).as_py() or 0) / rows if rows else 0.0


def _both_missing(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.and_(pc.is_null(one, nan_is_null=True), pc.is_null(other, nan_is_null=True))


def _served(name: str, share: float, limit: float, said: str) -> Measure:
    over = share > limit
    return Measure(
        "parity", name, "share differing", share, limit=limit, over=over,
        detail=f"{said}, limit {limit:.0%}." if over else "",
    )  # fmt: skip


def scored_rows(case: UseCase, rows: pa.Table, own: pa.Table) -> pa.Table:
    """Return the snapshot's rows that have a score, with it."""
    place = pc.index_in(rows[case.entity].combine_chunks(), value_set=own[case.entity].combine_chunks())
    rows = rows.drop_columns([name for name in ("score",) if name in rows.column_names])
    return rows.filter(pc.is_valid(place)).append_column("score", own["score"].take(pc.drop_null(place)))
