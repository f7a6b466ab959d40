"""How much of what a model rests on has drifted: the drifted share of its features, weighted by their importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perennial.core import drift
from perennial.records import ColumnDrift, Measure

IMPORTANCE = "importance"  # where a reference profile keeps what each feature adds
NAMED = 3
MOST = 99.0  # stands for the PSI of a column that is gone


def at_stake(
    columns: Sequence[ColumnDrift], importance: Mapping[str, float] | None, *, limit: float
) -> tuple[Measure, ...]:
    """Return the drift at stake, and the PSI of each column to be charted.

    `Σ w over drifted features / Σ w over judged features`, with w the importance of a feature, 0 where it is below 0
    (a feature that adds nothing); a feature that the model does not know has none. Without importances, or where all
    are 0, every feature has the same. The limit counts as reached where the value is at it.

    Args:
        columns: the day's verdicts.
        importance: what the scores lose where a feature is shuffled; None for a champion trained before it was kept.
        limit: of the value.
    """
    told = tuple(Measure("inputs", each.column, "psi", each.psi) for each in columns)
    judged = [each for each in columns if each.psi is not None or drift.counts_as_drift(each)]
    if not judged:
        reason = f"None of {len(columns)} features can be judged: {columns[0].detail}." if columns else "No features."
        return (Measure("inputs", "features", "drift at stake", None, limit=limit, detail=reason), *told)
    weights = {each.column: max((importance or {}).get(each.column, 0.0), 0.0) for each in judged}
    equal = not sum(weights.values())
    if equal:
        weights = dict.fromkeys(weights, 1.0)
    moved = [each for each in judged if drift.counts_as_drift(each)]
    value = sum(weights[each.column] for each in moved) / sum(weights.values())
    moved.sort(key=lambda each: -weights[each.column] * (MOST if each.psi is None else each.psi))
    over = bool(moved) and value >= limit
    said = _said(moved, value, limit, equal=equal) if moved else ""
    return (Measure("inputs", "features", "drift at stake", value, limit=limit, over=over, detail=said), *told)


def _said(moved: Sequence[ColumnDrift], value: float, limit: float, *, equal: bool) -> str:
    names = [f"{each.column} ({'gone' if each.psi is None else f'PSI {each.psi:.2f}'})" for each in moved[:NAMED]]
    what = "of the features (their importance is not known)" if equal else "of what the scores rest on"
    more = f" and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
    return f"{value:.0%} {what} has drifted, limit {limit:.0%}: {', '.join(names)}{more}."
