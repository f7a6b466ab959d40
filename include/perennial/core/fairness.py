"""Whether groups of a declared attribute are treated alike; the differences are fairlearn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.core.comparison import margin
from perennial.core.evidence import Contender, Evidence
from perennial.core.metrics import contacted
from perennial.core.slices import groups
from perennial.spec import FairnessGate
from perennial.verdicts import GatePart, GateResult

LIKELY = 0.5


def between_groups(gate: FairnessGate, evidence: Evidence) -> GateResult:
    """Return whether the largest difference between two groups is at most `at_most`.

    Demographic parity: `max - min` over groups g of `P(selected | g)`. Equal opportunity: the same of
    `P(selected | g, label 1)`. Groups of fewer than `min_rows` rows are left out and named; with fewer than two groups
    left there is nothing to compare, and the value is NaN, which does not pass.

    Source:
        Hardt, Price and Srebro (2016), Equality of Opportunity in Supervised Learning, NeurIPS.
    """
    from fairlearn import metrics as fairlearn

    label = evidence.challenger.scored.label
    chosen = selected(gate, evidence.challenger)
    every = groups(evidence.features().frame[gate.attribute])
    large = {name: inside for name, inside in every.items() if inside.sum() >= gate.min_rows}
    measure: Any = fairlearn.selection_rate
    difference: Any = fairlearn.demographic_parity_difference
    if gate.fairness == "equal_opportunity":
        large = {name: inside for name, inside in large.items() if label[inside].any()}
        measure, difference = fairlearn.true_positive_rate, fairlearn.equal_opportunity_difference
    parts = [
        GatePart(name, float(measure(label[inside], chosen[inside])), rows=int(inside.sum()))
        for name, inside in large.items()
    ]
    value = float("nan")
    if len(large) > 1:
        group, inside = _codes(large, label.size)
        value = float(difference(label[inside], chosen[inside], sensitive_features=group[inside]))
    small = [name for name in every if name not in large]
    left_out = f"; left out for too few rows or labels: {', '.join(small)}" if small else ""
    return GateResult(
        name=f"{gate.fairness.replace('_', ' ')} by {gate.attribute}",
        value=value,
        limit=gate.at_most,
        margin=margin(gate.at_most - value),
        detail=f"largest difference of {len(large)} groups{left_out}",
        mode=gate.mode,
        parts=tuple(sorted(parts, key=lambda part: part.value)),
    )


def selected(gate: FairnessGate, contender: Contender) -> NDArray[np.int64]:
    """Return 1 for the rows that are contacted, without money for those whose score reaches the threshold."""
    if contender.value is None:
        return (contender.scored.score >= gate.threshold).astype(np.int64)
    return (contacted(contender.scored, share=contender.share or 0.0) >= LIKELY).astype(np.int64)


def _codes(large: dict[str, NDArray[np.bool_]], rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each row's group, and which rows are in one."""
    group = np.full(rows, -1)
    for code, inside in enumerate(large.values()):
        group[inside] = code
    return group, group >= 0
