"""The challenger against the champion slice by slice: is anybody worse off?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from perennial.core.comparison import gain_of, margin
from perennial.core.contacts import HOUSEHOLDS
from perennial.core.deviations import FloatArray, Measure, mean_of
from perennial.core.evidence import Contender, Evidence
from perennial.core.metrics import BoolArray, contacted
from perennial.core.resampling import Estimate, estimate, ties
from perennial.spec import MONEY, SliceGate
from perennial.verdicts import GatePart, GateResult

if TYPE_CHECKING:
    import pandas as pd

MOST_VALUES = 12  # a number with more of them is cut at its quartiles
ABSENT = "(missing)"


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows, and the challenger's gain over the champion on them."""

    name: str
    rows: int
    gain: Estimate

    def doubt(self, allowed: float) -> float:
        """Return the p-value of "not worse by more than `allowed`": `P(T ≤ (gain + allowed) / error)`."""
        from scipy.special import stdtr

        distance = self.gain.value + allowed
        if self.gain.error == 0:
            return 1.0 if distance >= 0 else 0.0
        return float(stdtr(self.gain.freedom, distance / self.gain.error))


def by_slices(gate: SliceGate, evidence: Evidence) -> GateResult | None:
    """Return whether no slice is proven worse off; None where there is no champion.

    The value is the smallest p-value of all slices after Holm's correction, the limit `1 - confidence`: at or below it
    a slice is worse by more than the margin. The parts are all slices with their gains, the most doubtful first.
    """
    if evidence.champion is None:
        return None
    found, left_out = _slices(gate, evidence, evidence.champion)
    doubts = holm(np.array([each.doubt(gate.no_worse_than_champion_by) for each in found]))
    parts = sorted(
        (_part(gate, each, float(doubt)) for each, doubt in zip(found, doubts, strict=True)), key=lambda it: it.margin
    )
    value, limit = float(doubts.min(initial=1.0)), 1 - gate.confidence
    skipped = f"; too few rows or labels in {', '.join(left_out)}" if left_out else ""
    worst = f"most doubtful: {parts[0].name}, gain {parts[0].value:+.4f}; " if parts else ""
    return GateResult(
        name=f"{gate.metric} by {' and '.join(gate.slices)} against champion",
        value=value,
        limit=limit,
        margin=margin(value - limit),
        detail=f"{worst}least p-value of {len(parts)} slices after Holm{skipped}{evidence.seen}",
        mode=gate.mode,
        parts=tuple(parts),
    )


def holm(p: FloatArray) -> FloatArray:
    """Return p-values adjusted for their number: the k-th smallest times `n + 1 - k`, never falling, at most 1.

    Source:
        Holm (1979), Scand. J. Statist. 6, 65-70.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)))
    return adjusted


def groups(column: pd.Series) -> dict[str, BoolArray]:
    """Return which rows have each value of a column, by its name; many numbers are cut at their quartiles."""
    numeric = column.dtype.kind in "fiu"
    if not numeric:
        texts = column.fillna(ABSENT).astype(str)
        return {name: (texts == name).to_numpy() for name in sorted(texts.unique())}
    values = column.to_numpy(dtype=np.float64)
    absent = np.isnan(values)
    found = {ABSENT: absent} if absent.any() else {}
    known = np.unique(values[~absent])
    if known.size <= MOST_VALUES:
        return found | {f"{value:g}": values == value for value in known}
    edges = np.unique(np.quantile(values[~absent], [0, 0.25, 0.5, 0.75, 1]))
    bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    return found | {
        f"{edges[place]:g} to {edges[place + 1]:g}": (bins == place) & ~absent for place in range(edges.size - 1)
    }


def _slices(gate: SliceGate, evidence: Evidence, champion: Contender) -> tuple[list[Slice], list[str]]:
    """Return the slices that can be compared, and the names of those that cannot."""
    found, left_out, challenger = [], [], evidence.beside()
    for name, inside in _named(gate, evidence):
        if inside.sum() < gate.min_rows or _is_constant(challenger.scored.label[inside]):
            left_out.append(name)
            continue
        ours, theirs = (replace(each, scored=each.scored.on(inside)) for each in (challenger, champion))
        tied = ties(ours.scored, horizon_days=evidence.horizon_days, unit=gate.resample)
        gain = _profit_gained(challenger, champion, inside) if gate.metric in MONEY else None
        measure = gain or gain_of(gate.metric, ours, theirs)
        gained = estimate(measure, tied, resamples=gate.resamples, seed=evidence.seed)
        found.append(Slice(name, int(inside.sum()), gained))
    return found, left_out


def _named(gate: SliceGate, evidence: Evidence) -> Iterator[tuple[str, BoolArray]]:
    """Yield each slice of each column with its name."""
    frame = evidence.frame()
    for column in gate.slices:
        for value, inside in groups(frame[column]).items():
            yield f"{column} {value}", inside


def _is_constant(label: FloatArray) -> bool:
    return bool(label.min() == label.max())


def _profit_gained(challenger: Contender, champion: Contender, inside: BoolArray) -> Measure:
    """Return the gain in profit on some rows; who is contacted is decided among all rows of the day."""
    value = challenger.value
    if value is None:
        raise ValueError("a gate on money needs `value`, which the spec checks.")
    chosen = [contacted(each.scored, share=each.share or 0.0)[inside] for each in (challenger, champion)]
    earned = value.conversion * challenger.scored.label[inside] - value.contact
    return mean_of(HOUSEHOLDS * (chosen[0] - chosen[1]) * earned)


def _part(gate: SliceGate, found: Slice, doubt: float) -> GatePart:
    """Return a slice as it is shown."""
    return GatePart(
        name=found.name,
        value=found.gain.value,
        rows=found.rows,
        margin=margin(doubt - (1 - gate.confidence)),
        low=found.gain.lower(gate.confidence),
        high=found.gain.upper(gate.confidence),
        detail=f"p-value {doubt:.3f} after Holm",
    )
