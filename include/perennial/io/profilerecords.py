"""What a profile says about a table, its columns, their days, and their relation to the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from perennial.records import Record

Kind = Literal["number", "text", "truth", "date", "time", "key"]  # a key names somebody: counted, and never shown


@dataclass(frozen=True, slots=True)
class Histogram(Record):
    """Rows a bin; the bins are equally wide, and the outer two also hold what lies beyond them."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LabelGroup(Record):
    """A part of the sample, by a column's value: its rows and the mean of their label."""

    name: str
    rows: int
    label: float


@dataclass(frozen=True, slots=True)
class LabelRelation(Record):
    """What a column alone tells about the label: the area under its ROC curve (0.5 is a guess), or rank correlation."""

    measure: str
    value: float | None
    groups: tuple[LabelGroup, ...]


@dataclass(frozen=True, slots=True)
class ByDay(Record):
    """One day of a column: rows, missing share, mean of numbers, and share of the most frequent value."""

    day: date
    rows: int
    missing: float
    mean: float | None
    top: float | None


@dataclass(frozen=True, slots=True)
class ColumnProfile(Record):
    """One column; figures that have no meaning for its kind are None or empty."""

    name: str
    kind: Kind
    missing: int
    infinite: int
    distinct: int
    least: Any
    greatest: Any
    mean: float | None
    deviation: float | None
    quantiles: Mapping[str, float]
    histogram: Histogram | None
    top: tuple[tuple[Any, int], ...]
    label: LabelRelation | None
    by_day: tuple[ByDay, ...]


@dataclass(frozen=True, slots=True)
class TableProfile(Record):
    """One table; `correlations` are rank correlations of its numbers in the sample, the strongest first."""

    name: str
    rows: int
    days: int
    sampled: int
    columns: tuple[ColumnProfile, ...]
    correlations: tuple[tuple[str, str, float], ...]
