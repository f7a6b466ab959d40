"""Hold a challenger against its gates; each gate has a value, a limit and a margin.

A gate passes where its margin is 0 or more: the limit itself is good enough, NaN is not. Margins are rounded
to twelve digits, so that a sum like 0.1 + 0.2 does not fail a gate by its last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from perennial.core.behaviour import behaves
from perennial.core.comparison import against_baseline, against_champion, against_simpler, margin
from perennial.core.evidence import Cost, Evidence
from perennial.core.fairness import between_groups
from perennial.core.resampling import estimate
from perennial.core.slices import by_slices
from perennial.core.suspicion import too_good
from perennial.spec import (
    AbsoluteGate,
    BaselineGate,
    BehaviourGate,
    ChampionGate,
    FairnessGate,
    Gate,
    LatencyGate,
    LeakageGate,
    SimplerGate,
    SizeGate,
    SliceGate,
    SuperiorityGate,
)
from perennial.verdicts import GateResult

BYTES_A_MB = 1_000_000


def decide(gates: Sequence[Gate], evidence: Evidence) -> tuple[GateResult, ...]:
    """Return the outcome of each gate in order; without a champion the gates against it are left out."""
    outcomes = [JUDGES[type(gate)](gate, evidence) for gate in gates]
    return tuple(outcome for outcome in outcomes if outcome is not None)


def absolute(gate: AbsoluteGate, evidence: Evidence) -> GateResult:
    """Return the outcome of `value >= at_least`, or of `value <= at_most`.

    With `confidence` the value is the one-sided bound of the metric that is nearer to the limit.
    """
    value = evidence.challenger.metrics[gate.metric]
    at_least = gate.at_least is not None
    limit = float((gate.at_least if at_least else gate.at_most) or 0.0)
    low = high = None
    detail = ""
    if gate.confidence is not None:
        tied = evidence.ties(gate.resample)
        measure = evidence.challenger.measure(gate.metric)
        found = estimate(measure, tied, resamples=gate.resamples, seed=evidence.seed)
        low, high = found.lower(gate.confidence), found.upper(gate.confidence)
        detail = f"{gate.confidence:.0%} bound of {value:.4f}, {gate.resamples} resamples of {tied.described()}"
        value = low if at_least else high
    return GateResult(
        name=f"{gate.metric} at {'least' if at_least else 'most'}",
        value=value,
        limit=limit,
        margin=margin(value - limit if at_least else limit - value),
        detail=detail,
        mode=gate.mode,
        low=low,
        high=high,
    )


def fast_enough(gate: LatencyGate, evidence: Evidence) -> GateResult:
    """Return whether 99 of 100 calls with one row take at most `latency_p99_ms`."""
    calls = _cost(evidence).milliseconds
    value = float(np.quantile(calls, 0.99))
    detail = f"{len(calls)} calls with one row, median {np.median(calls):.2f} ms"
    limit = gate.latency_p99_ms
    return GateResult("latency p99 in ms", value, limit, margin(limit - value), detail, gate.mode)


def small_enough(gate: SizeGate, evidence: Evidence) -> GateResult:
    """Return whether the artifact has at most `size_mb` megabytes."""
    value = _cost(evidence).size / BYTES_A_MB
    return GateResult("size in MB", value, gate.size_mb, margin(gate.size_mb - value), mode=gate.mode)


def _cost(evidence: Evidence) -> Cost:
    if evidence.cost is None:
        raise ValueError("a gate looks at what the artifact costs, and the evidence does not say.")
    return evidence.cost


JUDGES: dict[type[Any], Callable[[Any, Evidence], GateResult | None]] = {
    AbsoluteGate: absolute,
    BaselineGate: against_baseline,
    ChampionGate: against_champion,
    SuperiorityGate: against_champion,
    SliceGate: by_slices,
    FairnessGate: between_groups,
    LeakageGate: too_good,
    BehaviourGate: behaves,
    SimplerGate: against_simpler,
    LatencyGate: fast_enough,
    SizeGate: small_enough,
}
