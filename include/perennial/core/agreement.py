"""Where two snapshots of one day differ, and how well one column alone tells the label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
RELATIVE_TOLERANCE = 1e-9  # sums may be added up in another order


def changed(one: pa.Table, other: pa.Table, *, entity: str) -> dict[str, list[Any]]:
    """Return the entities whose value differs, by column.

    Numbers count as equal within a relative and an absolute distance of 1e-9. Entities that only one of the tables
    has are given under the entity's own name; they count for no other column.

    Args:
        one: one row an entity; its columns are compared.
        other: a table with these columns, its rows in any order.
        entity: the column that names a row.
    """
    place = pc.index_in(one.column(entity).combine_chunks(), value_set=other.column(entity).combine_chunks())
    both = one.filter(pc.is_valid(place))
    aligned = other.take(place.drop_null())
    found = {}
    alone = one.filter(pc.is_null(place)).column(entity).to_pylist()
    known = set(one.column(entity).to_pylist())
    alone += [each for each in other.column(entity).to_pylist() if each not in known]
    if alone:
        found[entity] = alone
    for name in one.column_names:
        if name != entity:
            unlike = both.filter(_unlike(both.column(name), aligned.column(name)))
            if unlike.num_rows:
                found[name] = unlike.column(entity).to_pylist()
    return found


def _unlike(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.ChunkedArray:
    missing = pc.xor(pc.is_null(one), pc.is_null(other))
    if pa.types.is_floating(one.type):
        allowed = pc.add(pc.multiply(pc.abs(one), RELATIVE_TOLERANCE), RELATIVE_TOLERANCE)
        apart = pc.greater(pc.abs(pc.subtract(one, other)), allowed)
        apart = pc.and_kleene(apart, pc.not_equal(one, other))  # equal infinities have no distance
    else:
        apart = pc.not_equal(one, other)
    return pc.or_(missing, pc.fill_null(apart, fill_value=False))


def separation(label: FloatArray, values: FloatArray) -> float:
    """Return how well one column alone tells a label of 0 and 1: the area under its ROC curve, or under the reversed.

    Missing values are taken for the least and for the greatest, whichever tells more. A monotone function of the
    values gives the same result. 0.5 is a guess, 1.0 tells every label; NaN where only one label occurs.

    Args:
        label: shape (n,), 0 or 1.
        values: shape (n,), NaN where missing.
    """
    positives = label == 1
    count = int(positives.sum())
    if count in {0, label.size}:
        return float("nan")
    best = 0.5
    for missing in (-np.inf, np.inf):
        ranks = _ranks(np.where(np.isnan(values), missing, values))
        below = ranks[positives].sum() - count * (count + 1) / 2
        area = float(below / (count * (label.size - count)))
        best = max(best, area, 1 - area)
    return best


def rank_correlation(label: FloatArray, values: FloatArray) -> float:
    """Return the absolute rank correlation (Spearman) of the rows where both are there; NaN below three such rows."""
    there = ~np.isnan(values) & ~np.isnan(label)
    if there.sum() < 3:
        return float("nan")
    one, other = _ranks(label[there]), _ranks(values[there])
    if one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(abs(np.corrcoef(one, other)[0, 1]))


def centred_ranks(values: FloatArray) -> FloatArray | None:
    """Return ranks with the missing values in the middle, None where all are the same."""
    known = ~np.isnan(values)
    ranks = np.full(values.shape, (known.sum() - 1) / 2)
    _, place, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    ranks[known] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return ranks if ranks.size and ranks.std() > 0 else None


def _ranks(values: FloatArray) -> FloatArray:
    """Return the ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place], dtype=np.float64)
