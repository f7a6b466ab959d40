"""Leaks: hunt for features that know what comes after their day, and name the column and the source behind it.

The columns of `features.attributes` are hunted as well: no model sees them, but gates by slice and group do.

On some days, or all, the snapshot is computed from sources cut at its day, and again from sources that were changed
in a way that must not matter. Five kinds are told apart:

| kind | the change that must not matter |
|---|---|
| future rows | later rows of the entity itself are there |
| whole table | later rows of other entities are there |
| label inside | none: one feature alone tells the matured labels, or any monotone function of it does |
| corrected later | values that were corrected after the day was first published |
| reference without validity | rows of a reference table that are valid, or were first seen, only later |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from perennial.contracts import Source
from perennial.core.agreement import changed, rank_correlation, separation
from perennial.core.disturbances import columns_that_differ, disturbed, not_yet_valid, numbers
from perennial.errors import DataError, LeakError
from perennial.io.corrections import Corrections
from perennial.records import Record, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

DAY = "day"
DAYS = 20
LATER_DAYS = 30  # so many days after a snapshot are shown, or the label's horizon where that is longer
IMPLAUSIBLE = 0.98  # area under the ROC curve, or rank correlation, that hardly any honest feature reaches alone
EXCUSE = "say in features.strong why it is honest"
FEWEST = 10  # labels of each value
Kind = Literal["future rows", "whole table", "label inside", "corrected later", "reference without validity"]
Tables = Mapping[str, pa.Table]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Leak(Record):
    """One feature that knows too much: from which source and columns, and the first day on which it showed.

    `feature` is the entity's name where the leak decides which entities have a snapshot. `source` is None where only
    several sources together leak; `columns` is empty where the rows themselves do, as in a count.
    """

    kind: Kind
    feature: str
    source: str | None
    columns: tuple[str, ...]
    day: date
    detail: str

    def __str__(self) -> str:
        """Return one line for people."""
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        behind = f"{self.source or 'several sources together'}{columns}"
        return f"{self.feature} on {self.day}: {self.kind}, from {behind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Excused(Record):
    """One feature that tells the label alone, and why the spec says that it may (`features.strong`)."""

    feature: str
    told: float
    reason: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.feature} tells the label alone, {self.told:.3f}; features.strong says: {self.reason}"


@dataclass(frozen=True, slots=True)
class LeakReport(Record):
    """What was hunted for, on which days, and what was found; `notes` say what could not be judged."""

    case: str
    seed: int
    days: tuple[date, ...]
    matured_days: int
    corrected_days: int
    features: tuple[str, ...]
    leaks: tuple[Leak, ...]
    notes: tuple[str, ...]
    excused: tuple[Excused, ...] = ()

    def raise_if_any(self) -> None:
        """Raise LeakError with each leak's feature, source and columns."""
        if self.leaks:
            lines = "\n".join(f"  {leak}" for leak in self.leaks)
            raise LeakError(f"{self.case} has {len(self.leaks)} leaks:\n{lines}")


def run(
    case: UseCase, adapters: Adapters, *, days: int | None = DAYS, seed: int = 0, progress: Progress | None = None
) -> LeakReport:
    """Hunt for leaks in a use case's features; nothing is written.

    Args:
        case: whose features.
        adapters: lake and warehouse.
        days: how many days, drawn by `seed`; None for every day that has later rows.
        seed: of the draw.
        progress: called with the step, the days done and the days to do.

    Raises:
        DataError: there are no days that could be looked at.
        SpecError: the SQL does not run.
    """
    hunt = _Hunt(case, adapters)
    chosen = hunt.possible_days()
    if days is not None and days < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, days))  # noqa: S311  a draw, no secret
    for done, day in enumerate(chosen, start=1):
        hunt.search(day)
        if progress is not None:
            progress("days", done, len(chosen))
    hunt.search_labels()
    return LeakReport(
        case=case.name,
        seed=seed,
        days=tuple(chosen),
        matured_days=len(hunt.labelled),
        corrected_days=hunt.corrected_days,
        features=case.features.kept,
        leaks=tuple(hunt.leaks.values()),
        notes=tuple(dict.fromkeys(hunt.notes)),
        excused=tuple(hunt.excused),
    )


@dataclass(slots=True)
class _Hunt:
    """What one hunt knows: the leaks so far, by kind, feature and source, and the snapshots with their labels."""

    case: UseCase
    adapters: Adapters
    leaks: dict[tuple[str, str, str | None], Leak] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    excused: list[Excused] = field(default_factory=list)
    labelled: dict[date, pa.Table] = field(default_factory=dict)
    corrected_days: int = 0
    pins: dict[str, int] = field(init=False)
    last: date = field(init=False)

    def __post_init__(self) -> None:
        """Pin the newest versions."""
        self.pins = self.adapters.warehouse.pins(self.case)

    @property
    def events(self) -> list[Source]:
        """Return the sources with a time."""
        return [source for source in self.case.sources if not source.is_reference]

    def possible_days(self) -> list[date]:
        """Return the days with rows and with later rows, oldest first."""
        held = [set(self.adapters.lake.days(self.case.raw_table(source.name))) for source in self.events]
        days = sorted(day for day in set().union(*held) if day > date(1970, 1, 1))
        if len(days) < 2:
            raise DataError(
                f"The sources of {self.case.name!r} hold {len(days)} days, and a leak shows only where later rows are "
                f"there. Run `perennial ingest {self.case.name} DAY` for some days first."
            )
        ahead = max((source.known_ahead_days for source in self.events), default=0)
        self.last = days[-1] - timedelta(days=ahead)
        return [day for day in days if day < self.last]

    def search(self, day: date) -> None:
        """Look for every kind of leak on one day; labels are looked at together, at the end."""
        tables = self.adapters.warehouse.source_rows(self.case, [day], cut=day, pins=self.pins)
        base = self.features(day, tables)
        if not base.num_rows:
            return
        self._later_rows(day, tables, base)
        self._corrections(day, tables, base)
        for source in self.case.sources:
            if source.is_reference and source.valid_from is None:
                self._reference(day, source, tables, base)
        if day + self.case.horizon <= self.last:
            self.labelled[day] = self._with_label(day, base)

    def features(self, day: date, tables: Tables) -> pa.Table:
        """Return a day's snapshot over given rows, without its day."""
        return self.adapters.warehouse.features_over(self.case, [day], tables).drop_columns([DAY])

    def found(
        self, kind: Kind, feature: str, source: str | None, columns: Sequence[str], *, day: date, why: str
    ) -> None:
        """Keep a leak once, with the first day that shows it."""
        key = (kind, feature, source)
        self.leaks.setdefault(key, Leak(kind, feature, source, tuple(columns), day, why))

    def _later_rows(self, day: date, tables: Tables, base: pa.Table) -> None:
        ahead = timedelta(days=max(LATER_DAYS, self.case.label.horizon_days))
        later = self.adapters.warehouse.source_rows(self.case, [day], cut=min(self.last, day + ahead), pins=self.pins)
        # Of reference tables the day's own snapshot stays: the warehouse never shows a later one.
        whole = {**tables, **{source.name: later[source.name] for source in self.events}}
        differing = changed(base, self.features(day, whole), entity=self.case.entity)
        explained: set[str] = set()
        for source in self.events if differing else ():
            shown = {**tables, source.name: whole[source.name]}
            with_later = self.features(day, shown)
            for feature, entities in changed(base, with_later, entity=self.case.entity).items():
                explained.add(feature)
                self._name_later(day, source, feature, shown, with_later, tables, entities)
        for feature in set(differing) - explained:
            why = "later rows change it, those of one source alone do not"
            self.found("future rows", feature, None, (), day=day, why=why)

    def _name_later(
        self, day: date, source: Source, feature: str, shown: Tables, with_later: pa.Table, tables: Tables,
        entities: Sequence[Any],
    ) -> None:  # fmt: skip
        if any(key[1:] == (feature, source.name) for key in self.leaks):
            return
        columns = self.columns_behind(day, source, shown, with_later, feature=feature, after=day)
        others = self._without_own_rows(day, source, tables, shown, entities[0])
        still = entities[0] in changed(self.features(day, tables), others, entity=self.case.entity).get(feature, [])
        if self.case.entity in source.columns and still:
            why = "rows of other entities after the day change it. Restrict the aggregate to rows up to days.day"
            self.found("whole table", feature, source.name, columns, day=day, why=why)
        else:
            why = "rows after the day change it. Join on rows with a day up to days.day"
            self.found("future rows", feature, source.name, columns, day=day, why=why)

    def _without_own_rows(self, day: date, source: Source, tables: Tables, shown: Tables, entity: Any) -> pa.Table:
        """Return the snapshot with the later rows of all other entities."""
        rows = shown[source.name]
        if self.case.entity not in rows.column_names:
            return self.features(day, tables)
        own = pc.fill_null(pc.equal(rows.column(self.case.entity), entity), fill_value=False)
        kept = rows.filter(pc.invert(pc.and_(own, pc.greater(rows.column(DAY), pa.scalar(day)))))
        return self.features(day, {**shown, source.name: kept})

    def columns_behind(
        self, day: date, source: Source, tables: Tables, base: pa.Table, *, feature: str, after: date | None = None
    ) -> tuple[str, ...]:
        """Return the source's columns that a feature depends on: disturbing them, after a day or all, changes it."""
        rows = tables[source.name]
        kept = {DAY, self.case.entity, *([source.time_column] if source.time_column else [])}
        behind = []
        for name in (name for name in source.columns if name not in kept and name in rows.column_names):
            shown = {**tables, source.name: disturbed(rows, name, after=after)}
            if feature in changed(base, self.features(day, shown), entity=self.case.entity):
                behind.append(name)
        return tuple(behind)

    def _corrections(self, day: date, tables: Tables, base: pa.Table) -> None:
        corrections = Corrections(self.adapters.lake, self.case)
        first = corrections.since(Window.ending(day, days=self.case.features.lookback_days + 1), tables)
        self.corrected_days += bool(first.columns)
        for source, columns in first.columns.items():
            for column in columns:
                before = {**tables, source: corrections.undone(tables[source], source, column, first)}
                why = "the value was corrected after its day was first published, which no score of that day knew"
                for feature in changed(base, self.features(day, before), entity=self.case.entity):
                    self.found("corrected later", feature, source, (column,), day=day, why=why)
        self.notes += first.notes

    def _reference(self, day: date, source: Source, tables: Tables, base: pa.Table) -> None:
        for column, rows in not_yet_valid(source, tables[source.name], day):
            why = f"rows with a later {column} are used. Declare `valid_from: {column}` for {source.name}"
            for feature in changed(base, self.features(day, {**tables, source.name: rows}), entity=self.case.entity):
                self.found("reference without validity", feature, source.name, (column,), day=day, why=why)
        snapshots = self.adapters.lake.days(self.case.raw_table(source.name))
        if not snapshots or day >= snapshots[0]:
            return
        if len(snapshots) == 1:
            self.notes.append(
                f"{source.name}: days before its first snapshot {snapshots[0]} use that one; with one snapshot it is "
                "not known whether the table changes. `valid_from` would say since when a row holds."
            )
            return
        self._changing_reference(day, source, tables, base, newest=snapshots[-1])

    def _changing_reference(self, day: date, source: Source, tables: Tables, base: pa.Table, *, newest: date) -> None:
        other = self.adapters.warehouse.source_rows(self.case, [newest], cut=newest, pins=self.pins)[source.name]
        columns = columns_that_differ(tables[source.name], other, keys=source.keys)
        why = "the day lies before the table's first snapshot, and the table changes: its rows were not known then"
        for feature in changed(base, self.features(day, {**tables, source.name: other}), entity=self.case.entity):
            self.found("reference without validity", feature, source.name, columns, day=day, why=why)

    def _with_label(self, day: date, base: pa.Table) -> pa.Table:
        found = self.adapters.warehouse.labels(self.case, [day], pins=self.pins).drop_columns([DAY])
        how = "left outer" if self.case.label.missing == "zero" else "inner"
        return base.join(found, keys=[self.case.entity], join_type=how)

    def search_labels(self) -> None:
        """Look for features that alone tell the label, over all matured days together."""
        if not self.labelled:
            self.notes.append("no day's labels have matured: whether a feature holds the label is not known")
            return
        rows = pa.concat_tables(self.labelled.values())
        label = numbers(pc.fill_null(rows.column(self.case.label.column), 0))
        if self.case.label.kind == "binary" and min((label == 1).sum(), (label == 0).sum()) < FEWEST:
            self.notes.append(f"fewer than {FEWEST} labels of a kind: whether a feature holds the label is not known")
            return
        for feature in self.case.features.kept:
            told, reason = self._told(rows, label, feature), self.case.features.strong.get(feature)
            if told >= IMPLAUSIBLE and reason is not None:
                self.excused.append(Excused(feature, told, reason))
            elif told >= IMPLAUSIBLE:
                self._name_label(feature, told)
            elif reason is not None:
                self.notes.append(f"{feature}: features.strong excuses it, and it tells no more than {told:.3f}")

    def _told(self, rows: pa.Table, label: Any, feature: str) -> float:
        values = numbers(rows.column(feature), label=label)
        return (separation if self.case.label.kind == "binary" else rank_correlation)(label, values)

    def _name_label(self, feature: str, told: float) -> None:
        """Name the source column without which the feature tells the label no longer."""
        day, rows = max(self.labelled.items(), key=lambda item: item[1].num_rows)
        label = numbers(pc.fill_null(rows.column(self.case.label.column), 0))
        tables = self.adapters.warehouse.source_rows(self.case, [day], cut=day, pins=self.pins)
        measure = "area under its ROC curve" if self.case.label.kind == "binary" else "rank correlation"
        why = f"it tells the label alone, {measure} {told:.3f}. Take away what the label is made of, or {EXCUSE}"
        behind: list[tuple[float, str, str]] = []
        for source in self.case.sources:
            for column in self.columns_behind(day, source, tables, self.features(day, tables), feature=feature):
                without = self.features(day, {**tables, source.name: disturbed(tables[source.name], column)})
                left = self._told(
                    rows.select([self.case.entity]).join(without, keys=[self.case.entity]), label, feature
                )
                behind.append((left if left == left else 0.0, source.name, column))  # noqa: PLR0124  NaN is no telling
        best = min(behind, default=(0.0, None, None))
        self.found("label inside", feature, best[1], (best[2],) if best[2] else (), day=day, why=why)
