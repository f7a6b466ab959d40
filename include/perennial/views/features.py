"""What a profile says of each feature: its values, how they change over time, and what they tell about the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import DataError, nearest
from perennial.io.profilerecords import ColumnProfile, TableProfile
from perennial.records import Record
from perennial.spec import UseCase
from perennial.stages.profiling import FEATURES, ProfileRecord
from perennial.views import profiles
from perennial.views.charts import Chart, Panel, Trace
from perennial.views.profiles import Kept

SHOWN = 3  # correlations of a feature in the table of all
GUESS = {"area under the ROC curve": 0.5, "rank correlation": 0.0}  # what a feature without any relation has


@dataclass(frozen=True, slots=True)
class Correlated(Record):
    """Another feature, and the rank correlation with it."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class FeatureRow(Record):
    """One feature in the table of all.

    Attributes:
        name: its name.
        kind: number, text, truth, date or time.
        missing: share of the rows.
        distinct: values.
        mean: of numbers.
        deviation: of numbers.
        counts: rows a bin, or of the most frequent values.
        over_time: by day, the mean of numbers, or the share of the most frequent value.
        measure: how its relation to the label is told.
        relation: that; None where there is no such number.
        strength: how far it is from a guess, from 0 to 1.
        groups: mean of the label in parts of the rows by the feature's value.
        correlations: the strongest.
    """

    name: str
    kind: str
    missing: float
    distinct: int
    mean: float | None
    deviation: float | None
    counts: tuple[int, ...]
    over_time: tuple[float | None, ...]
    measure: str
    relation: float | None
    strength: float | None
    groups: tuple[float, ...]
    correlations: tuple[Correlated, ...]


@dataclass(frozen=True, slots=True)
class FeaturesView(Record):
    """All features; `profile` is None where there is none yet.

    Attributes:
        case: the use case.
        profile: which profile is shown.
        profiles: all that there are, the newest first.
        label: name of the label's column.
        first: first day of the features in the profile.
        last: last day.
        days: how many days are in it.
        rows: how many rows.
        features: in the order of the spec.
        outages: what cannot be read.
    """

    case: str
    profile: Kept | None
    profiles: tuple[Kept, ...]
    label: str
    first: str = ""
    last: str = ""
    days: int = 0
    rows: int = 0
    features: tuple[FeatureRow, ...] = ()
    outages: tuple[str, ...] = ()

    @property
    def kinds(self) -> Mapping[str, int]:
        """Return how many features there are of each kind."""
        return Counter(each.kind for each in self.features)


@dataclass(frozen=True, slots=True)
class FeatureView(Record):
    """One feature; `before` and `after` are the features beside it."""

    case: str
    profile: Kept
    label: str
    column: ColumnProfile
    missing: float
    strength: float | None
    over_time: Chart
    distribution: Chart
    by_label: Chart
    correlations: tuple[Correlated, ...]
    before: str
    after: str
    rows: int = 0


def run(case: UseCase, pages: Path, *, profile: str = "") -> FeaturesView:
    """Return what a profile says of all features.

    Args:
        case: whose features.
        pages: the pages folder.
        profile: name of a kept profile; by default the newest.

    Raises:
        DataError: there is no profile of that name.
    """
    kept = profiles.kept(pages, case.name)
    if not kept:
        return FeaturesView(case.name, None, (), case.label.column)
    chosen = _chosen(kept, profile)
    try:
        table = _features(profiles.read(pages, chosen))
    except DataError as error:
        return FeaturesView(case.name, chosen, kept, case.label.column, outages=(str(error),))
    days = sorted({each.day for column in table.columns for each in column.by_day})
    return FeaturesView(
        case=case.name,
        profile=chosen,
        profiles=kept,
        label=case.label.column,
        first=str(days[0]) if days else "",
        last=str(days[-1]) if days else "",
        days=len(days),
        rows=table.rows,
        features=tuple(
            _row(each, table, label=case.label.column) for each in table.columns if each.name != case.label.column
        ),
    )


def one(case: UseCase, pages: Path, feature: str, *, profile: str = "") -> FeatureView:
    """Return what a profile says of one feature.

    Args:
        case: whose feature.
        pages: the pages folder.
        feature: its name.
        profile: name of a kept profile; by default the newest.

    Raises:
        DataError: there is no such feature, no profile of that name, or it cannot be read.
    """
    kept = profiles.kept(pages, case.name)
    if not kept:
        raise DataError(f"{case.name} has no profile yet. `perennial profile {case.name}` makes one.")
    chosen = _chosen(kept, profile)
    table = _features(profiles.read(pages, chosen))
    columns = {each.name: each for each in table.columns if each.name != case.label.column}
    if feature not in columns:
        raise DataError(f"The profile {chosen.name} has no feature {feature[:60]!r}. {nearest(feature[:60], columns)}")
    column, names = columns[feature], list(columns)
    at = names.index(feature)
    return FeatureView(
        case=case.name,
        profile=chosen,
        label=case.label.column,
        column=column,
        missing=_share(column.missing, table.rows),
        strength=_strength(column),
        over_time=_over_time(column),
        distribution=_distribution(column),
        by_label=_by_label(column, case.label.column),
        correlations=_correlations(feature, table, without=case.label.column),
        before=names[at - 1] if at else "",
        after=names[at + 1] if at + 1 < len(names) else "",
        rows=table.rows,
    )


def _chosen(kept: Sequence[Kept], name: str) -> Kept:
    by_name = {each.name: each for each in kept}
    if name and name not in by_name:
        raise DataError(f"There is no profile {name[:60]!r}. {nearest(name[:60], by_name)}")
    return by_name[name] if name else kept[0]


def _features(profile: ProfileRecord) -> TableProfile:
    return next((each for each in profile.tables if each.name == FEATURES), TableProfile(FEATURES, 0, 0, 0, (), ()))


def _row(column: ColumnProfile, table: TableProfile, *, label: str) -> FeatureRow:
    told = column.label
    return FeatureRow(
        name=column.name,
        kind=column.kind,
        missing=_share(column.missing, table.rows),
        distinct=column.distinct,
        mean=column.mean,
        deviation=column.deviation,
        counts=column.histogram.counts if column.histogram else tuple(many for _, many in column.top),
        over_time=tuple(each.mean if column.kind == "number" else each.top for each in column.by_day),
        measure=told.measure if told else "",
        relation=told.value if told else None,
        strength=_strength(column),
        groups=tuple(each.label for each in told.groups) if told else (),
        correlations=_correlations(column.name, table, without=label)[:SHOWN],
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _strength(column: ColumnProfile) -> float | None:
    """Return how far a relation is from a guess: 0 is one, 1 is a feature that tells the label by itself."""
    label = column.label
    if label is None or label.value is None or label.measure not in GUESS:
        return None
    guess = GUESS[label.measure]
    return abs(label.value - guess) / (1 - guess)


def _correlations(name: str, table: TableProfile, *, without: str) -> tuple[Correlated, ...]:
    """Return the rank correlations of a feature with the others, the strongest first."""
    pairs = ((other if one == name else one, value) for one, other, value in table.correlations if name in {one, other})
    return tuple(Correlated(other, value) for other, value in pairs if other != without)


def _over_time(column: ColumnProfile) -> Chart:
    x = tuple(each.day.isoformat() for each in column.by_day)
    rows = tuple(f"{each.rows:,} rows" for each in column.by_day)
    number = column.kind == "number"
    name = "mean" if number else "share of the most frequent value"
    y = tuple(each.mean if number else each.top for each in column.by_day)
    missing = tuple(each.missing for each in column.by_day)
    panels = (
        Panel(name.capitalize(), (Trace(name, x, y, texts=rows),)),
        Panel("Missing", (Trace("missing", x, missing, tone="warn"),), unit="share"),
    )
    return Chart("over-time", f"{column.name} over time", "day", panels)


def _distribution(column: ColumnProfile) -> Chart:
    found = column.histogram
    if found is None:
        x = tuple(str(value) for value, _ in column.top)
        trace = Trace("rows", x, tuple(float(many) for _, many in column.top), kind="bar")
        return Chart("distribution", "Most frequent values", "name", (Panel("Rows", (trace,)),), axis_title="Value")
    middles = tuple((low + high) / 2 for low, high in zip(found.edges, found.edges[1:], strict=False))
    trace = Trace("rows", middles, tuple(float(many) for many in found.counts), kind="bar")
    return Chart("distribution", "Distribution", "number", (Panel("Rows", (trace,)),), axis_title=column.name)


def _by_label(column: ColumnProfile, label: str) -> Chart:
    groups = column.label.groups if column.label else ()
    trace = Trace(
        f"mean of {label}", tuple(each.name for each in groups), tuple(each.label for each in groups), kind="bar",
        texts=tuple(f"{each.rows:,} rows" for each in groups), tone="other",
    )  # fmt: skip
    title = f"Mean of {label} by {column.name}"
    return Chart("by-label", title, "name", (Panel(f"Mean of {label}", (trace,)),), axis_title=column.name)


def bars(values: Sequence[float], *, width: float = 120.0, height: float = 28.0) -> str:
    """Return the `d` of an SVG path of bars side by side, the largest as high as the picture; empty without values.

    >>> bars((1.0, 2.0), width=20, height=10)
    'M0.0 10.0V5.0H9.5V10.0Z M10.0 10.0V0.0H19.5V10.0Z'
    """
    if not values:
        return ""
    step, most = width / len(values), max(max(values), 1e-12)
    gap = min(0.5, step / 4)
    tops = (height * (1 - max(value, 0.0) / most) for value in values)
    sides = ((at * step, (at + 1) * step - gap, top) for at, top in enumerate(tops))
    return " ".join(f"M{left:.1f} {height:.1f}V{top:.1f}H{right:.1f}V{height:.1f}Z" for left, right, top in sides)
