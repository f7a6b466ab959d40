"""The challenger against the champion: better, not worse, or a holdout that cannot tell."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from perennial.core.deviations import FloatArray, Measure
from perennial.core.evidence import Contender, Evidence
from perennial.core.resampling import Estimate, estimate, ties
from perennial.errors import DataError
from perennial.spec import METRICS, BaselineGate, ChampionGate, SimplerGate, SuperiorityGate
from perennial.verdicts import GateResult

DIGITS = 12
LEAST = 10.0**-DIGITS


def against_champion(gate: ChampionGate | SuperiorityGate, evidence: Evidence) -> GateResult | None:
    """Return whether the lower bound of the gain reaches the gate's limit; None where there is no champion.

    The gain is challenger minus champion where more is better, and champion minus challenger for a loss. The limit is
    `-no_worse_than_champion_by` (non-inferiority) or `better_than_champion_by` (superiority). A gate that is missed is
    unsure where the upper bound still reaches the limit and the power for the expected gain is below `power`.
    """
    if evidence.champion is None:
        return None
    challenger, champion = evidence.beside(), evidence.champion
    tied = ties(challenger.scored, horizon_days=evidence.horizon_days, unit=gate.resample)
    gain = gain_of(gate.metric, challenger, champion)
    found = estimate(gain, tied, resamples=gate.resamples, seed=evidence.seed)
    ours, theirs = challenger.metrics[gate.metric], champion.metrics[gate.metric]
    detail = (
        f"{gate.confidence:.0%} lower bound of the gain {found.value:+.4f}; "
        f"challenger {ours:.4f}, champion {theirs:.4f}, {gate.resamples} resamples of {tied.described()}{evidence.seen}"
    )
    kind = "better than" if isinstance(gate, SuperiorityGate) else "against"
    name = f"{gate.metric} {kind} champion"
    return judged(gate, found, gate.confidence, name=name, detail=detail, rows=tied.entity.size)


def against_baseline(gate: BaselineGate, evidence: Evidence) -> GateResult:
    """Return whether the metric is better than the baseline's by `by` or more; with `confidence`, on the same rows.

    Raises:
        DataError: the challenger was trained without that baseline, or without what the metric needs.
    """
    baselines = evidence.baselines
    if gate.metric not in baselines.get(gate.beats_baseline, {}):
        raise DataError(_unmeasured(gate, baselines))
    name = f"{gate.metric} against {gate.beats_baseline}"
    value, baseline = evidence.challenger.metrics[gate.metric], baselines[gate.beats_baseline][gate.metric]
    if gate.confidence is not None:
        return _surely_better(gate, evidence, gate.confidence, name=name, baseline=baseline)
    sign = 1.0 if METRICS[gate.metric] else -1.0
    limit = baseline + sign * gate.by
    return GateResult(
        name=name,
        value=value,
        limit=limit,
        margin=margin(sign * (value - limit)),
        detail=f"baseline {baseline:.4f}, needed better by {gate.by:g}",
        mode=gate.mode,
    )


def _surely_better(
    gate: BaselineGate, evidence: Evidence, confidence: float, *, name: str, baseline: float
) -> GateResult:
    """Return whether the lower bound of the gain over the baseline reaches `by`."""
    rival, tied = _rival(evidence, gate.beats_baseline), evidence.ties(gate.resample)
    gain = gain_of(gate.metric, evidence.challenger, rival)
    found = estimate(gain, tied, resamples=gate.resamples, seed=evidence.seed)
    detail = (
        f"{confidence:.0%} lower bound of the gain {found.value:+.4f}; challenger "
        f"{evidence.challenger.metrics[gate.metric]:.4f}, baseline {baseline:.4f}, {gate.resamples} resamples of "
        f"{tied.described()}"
    )
    return judged(gate, found, confidence, name=name, detail=detail, rows=tied.entity.size)


def _unmeasured(gate: BaselineGate, baselines: Mapping[str, Mapping[str, float]]) -> str:
    """Return what the challenger's training lacks for a gate."""
    known = ", ".join(sorted(baselines)) or "none"
    lacks = f"beside the baselines {known}, not {gate.beats_baseline!r}, which a gate on {gate.metric} names"
    if gate.beats_baseline in baselines:
        lacks = f"without measuring {gate.metric} of the baseline {gate.beats_baseline!r}, which a gate names"
    return f"The challenger was trained {lacks}. Train again with the spec as it is now."


def judged(
    gate: ChampionGate | SuperiorityGate | BaselineGate, found: Estimate, confidence: float,
    *, name: str, detail: str, rows: int,
) -> GateResult:  # fmt: skip
    """Return the outcome of a gate on an estimated gain, with the power for its expected gain."""
    low, high = found.lower(confidence), found.upper(confidence)
    distance = gate.gain - gate.limit
    power = found.power(distance, confidence=confidence)
    times = found.times_enough(distance, confidence=confidence, power=gate.power)
    unsure = low < gate.limit <= high and power < gate.power
    told = f"{detail}; power {power:.0%} for a true gain of {gate.gain:+g}"
    if unsure and math.isfinite(times):
        told += f", {math.ceil(times * rows):,} rows would give {gate.power:.0%}"
    return GateResult(
        name=name,
        value=low,
        limit=gate.limit,
        margin=margin(low - gate.limit),
        detail=told,
        mode=gate.mode,
        low=low,
        high=high,
        power=power,
        unsure=unsure,
        rows_needed=math.ceil(times * rows) if unsure and math.isfinite(times) else None,
    )


def against_simpler(gate: SimplerGate, evidence: Evidence) -> GateResult | None:
    """Return whether the challenger is worth its complication: a simpler model is not as good.

    The gain is that of the *simpler* model over the challenger. Where its lower bound is `-within` or more, the simpler
    model is as good, and the gate does not pass; at exactly that bound neither. None where the challenger is that
    model.

    Raises:
        DataError: the challenger's training kept no scores of that model.
    """
    if gate.simpler == evidence.name:
        return None
    simple, tied = _rival(evidence, gate.simpler), evidence.ties(gate.resample)
    gain = gain_of(gate.metric, simple, evidence.challenger)
    found = estimate(gain, tied, resamples=gate.resamples, seed=evidence.seed)
    low, limit = found.lower(gate.confidence), -gate.within
    as_good = low >= limit
    told = f"{gate.simpler} is as good: take it" if as_good else f"{gate.simpler} is not shown to be as good"
    return GateResult(
        name=f"{gate.metric}: {gate.simpler} is simpler",
        value=low,
        limit=limit,
        margin=min(margin(limit - low), -LEAST) if as_good else margin(limit - low),
        detail=f"{told}; {gate.confidence:.0%} lower bound of its gain {found.value:+.4f} over the challenger",
        mode=gate.mode,
        low=low,
        high=found.upper(gate.confidence),
    )


def _rival(evidence: Evidence, name: str) -> Contender:
    """Return another model of the same training on the same rows."""
    if name not in evidence.rivals:
        raise DataError(
            f"A gate compares row by row with the model {name!r}, whose holdout scores the challenger's training did "
            "not keep. Train again with the spec as it is now."
        )
    return evidence.rivals[name]


def gain_of(metric: str, challenger: Contender, champion: Contender) -> Measure:
    """Return how much better the challenger's metric is, as a function of row weights."""
    first, second = challenger.measure(metric), champion.measure(metric)
    sign = 1.0 if METRICS[metric] else -1.0

    def gain(weights: FloatArray) -> FloatArray:
        return np.asarray(sign * (first(weights) - second(weights)))

    return gain


def margin(distance: float) -> float:
    """Return the margin without the noise of its last bits."""
    return round(float(distance), DIGITS)
