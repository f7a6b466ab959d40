"""How far a column has moved from its reference, on binned counts that travel as JSON.

A reference is counted once, when a model is trained, into bins that stay with the model. A day's rows are
counted into the same bins, and three measures compare the counts: the population stability index decides,
Wasserstein (numeric) and Jensen-Shannon (categorical) say how far. Missing values have a bin of their own, so
a column that turns null drifts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from perennial.records import ColumnDrift, DriftVerdict, Json, Record

FloatArray = NDArray[np.float64]
Kind = Literal["numeric", "categorical"]

BINS = 10
MOST_CATEGORIES = 50
NAMED = 3
ALWAYS_DRIFT = frozenset({"missing column"})


@dataclass(frozen=True, slots=True)
class NumericProfile(Record):
    """Counts of a numeric column: `counts[i]` rows have `edges[i-1] < x <= edges[i]`, outer bins are open.

    `means[i]` is the mean of bin i (0 where it is empty), `scale` the standard deviation of the finite
    values. Infinite values are counted in the outer bins and stand for the largest or smallest finite value
    in the means.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    means: tuple[float, ...]
    nulls: int
    scale: float

    @property
    def rows(self) -> int:
        """Return all rows, missing values included."""
        return sum(self.counts) + self.nulls

    @property
    def kind(self) -> Kind:
        """Return what the counts are of."""
        return "numeric"


@dataclass(frozen=True, slots=True)
class CategoricalProfile(Record):
    """Counts of a categorical column: the most frequent categories, all `other` rows, and nulls."""

    categories: tuple[str, ...]
    counts: tuple[int, ...]
    other: int
    nulls: int

    @property
    def rows(self) -> int:
        """Return all rows, missing values included."""
        return sum(self.counts) + self.other + self.nulls

    @property
    def kind(self) -> Kind:
        """Return what the counts are of."""
        return "categorical"


Profile = NumericProfile | CategoricalProfile


@dataclass(frozen=True, slots=True)
class Column:
    """A column to judge: numbers with NaN for null, or texts with None for null."""

    kind: Kind
    values: NDArray[Any]

    @classmethod
    def numeric(cls, values: Any) -> Column:
        """Return a column of numbers; NaN is missing."""
        return cls("numeric", np.asarray(values, dtype=np.float64))

    @classmethod
    def categorical(cls, values: Sequence[Any]) -> Column:
        """Return a column of texts; None is missing."""
        texts = np.empty(len(values), dtype=object)
        texts[:] = [None if value is None else str(value) for value in values]
        return cls("categorical", texts)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a column counts as drifted: its PSI is `psi` or more, judged on `min_rows` rows or more."""

    psi: float
    min_rows: int


def profile(column: Column) -> Profile:
    """Return the reference counts of a column, with bins cut on its own values.

    A numeric column has ten bins of equal mass, ties merged, and one empty bin on each side of its range, so
    that values the reference never had are seen by the PSI. A categorical one keeps its 50 most frequent
    categories.
    """
    if column.kind == "categorical":
        return _categories(column.values)
    return count_numeric(column.values, edges=_edges(column.values[np.isfinite(column.values)]))


def count_numeric(values: FloatArray, *, edges: FloatArray) -> NumericProfile:
    """Return the counts of `values` in the bins that `edges` cut; NaN counts as null."""
    known = values[~np.isnan(values)]
    finite = known[np.isfinite(known)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    code = np.searchsorted(edges, known, side="left")
    counts = np.bincount(code, minlength=edges.size + 1)
    sums = np.bincount(code, np.clip(known, low, high), edges.size + 1)
    means = np.divide(sums, counts, out=np.zeros(counts.size), where=counts > 0)
    return NumericProfile(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        means=tuple(means.tolist()),
        nulls=int(values.size - known.size),
        scale=float(finite.std()) if low < high else 0.0,  # rounding gives a constant a spread
    )


def psi(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the population stability index of two counts over the same k bins.

    `PSI = Σᵢ (qᵢ - pᵢ) · ln(qᵢ / pᵢ)` with the shares `(count + ½) / (rows + k/2)`, so that an empty bin
    stays finite. Bins that are empty on both sides are left out first.

    Returns:
        Nats, never negative; 0 for equal shares, and 0 where either side has no rows.

    Source:
        Jeffreys (1946), Proc. R. Soc. A 186, 453-461; Siddiqi (2006), *Credit Risk Scorecards*, Wiley.
    """
    return float(psis(np.array(reference, dtype=np.float64), np.array(current, dtype=np.float64)))


def psis(reference: NDArray[Any], current: NDArray[Any]) -> FloatArray:
    """Return the PSI of many pairs of counts at once: bins lie along the last axis, the others are broadcast."""
    seen = (reference > 0) | (current > 0)
    half = seen.sum(axis=-1, keepdims=True) / 2
    rows = [side.sum(axis=-1, keepdims=True) for side in (reference, current)]
    p, q = ((side + 0.5) / (of + np.maximum(half, 0.5)) for side, of in zip((reference, current), rows, strict=True))
    terms = np.where(seen & (rows[0] > 0) & (rows[1] > 0), (q - p) * np.log(q / p), 0.0)
    return np.asarray(terms.sum(axis=-1), dtype=np.float64)


def jensen_shannon(reference: Sequence[int], current: Sequence[int]) -> float:
    """Return the Jensen-Shannon distance of two counts over the same bins.

    `JS = sqrt(½ Σ pᵢ log₂(pᵢ / mᵢ) + ½ Σ qᵢ log₂(qᵢ / mᵢ))` with `m = (p + q) / 2` and plain shares; an empty
    bin adds nothing.

    Returns:
        0 for equal shares .. 1 for shares that have no bin in common; 0 where either side has no rows.

    Source:
        Endres and Schindelin (2003), IEEE Trans. Inf. Theory 49, 1858-1860.
    """
    counts = np.array([reference, current], dtype=np.float64)
    if not counts.size or (counts.sum(axis=1) == 0).any():
        return 0.0
    shares = counts / counts.sum(axis=1, keepdims=True)
    middle = shares.mean(axis=0)
    ratio = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    divergence = float((shares * np.log2(ratio)).sum() / 2)
    return float(np.sqrt(min(max(divergence, 0.0), 1.0)))


def wasserstein(reference: NumericProfile, current: NumericProfile) -> float:
    """Return the normalised first Wasserstein distance of two profiles with the same edges.

    `W = ∫ |F(x) - G(x)| dx / scale`, where F and G are the distribution functions of the two samples with the
    rows of each bin put on that sample's own mean in the bin, and `scale` is the reference's standard
    deviation. Nulls are left out. A sample moved by d standard deviations is at distance d, however far
    outside the reference it lies.

    Returns:
        Reference standard deviations, 0 or more; for a constant reference the distance itself, not divided.

    Source:
        Ramdas, García Trillos and Cuturi (2017), Entropy 19, 47.
    """
    p, q = (np.array(side.counts, dtype=np.float64) for side in (reference, current))
    if p.sum() == 0 or q.sum() == 0:
        return 0.0
    places = np.r_[np.array(reference.means), np.array(current.means)]
    steps = np.r_[p / p.sum(), -q / q.sum()]
    order = np.argsort(places, kind="stable")
    gap = np.abs(np.cumsum(steps[order])[:-1])
    distance = float((gap * np.diff(places[order])).sum())
    return distance / reference.scale if reference.scale > 0 else distance


def judge(name: str, reference: Profile | None, column: Column | None, *, limits: Limits) -> ColumnDrift:
    """Return the verdict on one column; never raises, whatever the column holds.

    The first that applies: "missing column" (no rows to look at), "new column" (no reference), "too few rows"
    (fewer than `limits.min_rows`), "all null" and "constant" (where the reference is not so too), "drifted"
    (`psi >=` its limit), "new categories", "stable". A column that was measured says its limit.
    """
    found = _judge(name, reference, column, limits=limits)
    return found if found.psi is None else replace(found, limit=limits.psi)


def _judge(name: str, reference: Profile | None, column: Column | None, *, limits: Limits) -> ColumnDrift:
    """Return the verdict on one column, without its limit."""
    if column is None:
        kind = reference.kind if reference else "numeric"
        return ColumnDrift(name, "missing column", None, None, _measure(kind), "the day's table does not have it")
    if reference is None:
        return ColumnDrift(name, "new column", None, None, _measure(column.kind), "the champion was not trained on it")
    if reference.kind != column.kind:
        detail = f"is {column.kind} now, the champion learnt it as {reference.kind}"
        return ColumnDrift(name, "missing column", None, None, _measure(reference.kind), detail)
    if column.values.size < limits.min_rows:
        detail = f"{column.values.size} rows, {limits.min_rows} needed"
        return ColumnDrift(name, "too few rows", None, None, _measure(column.kind), detail)
    if isinstance(reference, NumericProfile):
        return _judge_numeric(name, reference, column, limits=limits)
    return _judge_categorical(name, reference, column, limits=limits)


def counts_as_drift(drift: ColumnDrift) -> bool:
    """Tell whether a verdict is evidence of drift: its PSI reaches the limit that it says, or the column is gone."""
    reached = drift.psi is not None and drift.limit is not None and drift.psi >= drift.limit
    return drift.verdict in ALWAYS_DRIFT or reached


def drifted_share(columns: Sequence[ColumnDrift]) -> float:
    """Return the share of drifted columns among those that can be judged; 0 where none can."""
    judged = [drift for drift in columns if drift.psi is not None or drift.verdict in ALWAYS_DRIFT]
    drifted = sum(counts_as_drift(drift) for drift in judged)
    return drifted / len(judged) if judged else 0.0


def to_json(profiles: Mapping[str, Profile]) -> Json:
    """Return the profiles as plain data; `from_json` reads them back."""
    return {name: {"kind": item.kind, **item.to_json()} for name, item in profiles.items()}


def from_json(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Profile]:
    """Return the profiles that `to_json` wrote."""
    found: dict[str, Profile] = {}
    for name, item in data.items():
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in item.items() if key != "kind"
        }
        found[name] = NumericProfile(**fields) if item["kind"] == "numeric" else CategoricalProfile(**fields)
    return found


def _judge_numeric(name: str, reference: NumericProfile, column: Column, *, limits: Limits) -> ColumnDrift:
    """Return the verdict on a numeric column that is there and has rows enough."""
    current = count_numeric(column.values, edges=np.array(reference.edges))
    found = psi((*reference.counts, reference.nulls), (*current.counts, current.nulls))
    distance = wasserstein(reference, current)
    known = column.values[~np.isnan(column.values)]
    if not known.size and any(reference.counts):
        detail = f"{_share(reference.nulls, reference.rows)} of the reference is null"
        return ColumnDrift(name, "all null", found, None, "wasserstein", detail)
    if known.size and (known == known[0]).all() and reference.scale > 0:
        return ColumnDrift(name, "constant", found, distance, "wasserstein", f"every value is {float(known[0]):g}")
    verdict: Literal["drifted", "stable"] = "drifted" if found >= limits.psi else "stable"
    infinite = int(np.isinf(known).sum())
    detail = f"{infinite} infinite values" if infinite else ""
    return ColumnDrift(name, verdict, found, distance, "wasserstein", detail)


def _judge_categorical(name: str, reference: CategoricalProfile, column: Column, *, limits: Limits) -> ColumnDrift:
    """Return the verdict on a categorical column that is there and has rows enough."""
    present, counts = _frequencies(column.values)
    current = dict(zip(present, counts, strict=True))
    new = [] if reference.other else sorted(set(present) - set(reference.categories))
    other = sum(count for value, count in current.items() if value not in set(reference.categories))
    nulls = column.values.size - sum(counts)
    sides = (
        (*reference.counts, reference.other, reference.nulls),
        (*(current.get(value, 0) for value in reference.categories), other, nulls),
    )
    found, distance = psi(*sides), jensen_shannon(*sides)
    known = sum(1 for count in reference.counts if count) + bool(reference.other)
    detail = f"new: {_few(new)} in {_share(other, column.values.size)} of the rows" if new else ""
    verdict: DriftVerdict = "drifted" if found >= limits.psi else "new categories" if new else "stable"
    if not present and known:
        verdict, detail = "all null", f"{_share(reference.nulls, reference.rows)} of the reference is null"
    elif len(present) == 1 and known > 1:
        verdict, detail = "constant", detail or f"every value is {present[0]!r}"
    return ColumnDrift(name, verdict, found, distance, "jensen-shannon", detail)


def _edges(finite: FloatArray) -> FloatArray:
    """Return the inner quantiles of the values, their maximum, and the number just below their minimum."""
    if not finite.size:
        return finite
    inner = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.unique(np.r_[np.nextafter(finite.min(), -np.inf), inner, finite.max()])


def _categories(values: NDArray[Any]) -> CategoricalProfile:
    """Return the counts of the most frequent categories, ties in alphabetical order."""
    present, counts = _frequencies(values)
    ranked = sorted(zip(counts, present, strict=True), key=lambda pair: (-pair[0], pair[1]))
    kept = ranked[:MOST_CATEGORIES]
    return CategoricalProfile(
        categories=tuple(value for _, value in kept),
        counts=tuple(count for count, _ in kept),
        other=sum(count for count, _ in ranked[MOST_CATEGORIES:]),
        nulls=int(values.size - sum(counts)),
    )


def _frequencies(values: NDArray[Any]) -> tuple[list[str], list[int]]:
    """Return the distinct texts in alphabetical order and how often each occurs; None is left out."""
    present, counts = np.unique([value for value in values if value is not None], return_counts=True)
    return [str(value) for value in present], [int(count) for count in counts]


def _measure(kind: Kind) -> Literal["wasserstein", "jensen-shannon"]:
    """Return the distance that is reported beside the PSI."""
    return "wasserstein" if kind == "numeric" else "jensen-shannon"


def _share(part: int, whole: int) -> str:
    """Return a share as text."""
    return f"{part / whole:.1%}" if whole else "0 %"


def _few(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    named = ", ".join(repr(name) for name in names[:NAMED])
    return named if len(names) <= NAMED else f"{named} and {len(names) - NAMED} more"
