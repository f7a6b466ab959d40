"""The challenger against the champion: better, not worse, or a holdout that cannot tell."""

from __future__ import annotations

import math

import numpy as np

from perennial.core.deviations import FloatArray, Measure
from perennial.core.evidence import Contender, Evidence
from perennial.core.resampling import Estimate, estimate
from perennial.errors import DataError
from perennial.spec import METRICS, ChampionGate, SimplerGate, SuperiorityGate
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
    challenger, champion, tied = evidence.challenger, evidence.champion, evidence.ties(gate.resample)
    gain = gain_of(gate.metric, challenger, champion)
    found = estimate(gain, tied, resamples=gate.resamples, seed=evidence.seed)
    ours, theirs = challenger.metrics[gate.metric], champion.metrics[gate.metric]
    detail = (
        f"{gate.confidence:.0%} lower bound of the gain {found.value:+.4f}; "
        f"challenger {ours:.4f}, champion {theirs:.4f}, {gate.resamples} resamples of {tied.described()}"
    )
    kind = "better than" if isinstance(gate, SuperiorityGate) else "against"
    return judged(gate, found, name=f"{gate.metric} {kind} champion", detail=detail, rows=tied.entity.size)


def judged(gate: ChampionGate | SuperiorityGate, found: Estimate, *, name: str, detail: str, rows: int) -> GateResult:
    """Return the outcome of a gate on an estimated gain, with the power for its expected gain."""
    low, high = found.lower(gate.confidence), found.upper(gate.confidence)
    distance = gate.gain - gate.limit
    power = found.power(distance, confidence=gate.confidence)
    times = found.times_enough(distance, confidence=gate.confidence, power=gate.power)
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
    if gate.simpler not in evidence.rivals:
        raise DataError(
            f"A gate compares with the simpler model {gate.simpler!r}, whose holdout scores the challenger's training "
            "did not keep. Train again with the spec as it is now."
        )
    simple, tied = evidence.rivals[gate.simpler], evidence.ties(gate.resample)
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
