"""Which limits a day is held against: declared numbers, or those that calm days of the reference give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from perennial.core import nulls
from perennial.core.daycounts import DayCounts
from perennial.core.nulls import Calibrated
from perennial.modelling import FIXED, Monitoring

BY_DAY = "by_day"  # where a reference profile keeps its counts by day, of "features" and of "score"


@dataclass(frozen=True, slots=True)
class DayLimits:
    """The limits of one day.

    Attributes:
        features: of each feature that has a limit of its own.
        feature: of the others.
        score: of the score.
        share: of drifted features.
        calibrated: which keys of `monitoring` are calibrated here.
        said: how they came about, for people; empty where all are declared numbers.
    """

    features: Mapping[str, float]
    feature: float
    score: float
    share: float
    calibrated: frozenset[str]
    said: str

    def of(self, name: str) -> float:
        """Return the limit of a feature."""
        return self.features.get(name, self.feature)

    def mark(self, key: str) -> str:
        """Return what is said behind a limit: that it is calibrated, or nothing."""
        return " (calibrated)" if key in self.calibrated else ""


def of_day(
    monitoring: Monitoring, reference: Mapping[str, Any], day: date, *, rows: int, scores: int, seed: int
) -> DayLimits:
    """Return the limits of a day; fixed ones where a calibrated one is declared and cannot be had, with the reason.

    Args:
        monitoring: what is declared.
        reference: the champion's profile; one of before has no counts by day.
        day: the day to judge.
        rows: its rows.
        scores: its rows with a score.
        seed: of the draws.
    """
    found: dict[str, Calibrated] = {}
    names: dict[str, tuple[str, ...]] = {}
    trouble = []
    wanted = {"features": ("psi_limit", rows), "score": ("score_psi_limit", scores)}
    for part, (key, many) in wanted.items():
        if not monitoring.is_calibrated(key):
            continue
        kept = reference.get(BY_DAY, {}).get(part)
        if kept is None:
            trouble.append(f"{key} is fixed: the champion's profile has no counts by day")
            continue
        counts = DayCounts.from_json(kept)
        names[part] = tuple(counts.counts)
        limits = _calibrated(counts, day, rows=many, false_alarms=monitoring.false_alarms, seed=seed)
        if limits is None:
            trouble.append(f"{key} is fixed: {counts.days.size} days of the reference are too few to calibrate it")
        else:
            found[part] = limits
    return _chosen(monitoring, found, names, trouble)


def _calibrated(counts: DayCounts, day: date, *, rows: int, false_alarms: float, seed: int) -> Calibrated | None:
    """Return the calibrated limits of these columns, None where the reference has too few days or columns."""
    names = list(counts.counts)
    if not names or rows == 0:
        return None
    null = nulls.draw(counts.padded(names), counts.days, rows=rows, lag=counts.days_until(day), seed=seed)
    return None if null is None else nulls.calibrate(null, false_alarms=false_alarms)


def _chosen(
    monitoring: Monitoring, found: Mapping[str, Calibrated], names: Mapping[str, tuple[str, ...]], trouble: list[str]
) -> DayLimits:
    """Return the limits: what was calibrated, else what is declared, else what is fixed."""
    declared = {key: FIXED[key] if monitoring.is_calibrated(key) else getattr(monitoring, key) for key in FIXED}
    features, calibrated = {}, set()
    if "features" in found:
        features = dict(zip(names["features"], found["features"].psi.tolist(), strict=True))
        calibrated.add("psi_limit")
        if monitoring.is_calibrated("drifted_share_limit"):
            declared["drifted_share_limit"] = found["features"].share
            calibrated.add("drifted_share_limit")
    if "score" in found:
        declared["score_psi_limit"] = float(found["score"].psi[0])
        calibrated.add("score_psi_limit")
    rate = [f"calibrated limits: calm days reach one at a rate of {monitoring.false_alarms:.2%}"] if calibrated else []
    return DayLimits(
        features=features,
        feature=declared["psi_limit"],
        score=declared["score_psi_limit"],
        share=declared["drifted_share_limit"],
        calibrated=frozenset(calibrated),
        said="; ".join([*rate, *trouble]),
    )
