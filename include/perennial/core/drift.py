"""How far a column has moved from its reference, on binned counts that travel as JSON.

A reference is counted once, when a model is trained, into bins that stay with the model. A day's rows are
counted into the same bins (`io.counts`), and measures compare the counts: the population stability index decides,
Wasserstein (numeric) and Jensen-Shannon (categorical) say how far (`core.distances`). Missing values have a bin of
their own, so a column that turns null drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from perennial.core import distances
from perennial.core.distances import Cells, Distance
from perennial.records import ColumnDrift, DriftVerdict, Json, Record

FloatArray = NDArray[np.float64]
Kind = Literal["numeric", "categorical"]

BINS = 10
TAILS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
PARTS = 128
OUTSIDE = 0.001  # share of the rows on each side of the strips
MOST_CATEGORIES = 50
NAMED = 3
ALWAYS_DRIFT = frozenset({"missing column"})


@dataclass(frozen=True, slots=True)
class Grid(Record):
    """What cuts values into cells: the segments between `cuts`, and `parts` strips of equal width across all of them.

    A value x is in the segment i with `cuts[i-1] < x <= cuts[i]`, and in the strip `floor((x - low) * rate)`, within 0
    and `parts - 1`; its cell is `i * parts + strip`. With a rate of 0 there is one strip. So cells are narrow where
    many rows lie, by the cuts, and where the column is wide, by the strips.
    """

    cuts: tuple[float, ...]
    parts: int = 1
    low: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class NumericProfile(Record):
    """Counts of a numeric column: `counts[i]` rows have `edges[i-1] < x <= edges[i]`, outer bins are open.

    `scale` is the standard deviation of the finite values. Infinite values are counted in the outer bins, and are in no
    cell. The grid's cuts include the edges.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    nulls: int
    scale: float
    grid: Grid
    cells: Cells

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
class NumericCounts:
    """A day's numeric column in the bins and cells of its reference.

    `least` and `greatest` are of all values that are there, infinite ones included; None where there is none.
    """

    counts: tuple[int, ...]
    nulls: int
    cells: Cells
    infinite: int = 0
    least: float | None = None
    greatest: float | None = None
    kind: ClassVar[Kind] = "numeric"

    @property
    def rows(self) -> int:
        """Return all rows, missing values included."""
        return sum(self.counts) + self.nulls


@dataclass(frozen=True, slots=True)
class CategoricalCounts:
    """A day's categorical column: rows by category, and nulls."""

    counts: Mapping[str, int]
    nulls: int
    kind: ClassVar[Kind] = "categorical"

    @property
    def rows(self) -> int:
        """Return all rows, missing values included."""
        return sum(self.counts.values()) + self.nulls


Counts = NumericCounts | CategoricalCounts
Asked = Callable[[str], float | None]  # the distance of a column's rows themselves, None where they are gone


@dataclass(frozen=True, slots=True)
class Limits:
    """When a column counts as drifted: its PSI is `psi` or more, judged on `min_rows` rows or more.

    `distance` is the limit that the told distance is held against; None leaves that out.
    """

    psi: float
    min_rows: int
    distance: float | None = None


def edges(finite: FloatArray) -> FloatArray:
    """Return the edges of a reference's bins: ten of equal mass, ties merged, and one empty bin on each side.

    The empty ones let values that the reference never had be seen by the PSI. No edges where there is no value.
    """
    if not finite.size:
        return finite
    inner = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1])
    with np.errstate(over="ignore"):  # below the smallest number there is lies only the infinite one
        below = np.nextafter(finite.min(), -np.inf)
    return np.unique(np.r_[below, inner, finite.max()])


def grid(finite: FloatArray) -> Grid:
    """Return the cells of a reference: cuts at its edges and quantiles in the tails, and 128 strips between these."""
    if not finite.size:
        return Grid(())
    lower, upper = np.quantile(finite, TAILS), np.quantile(finite, 1 - np.array(TAILS))
    cuts = tuple(np.unique(np.r_[edges(finite), lower, upper]).tolist())
    low, high = lower[TAILS.index(OUTSIDE)], upper[TAILS.index(OUTSIDE)]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rate = float(PARTS / (high - low))
    # Of numbers too close or too far apart for a rate, the cuts alone make the cells.
    return Grid(cuts, PARTS, float(low), rate) if np.isfinite(rate) and rate > 0 else Grid(cuts)


def categories(found: CategoricalCounts) -> CategoricalProfile:
    """Return the counts of the 50 most frequent categories, ties in alphabetical order, and of the rest together."""
    ranked = sorted(found.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    kept = ranked[:MOST_CATEGORIES]
    return CategoricalProfile(
        categories=tuple(value for value, _ in kept),
        counts=tuple(count for _, count in kept),
        other=sum(count for _, count in ranked[MOST_CATEGORIES:]),
        nulls=found.nulls,
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
    return np.asarray(psi_terms(reference, current).sum(axis=-1), dtype=np.float64)


def psi_terms(reference: NDArray[Any], current: NDArray[Any]) -> FloatArray:
    """Return what each bin adds to the PSI of the counts, never negative; bins lie along the last axis."""
    seen = (reference > 0) | (current > 0)
    half = seen.sum(axis=-1, keepdims=True) / 2
    rows = [side.sum(axis=-1, keepdims=True) for side in (reference, current)]
    p, q = ((side + 0.5) / (of + np.maximum(half, 0.5)) for side, of in zip((reference, current), rows, strict=True))
    known = seen & (rows[0] > 0) & (rows[1] > 0)
    return np.asarray(np.where(known, (q - p) * np.log(q / p), 0.0), dtype=np.float64)


def judge(
    name: str, reference: Profile | None, found: Counts | Kind | None, *, limits: Limits, asked: Asked | None = None
) -> ColumnDrift:
    """Return the verdict on one column; never raises, whatever the column holds.

    The first that applies: "missing column" (no rows to look at), "new column" (no reference), "too few rows"
    (fewer than `limits.min_rows`), "all null" and "constant" (where the reference is not so too), "drifted"
    (`psi >=` its limit), "new categories", "stable". A column that was measured says its limits.

    Args:
        name: of the column.
        reference: its counts in the reference, None where that does not have it.
        found: the day's counts in the same bins; the kind alone, where nothing could be counted because the reference
            is missing or of another kind; None where the day does not have it.
        limits: what it is held against.
        asked: gives the distance of the rows themselves. It is asked where the counts leave open on which side of its
            limit the distance lies; None answers that the rows are gone.
    """
    if found is None:
        kind = reference.kind if reference else "numeric"
        return ColumnDrift(name, "missing column", None, None, _measure(kind), "the day's table does not have it")
    kind = found if isinstance(found, str) else found.kind
    if reference is None:
        return ColumnDrift(name, "new column", None, None, _measure(kind), "the champion was not trained on it")
    if isinstance(found, str) or reference.kind != kind:
        detail = f"is {kind} now, the champion learnt it as {reference.kind}"
        return ColumnDrift(name, "missing column", None, None, _measure(reference.kind), detail)
    if found.rows < limits.min_rows:
        detail = f"{found.rows} rows, {limits.min_rows} needed"
        return ColumnDrift(name, "too few rows", None, None, _measure(kind), detail)
    if isinstance(reference, NumericProfile) and isinstance(found, NumericCounts):
        judged, told = _judge_numeric(name, reference, found, limits=limits)
    elif isinstance(reference, CategoricalProfile) and isinstance(found, CategoricalCounts):
        judged, told = _judge_categorical(name, reference, found, limits=limits)
    return _settled(replace(judged, limit=limits.psi), told, limits=limits, asked=asked)


def distance_of(reference: Profile, found: Counts) -> Distance | None:
    """Return the distance that counts tell: Wasserstein of numbers, Jensen-Shannon of categories, nulls left out.

    None where a side has no finite value, or the kinds differ.
    """
    if isinstance(reference, NumericProfile) and isinstance(found, NumericCounts):
        return distances.wasserstein(reference.cells, found.cells, scale=reference.scale)
    if isinstance(reference, CategoricalProfile) and isinstance(found, CategoricalCounts):
        known = [found.counts.get(value, 0) for value in reference.categories]
        other = (reference.other, sum(found.counts.values()) - sum(known))
        return distances.jensen_shannon_of(reference.counts, known, other=other)
    return None


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
    """Return the profiles that `to_json` wrote; one of before had no cells, its bins then stand in for them."""
    return {name: _profile(item) for name, item in data.items()}


def _profile(item: Mapping[str, Any]) -> Profile:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in item.items() if key != "kind"
    }
    if item["kind"] == "categorical":
        return CategoricalProfile(**fields)
    means = fields.pop("means", ())
    if "cells" not in fields:
        return NumericProfile(**fields, grid=Grid(fields["edges"]), cells=_bins_as_cells(fields, means))
    fields["grid"] = Grid(**item["grid"] | {"cuts": tuple(item["grid"]["cuts"])})
    fields["cells"] = Cells(**{key: tuple(value) for key, value in item["cells"].items()})
    return NumericProfile(**fields)


def _bins_as_cells(fields: Mapping[str, Any], means: Sequence[float]) -> Cells:
    """Return the bins of a profile of before as cells; rows of the outer ones were infinite, and are in none."""
    ends = fields["edges"]
    inner = [place for place, count in enumerate(fields["counts"]) if count and 0 < place < len(ends)]
    return Cells(
        tuple(inner),
        tuple(fields["counts"][place] for place in inner),
        tuple(means[place] for place in inner),
        tuple(ends[place - 1] for place in inner),
        tuple(ends[place] for place in inner),
    )


def _settled(judged: ColumnDrift, told: Distance | None, *, limits: Limits, asked: Asked | None) -> ColumnDrift:
    """Return the verdict with the distance, measured on the rows where the counts do not say its side of the limit."""
    if told is None:
        return judged
    if limits.distance is None:
        return replace(judged, distance=told.value)
    if told.decided(limits.distance):
        return replace(judged, distance=told.value, distance_limit=limits.distance)
    measured = asked(judged.column) if asked else None
    if measured is not None:
        return replace(judged, distance=measured, distance_limit=limits.distance, exact=True)
    unsure = f"distance {told.low:.4g} to {told.high:.4g}, and the rows of the reference are gone"
    return replace(judged, distance=told.value, detail=f"{judged.detail}; {unsure}" if judged.detail else unsure)


def _judge_numeric(
    name: str, reference: NumericProfile, current: NumericCounts, *, limits: Limits
) -> tuple[ColumnDrift, Distance | None]:
    """Return the verdict on a numeric column that is there and has rows enough, without its distance, and that."""
    found = psi((*reference.counts, reference.nulls), (*current.counts, current.nulls))
    told = distance_of(reference, current)
    verdict: DriftVerdict = "drifted" if found >= limits.psi else "stable"
    detail = f"{current.infinite} infinite values" if current.infinite else ""
    if not any(current.counts) and any(reference.counts):
        verdict, detail = "all null", f"{_share(reference.nulls, reference.rows)} of the reference is null"
    elif current.least is not None and current.least == current.greatest and reference.scale > 0:
        verdict, detail = "constant", f"every value is {current.least:g}"
    return ColumnDrift(name, verdict, found, None, "wasserstein", detail), told


def _judge_categorical(
    name: str, reference: CategoricalProfile, current: CategoricalCounts, *, limits: Limits
) -> tuple[ColumnDrift, Distance | None]:
    """Return the verdict on a categorical column that is there and has rows enough, without its distance, and that."""
    present = {value: count for value, count in current.counts.items() if count}
    new = [] if reference.other else sorted(set(present) - set(reference.categories))
    counted = [present.get(value, 0) for value in reference.categories]
    other = sum(present.values()) - sum(counted)
    found = psi(
        (*reference.counts, reference.other, reference.nulls),
        (*counted, other, current.nulls),
    )
    known = sum(1 for count in reference.counts if count) + bool(reference.other)
    detail = f"new: {_few(new)} in {_share(other, current.rows)} of the rows" if new else ""
    verdict: DriftVerdict = "drifted" if found >= limits.psi else "new categories" if new else "stable"
    if not present and known:
        verdict, detail = "all null", f"{_share(reference.nulls, reference.rows)} of the reference is null"
    elif len(present) == 1 and known > 1:
        verdict, detail = "constant", detail or f"every value is {next(iter(present))!r}"
    return ColumnDrift(name, verdict, found, None, "jensen-shannon", detail), distance_of(reference, current)


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
