"""Compare a day with what the champion was trained on, and its scores with labels that have matured since."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial import projection
from perennial.core import drift, frames, limits, responses, stakes
from perennial.core.drift import Asked, Limits, Profile
from perennial.core.limits import DayLimits
from perennial.core.metrics import FloatArray
from perennial.errors import DataError
from perennial.io import counts
from perennial.io.registry import CHAMPION, RegisteredModel
from perennial.io.reports import Page
from perennial.records import ColumnDrift, Measure, MonitorRecord, Window
from perennial.spec import UseCase
from perennial.stages import matured, watched
from perennial.stages.matured import Matured
from perennial.stages.referencerows import ReferenceRows
from perennial.stages.watched import Sources

if TYPE_CHECKING:
    from perennial.adapters import Adapters

Verdict = Literal["stable", "drifted", "decayed", "unknown"]
NOBODY = "no champion yet"
SCORE = "score"
COMPARABLE = frozenset({"stable", "drifted", "constant", "new categories"})

log = logging.getLogger(__name__)


def run(case: UseCase, day: date, adapters: Adapters, *, run: str, now: datetime) -> MonitorRecord:
    """Return the day's finding about the champion, kept in the ledger, with a page for people.

    Missing, new, all-null and constant columns, new categories and too few rows each have a verdict of their
    own and never raise. Scores of another version than the champion are left out: they say nothing about it. Before
    there is a champion the day is unknown, and only its sources are measured.

    Raises:
        RegistryError: MLflow does not answer.
        DataError: there is a champion, and the day has no snapshot or no predictions.
    """
    standing = projection.watch(case.name, adapters, now=now, who=run, run=run)
    number = standing.champion or adapters.registry.version_of(case.name, CHAMPION)
    pins = adapters.warehouse.pins(case)
    fed = watched.sources(case, day, adapters, pins=pins)
    if number is None:
        return _keep(_without_champion(case, day, fed), adapters, run=run, now=now)
    champion = adapters.registry.load(case.name, number)
    current = _read(case, day, adapters, champion=champion)
    inspected = _inspect(case, day, current, adapters, champion=champion)
    performance = matured.judged(case, day, adapters, champion=champion, pins=pins, late=fed.late)
    verdict, reason = _verdict(inspected, performance)
    previous = adapters.ledger.latest_monitor(case.name, before=day)
    since = _since(day, verdict, champion.version, previous=previous)
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
        report=_page(case, day, adapters, current=current, inspected=inspected, champion=champion),
        share_limit=inspected.limits.share,
        limits=inspected.limits.said,
        measures=(
            *fed.measures,
            *inspected.measures,
            *performance.measures,
            *_of_scores(case, day, current, adapters, champion=champion),
        ),
    )
    return _keep(record, adapters, run=run, now=now)


def _keep(record: MonitorRecord, adapters: Adapters, *, run: str, now: datetime) -> MonitorRecord:
    """Write a record and its measures into the ledger."""
    adapters.ledger.add_monitor(record, at=now, run=run)
    log.info("%s of %s: %s; %s", record.case, record.day, record.verdict, record.reason)
    return record


def _without_champion(case: UseCase, day: date, fed: Sources) -> MonitorRecord:
    """Return what can be said of a day before there is a champion: what its sources hold."""
    score = ColumnDrift("score", "new column", None, None, "wasserstein", NOBODY)
    return MonitorRecord(
        case=case.name, day=day, model_version="", verdict="unknown", reason=NOBODY, drifted_share=0.0, score=score,
        columns=(), performance={}, performance_window=None, since=None, report=None,
        measures=fed.measures,
    )  # fmt: skip


def _of_scores(
    case: UseCase,
    day: date,
    current: _Current,
    adapters: Adapters,
    *,
    champion: RegisteredModel,
) -> tuple[Measure, ...]:
    """Return what the day's scores say before any label: their shape, the estimate, and what was served."""
    held = case.monitoring
    return (
        watched.estimate(case, watched.scored_rows(case, current.rows, current.own), adapters, champion=champion),
        *responses.shapes(current.score, kind=champion.kind, limits=held.response, least=held.min_rows),
        *watched.parity(case, day, adapters, champion=champion, rows=current.rows, own=current.own),
    )


@dataclass(frozen=True, slots=True)
class _Current:
    """A day's snapshot, and the champion's scores of it."""

    rows: pa.Table
    own: pa.Table
    score: FloatArray
    scored_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Inspected:
    """A day's columns and scores against the reference."""

    columns: tuple[ColumnDrift, ...]
    score: ColumnDrift
    drifted_share: float
    limits: DayLimits
    measures: tuple[Measure, ...]


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
        own=own,
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
    at_stake = stakes.at_stake(columns, reference.get(stakes.IMPORTANCE), limit=case.monitoring.at_stake_limit)
    measures = (*at_stake, watched.score(judged))
    return _Inspected(columns, judged, drift.drifted_share(columns), held, measures)


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


def _verdict(inspected: _Inspected, performance: Matured) -> tuple[Verdict, str]:
    """Return the day's verdict and its reason: decayed before drifted before unknown before stable.

    Decayed is a metric whose whole interval is past its limit; one whose interval still reaches it is told.
    """
    measured = next(each for each in performance.measures if each.about == "performance")
    drifted = _drift(inspected)
    if measured.over:
        return "decayed", f"{measured.detail} {drifted}".strip()
    if drifted:
        return "drifted", drifted
    if inspected.score.psi is None or all(column.psi is None for column in inspected.columns):
        return "unknown", f"Too little to judge: score {inspected.score.verdict} ({inspected.score.detail})."
    judged = (
        f" Performance is unknown: {performance.unknown}." if performance.unknown else f" {measured.detail}".rstrip()
    )
    return "stable", f"No feature set or score is over its limit.{judged}"


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


def _since(day: date, verdict: Verdict, version: str, *, previous: MonitorRecord | None) -> date | None:
    """Return since when a finding lasts, None where there is none.

    A finding goes on where the newest day before has the same verdict about the same champion.
    """
    if verdict in {"stable", "unknown"}:
        return None
    if previous is not None and (previous.verdict, previous.model_version) == (verdict, version):
        return previous.since or previous.day
    return day


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
