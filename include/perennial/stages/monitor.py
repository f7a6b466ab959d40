"""Compare a day with what the champion was trained on, and its scores with labels that have matured since."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial import carding, projection
from perennial.core import drift, frames, limits, metrics
from perennial.core.drift import Asked, Limits, Profile
from perennial.core.limits import DayLimits
from perennial.core.metrics import FloatArray
from perennial.errors import DataError
from perennial.io import counts
from perennial.io.ledger import Entry
from perennial.io.registry import CHAMPION, RegisteredModel
from perennial.io.reports import Page
from perennial.records import ColumnDrift, MonitorRecord, Window
from perennial.spec import UseCase
from perennial.stages.referencerows import ReferenceRows

if TYPE_CHECKING:
    from perennial.adapters import Adapters

Verdict = Literal["stable", "drifted", "decayed", "unknown"]
SCORE = "score"
COMPARABLE = frozenset({"stable", "drifted", "constant", "new categories"})

log = logging.getLogger(__name__)


def run(case: UseCase, day: date, adapters: Adapters, *, run: str, now: datetime) -> MonitorRecord:
    """Return the day's finding about the champion, kept in the ledger, with a page for people.

    Missing, new, all-null and constant columns, new categories and too few rows each have a verdict of their
    own and never raise. Scores of another version than the champion are left out: they say nothing about it.

    Raises:
        RegistryError: there is no champion yet, or MLflow does not answer.
        DataError: the day has no snapshot or no predictions.
    """
    standing = projection.watch(case.name, adapters, now=now, who=run, run=run)
    number = standing.champion or adapters.registry.required_version_of(case.name, CHAMPION)
    champion = adapters.registry.load(case.name, number)
    current = _read(case, day, adapters, champion=champion)
    inspected = _inspect(case, day, current, adapters, champion=champion)
    performance = _performance(case, day, adapters, champion=champion)
    verdict, reason = _verdict(case, inspected, performance)
    previous = adapters.ledger.latest_monitor(case.name, before=day)
    since, opens = _since(day, verdict, champion.version, previous=previous)
    record = MonitorRecord(
        case=case.name,
        day=day,
        model_version=champion.version,
        verdict=verdict,
        reason=reason,
        drifted_share=inspected.drifted_share,
        score=inspected.score,
        columns=inspected.columns,
        performance=performance.metrics,
        performance_window=performance.window,
        since=since,
        opens_alert=opens,
        report=_page(case, day, adapters, current=current, inspected=inspected, champion=champion),
        share_limit=inspected.limits.share,
        limits=inspected.limits.said,
    )
    adapters.ledger.add_monitor(record, at=now, run=run)
    _follow(case, record, adapters, run=run, now=now)
    log.info("%s of %s: %s; %s", case.name, day, verdict, reason)
    return record


@dataclass(frozen=True, slots=True)
class _Current:
    """A day's snapshot, and the champion's scores of it."""

    rows: pa.Table
    score: FloatArray
    scored_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Inspected:
    """A day's columns and scores against the reference."""

    columns: tuple[ColumnDrift, ...]
    score: ColumnDrift
    drifted_share: float
    limits: DayLimits


@dataclass(frozen=True, slots=True)
class _Performance:
    """The champion's metrics on matured labels; none where they cannot be told, with the reason."""

    metrics: Mapping[str, float]
    window: Window
    unknown: str = ""


def _read(case: UseCase, day: date, adapters: Adapters, *, champion: RegisteredModel) -> _Current:
    """Return the day's snapshot as it lies in the lake, with columns the spec may not know, and its scores."""
    table = case.features_table
    if not adapters.lake.has_day(table, day):
        raise DataError(f"{table} has no snapshot of {day}. Build it: perennial features {case.name} {day}.")
    if not adapters.lake.has_day(case.predictions_table, day):
        raise DataError(f"{case.name} has no predictions of {day}. Score it: perennial score {case.name} {day}.")
    predictions = adapters.lake.read(case.predictions_table, Window.of_day(day))
    own = predictions.filter(pc.equal(predictions["model_version"], champion.version))
    return _Current(
        rows=adapters.lake.read(table, Window.of_day(day)),
        score=frames.numbers(own["score"]),
        scored_by=tuple(sorted(set(predictions["model_version"].to_pylist()))),
    )


def _inspect(
    case: UseCase, day: date, current: _Current, adapters: Adapters, *, champion: RegisteredModel
) -> _Inspected:
    """Return the verdict on each feature that the champion or the spec knows, and on the score."""
    reference = adapters.registry.profile(champion.run_id)
    profiles, scores = drift.from_json(reference["features"]), drift.from_json(reference["score"])
    least, far = case.monitoring.min_rows, case.monitoring.distance_limit
    held = limits.of_day(
        case.monitoring, reference, day,
        rows=current.rows.num_rows, scores=current.score.size, seed=case.training.seed,
    )  # fmt: skip
    rows, names = _known(case, current.rows), list(dict.fromkeys((*profiles, *case.features.columns)))
    found = counts.counted(rows, profiles, categorical=case.features.categorical)
    score = pa.table({SCORE: current.score})
    behind = ReferenceRows(case, champion, adapters)
    asked = _asked(rows, profiles, behind.feature)
    columns = tuple(
        drift.judge(name, profiles.get(name), found.get(name), limits=Limits(held.of(name), least, far), asked=asked)
        for name in names
    )
    judged = drift.judge(
        SCORE, scores[SCORE], counts.counted(score, scores)[SCORE], limits=Limits(held.score, least, far),
        asked=_asked(score, scores, behind.score),
    )  # fmt: skip
    return _Inspected(columns, judged, drift.drifted_share(columns), held)


def _known(case: UseCase, rows: pa.Table) -> pa.Table:
    """Return the day's features; one that the spec has dropped is missing, though old days still have it."""
    return rows.select([name for name in case.features.columns if name in rows.column_names])


def _asked(
    rows: pa.Table, profiles: Mapping[str, Profile], reference: Callable[[str], pa.ChunkedArray | None]
) -> Asked:
    """Return what measures the distance of a column on the rows themselves, None where the reference's are gone."""

    def distance(name: str) -> float | None:
        known = reference(name)
        return None if known is None else counts.measured(known, rows[name], kind=profiles[name].kind)

    return distance


def _performance(case: UseCase, day: date, adapters: Adapters, *, champion: RegisteredModel) -> _Performance:
    """Return the metrics of the champion's own stored scores of the newest days whose labels have matured."""
    window = Window.ending(day - case.horizon, days=case.monitoring.performance.window_days)
    known = [scored for scored in adapters.lake.days(case.predictions_table) if scored in window]
    if not known:
        return _Performance({}, window, f"no scores of {window.start} to {window.end} to judge")
    rows = adapters.lake.read(case.predictions_table, window)
    rows = rows.filter(pc.equal(rows["model_version"], champion.version))
    rows = rows.select(["day", case.entity, "score"])
    if rows.num_rows < case.monitoring.min_rows:
        reason = f"{rows.num_rows} matured scores of version {champion.version}, {case.monitoring.min_rows} needed"
        return _Performance({}, window, reason)
    rows = _with_labels(case, rows, adapters, days=known)
    label = frames.numbers(rows[case.label.column])
    if label.size < case.monitoring.min_rows:
        reason = f"{label.size} of the matured scores have a label, {case.monitoring.min_rows} needed"
        return _Performance({}, window, reason)
    if label.min() == label.max():
        return _Performance({}, window, f"all {label.size} matured labels are {label[0]:g}")
    score = frames.numbers(rows["score"])
    scored = frames.scored(rows, label=label, score=score, entity=case.entity, kind=champion.kind)
    found = metrics.evaluate(scored, value=case.value, share=champion.contacted_share)
    return _Performance({name: value for name, value in found.items() if math.isfinite(value)}, window)


def _with_labels(case: UseCase, rows: pa.Table, adapters: Adapters, *, days: Sequence[date]) -> pa.Table:
    """Return the rows with their labels; what `label.sql` leaves out has the label 0, or is left out too."""
    found = adapters.warehouse.labels(case, days, pins=adapters.warehouse.pins(case))
    column = case.label.column
    joined = rows.join(found, keys=["day", case.entity], join_type="left outer")
    if case.label.missing == "drop":
        joined = joined.filter(pc.is_valid(joined[column]))
    else:
        filled = pc.fill_null(joined[column], pa.scalar(0, joined[column].type))
        joined = joined.set_column(joined.schema.get_field_index(column), column, filled)
    return joined.sort_by([("day", "ascending"), (case.entity, "ascending")])


def _verdict(case: UseCase, inspected: _Inspected, performance: _Performance) -> tuple[Verdict, str]:
    """Return the day's verdict and its reason: decayed before drifted before unknown before stable."""
    decayed = _decay(case, performance.metrics)
    drifted = _drift(inspected)
    if decayed:
        return "decayed", f"{decayed} {drifted}".strip()
    if drifted:
        return "drifted", drifted
    if inspected.score.psi is None or all(column.psi is None for column in inspected.columns):
        return "unknown", f"Too little to judge: score {inspected.score.verdict} ({inspected.score.detail})."
    judged = "" if performance.metrics else f" Performance is unknown: {performance.unknown}."
    return "stable", f"No feature set or score is over its limit.{judged}"


def _decay(case: UseCase, found: Mapping[str, float]) -> str:
    """Return why the champion has decayed, or an empty text; a metric at its limit has not."""
    limit = case.monitoring.performance
    value = found.get(limit.metric)
    if value is None:
        return ""
    if limit.at_least is not None and value < limit.at_least:
        return f"{limit.metric} on matured labels is {value:.4f}, below {limit.at_least:g}."
    if limit.at_most is not None and value > limit.at_most:
        return f"{limit.metric} on matured labels is {value:.4f}, above {limit.at_most:g}."
    return ""


def _drift(inspected: _Inspected) -> str:
    """Return why the day has drifted, or an empty text; a value that reaches its limit counts as drifted."""
    held, score, found = inspected.limits, inspected.score, []
    if drift.counts_as_drift(score):
        mark = held.mark("score_psi_limit")
        found.append(f"The score's PSI is {score.psi:.3f}, limit {score.limit:.3g}{mark}.")
    if inspected.drifted_share >= held.share:
        worst = sorted(
            (column for column in inspected.columns if drift.counts_as_drift(column)),
            key=lambda column: -(math.inf if column.psi is None else column.psi),
        )
        names = ", ".join(column.column for column in worst[:3])
        found.append(
            f"{inspected.drifted_share:.0%} of the features have drifted, limit {held.share:.0%}"
            f"{held.mark('drifted_share_limit')}: {names}{' and others' if len(worst) > 3 else ''}."
        )
    return " ".join(found)


def _since(day: date, verdict: Verdict, version: str, *, previous: MonitorRecord | None) -> tuple[date | None, bool]:
    """Return since when a finding lasts, and whether this day is its first.

    A finding goes on where the newest day before has the same verdict about the same champion.
    """
    if verdict in {"stable", "unknown"}:
        return None, False
    if previous is not None and (previous.verdict, previous.model_version) == (verdict, version):
        return previous.since or previous.day, False
    return day, True


def _follow(case: UseCase, record: MonitorRecord, adapters: Adapters, *, run: str, now: datetime) -> None:
    """Open an incident where a finding begins; a later day that is stable ends those that are open.

    Days may be looked at in any order: an older one neither opens a second incident nor ends a newer one.
    """
    ledger = adapters.ledger
    if record.opens_alert and ledger.open_incident(record.case, about=record.verdict) is None:
        entry = Entry(
            record.case, now, "incident opened", run, record.reason, run, to_version=record.model_version,
            day=record.day, report={"about": record.verdict},
        )  # fmt: skip
        ledger.add(entry, once=f"{record.verdict} of {record.case} version {record.model_version} since {record.day}")
        carding.keep(case.name, record.model_version, adapters, case=case)
    for about in ("drifted", "decayed") if record.verdict == "stable" else ():
        opened = ledger.open_incident(record.case, about=about)
        if opened is not None and opened.day is not None and opened.day < record.day:
            reason = f"stable on {record.day}"
            projection.close_incident(opened, adapters, reason=reason, now=now, who=run, run=run)
            carding.keep(case.name, str(opened.to_version), adapters, case=case)


def _page(
    case: UseCase, day: date, adapters: Adapters, *, current: _Current, inspected: _Inspected, champion: RegisteredModel
) -> str | None:
    """Return the path of the day's page under the pages' root, None where no column can be compared."""
    fit = [column.column for column in inspected.columns if column.verdict in COMPARABLE]
    left_out = {column.column: column.verdict for column in inspected.columns if column.verdict not in COMPARABLE}
    if not fit:
        return None
    rows = current.rows
    if current.score.size == rows.num_rows:
        rows = rows.append_column("score", pa.array(current.score))
    page = Page(
        case=case.name,
        title=case.title,
        day=day,
        model_version=champion.version,
        numeric=tuple(name for name in fit if name in case.features.numeric),
        categorical=tuple(name for name in fit if name in case.features.categorical),
        left_out=left_out,
        psi_limit=inspected.limits.feature,
        drifted_share_limit=inspected.limits.share,
        rows=case.monitoring.report_rows,
        limits=inspected.limits.said,
    )
    return adapters.reports.write(page, current=rows, reference=adapters.registry.sample(champion.run_id))
