"""Hold a challenger against its gates; each gate has a value, a limit and a margin.

A gate passes where its margin is 0 or more: the limit itself is good enough, NaN is not. Margins are rounded
to twelve digits, so that a sum like 0.1 + 0.2 does not fail a gate by its last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.core.metrics import FloatArray, Measure, Scored, measure
from perennial.errors import DataError
from perennial.records import GateResult
from perennial.spec import METRICS, AbsoluteGate, BaselineGate, ChampionGate, Gate, Value

DIGITS = 12
DEFINED_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Contender:
    """A model's holdout scores, its contact share, what a contact is worth, and its metrics on those rows.

    Share and value are None where there is no money in it.
    """

    scored: Scored
    share: float | None
    value: Value | None
    metrics: Mapping[str, float]

    def measure(self, metric: str) -> Measure:
        """Return the metric of this model as a function of row weights."""
        return measure(metric, self.scored, value=self.value, share=self.share)


def decide(
    gates: Sequence[Gate],
    *,
    challenger: Contender,
    champion: Contender | None,
    baselines: Mapping[str, Mapping[str, float]],
    seed: int,
) -> tuple[GateResult, ...]:
    """Return the outcome of each gate in order; without a champion the gates against it are left out."""
    results: list[GateResult] = []
    for gate in gates:
        if isinstance(gate, AbsoluteGate):
            results.append(absolute(gate, challenger.metrics))
        elif isinstance(gate, BaselineGate):
            results.append(against_baseline(gate, challenger.metrics, baselines=baselines))
        elif champion is not None:
            results.append(against_champion(gate, challenger, champion, seed=seed))
    return tuple(results)


def absolute(gate: AbsoluteGate, metrics: Mapping[str, float]) -> GateResult:
    """Return the outcome of `value >= at_least`, or of `value <= at_most`."""
    value = metrics[gate.metric]
    if gate.at_least is not None:
        return GateResult(f"{gate.metric} at least", value, gate.at_least, _margin(value - gate.at_least))
    limit = float(gate.at_most or 0.0)
    return GateResult(f"{gate.metric} at most", value, limit, _margin(limit - value))


def against_baseline(
    gate: BaselineGate, metrics: Mapping[str, float], *, baselines: Mapping[str, Mapping[str, float]]
) -> GateResult:
    """Return whether the metric is better than the baseline's by `by` or more.

    Raises:
        DataError: the challenger was trained without that baseline, or without what the metric needs.
    """
    if gate.metric not in baselines.get(gate.beats_baseline, {}):
        raise DataError(_unmeasured(gate, baselines))
    value, baseline = metrics[gate.metric], baselines[gate.beats_baseline][gate.metric]
    sign = 1.0 if METRICS[gate.metric] else -1.0
    limit = baseline + sign * gate.by
    return GateResult(
        name=f"{gate.metric} against {gate.beats_baseline}",
        value=value,
        limit=limit,
        margin=_margin(sign * (value - limit)),
        detail=f"baseline {baseline:.4f}, needed better by {gate.by:g}",
    )


def _unmeasured(gate: BaselineGate, baselines: Mapping[str, Mapping[str, float]]) -> str:
    """Return what the challenger's training lacks for a gate."""
    known = ", ".join(sorted(baselines)) or "none"
    lacks = f"beside the baselines {known}, not {gate.beats_baseline!r}, which a gate on {gate.metric} names"
    if gate.beats_baseline in baselines:
        lacks = f"without measuring {gate.metric} of the baseline {gate.beats_baseline!r}, which a gate names"
    return f"The challenger was trained {lacks}. Train again with the spec as it is now."


def against_champion(gate: ChampionGate, challenger: Contender, champion: Contender, *, seed: int) -> GateResult:
    """Return whether the lower bound of the improvement is at least `-no_worse_than_champion_by`.

    The improvement is challenger minus champion where more is better, and champion minus challenger for a
    loss. The bound is one-sided: with `confidence` the true improvement lies above it.
    """
    sides = challenger.measure(gate.metric), champion.measure(gate.metric)
    sign = 1.0 if METRICS[gate.metric] else -1.0
    entity = challenger.scored.entity
    differences = sign * paired_bootstrap(*sides, clusters=entity, resamples=gate.resamples, seed=seed)
    bound = lower_bound(differences, confidence=gate.confidence)
    limit = -gate.no_worse_than_champion_by
    ours, theirs = challenger.metrics[gate.metric], champion.metrics[gate.metric]
    detail = (
        f"{gate.confidence:.0%} lower bound of the gain; challenger {ours:.4f}, champion {theirs:.4f}, "
        f"{gate.resamples} resamples of {np.unique(entity).size} entities"
    )
    return GateResult(f"{gate.metric} against champion", bound, limit, _margin(bound - limit), detail)


def paired_bootstrap(
    first: Measure, second: Measure, *, clusters: NDArray[np.int64], resamples: int, seed: int
) -> FloatArray:
    """Return `first - second` for each resample of whole clusters, both measured on the same resample.

    A resample draws as many clusters as there are, with replacement; a row's weight is how often its cluster
    was drawn. Rows of one entity on successive days carry nearly the same label, so resampling rows would
    take them for independent evidence and give bounds that are far too tight.

    Args:
        first: a measure of row weights.
        second: a measure of the same rows.
        clusters: shape (rows,); equal numbers belong together.
        resamples: how many differences to return.
        seed: equal seeds give equal differences.

    Source:
        Field and Welsh (2007), J. R. Statist. Soc. B 69, 369-390.
    """
    _, code = np.unique(clusters, return_inverse=True)
    count = int(code.max()) + 1
    generator = np.random.default_rng(seed)
    differences = np.empty(resamples)
    for index in range(resamples):
        drawn = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)
        weights = drawn[code]
        differences[index] = first(weights) - second(weights)
    return differences


def lower_bound(differences: FloatArray, *, confidence: float) -> float:
    """Return the `1 - confidence` quantile of the defined differences.

    A resample without both classes has no AUC and is left out; where more than 5 % are undefined the bound is
    NaN.
    """
    defined = differences[np.isfinite(differences)]
    if defined.size < DEFINED_SHARE * differences.size:
        return float("nan")
    return float(np.quantile(defined, 1 - confidence))


def _margin(margin: float) -> float:
    """Return the margin without the noise of its last bits."""
    return round(float(margin), DIGITS)
