"""Results that are too good to be true: a feature that tells the label almost alone, or an implausible score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perennial.core.agreement import rank_correlation, separation
from perennial.core.comparison import margin
from perennial.core.deviations import FloatArray
from perennial.core.evidence import Evidence
from perennial.core.metrics import Scored
from perennial.spec import LeakageGate
from perennial.verdicts import GatePart, GateResult

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5


def too_good(gate: LeakageGate, evidence: Evidence) -> GateResult:
    """Return whether no feature, and not the score either, is stronger than is plausible; names the strongest.

    The value is the strength that is nearest to its limit, or furthest above it.
    """
    rows, scored = evidence.features(), evidence.challenger.scored
    strengths = {
        name: strength(scored, _codes(rows.frame[name], scored.label))
        for name in rows.features
        if name not in rows.excused
    }
    ranked = sorted(strengths.items(), key=lambda item: -np.nan_to_num(item[1]))
    candidates = [(name, value, gate.suspicious_feature) for name, value in ranked[:1]]
    candidates.append(("the score", strength(scored, scored.score), gate.suspicious_score))
    name, value, limit = min(candidates, key=lambda each: each[2] - each[1])
    excused = f"; excused by features.strong: {', '.join(rows.excused)}" if rows.excused else ""
    return GateResult(
        name=f"leakage: {name}",
        value=value,
        limit=limit,
        margin=margin(limit - value),
        detail=f"strength of {name} alone, of {len(strengths)} features{excused}",
        mode=gate.mode,
        parts=tuple(GatePart(name, value) for name, value in ranked[:SHOWN]),
    )


def strength(scored: Scored, values: FloatArray) -> float:
    """Return how well a column alone tells the label: `core.agreement.separation`, for a number `rank_correlation`."""
    return (separation if scored.kind == "binary" else rank_correlation)(scored.label, values)


def _codes(column: pd.Series, label: FloatArray) -> FloatArray:
    """Return numbers as they are, and each text as the mean label of the *other* rows that have it.

    With the row's own label in it, a text that occurs once would tell its label by itself. A text that occurs once is
    missing.
    """
    if column.dtype.kind in "fiu":
        return column.to_numpy(dtype=np.float64)
    _, code = np.unique(column.fillna("").astype(str).to_numpy(), return_inverse=True)
    rows, total = np.bincount(code)[code], np.bincount(code, label)[code]
    return np.where(rows > 1, (total - label) / np.maximum(rows - 1, 1), np.nan)
