"""What a profile is made of: the command makes one of the newest tables, a training one of exactly what it read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contracts import Source
from perennial.io.profilepage import page, replaced
from perennial.io.profilerecords import TableProfile
from perennial.io.profiles import Asked, profiled
from perennial.io.rows import PLACE
from perennial.records import Record
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

DAY, FEATURES = "day", "features"
Progress = Callable[[str, int, int], None]
Files = Mapping[date, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class ProfileRecord(Record):
    """A profile; `page` and `data` are paths below the pages folder, of the HTML page and of the same as JSON.

    `version` is the model version whose training read exactly these rows; None where a person asked for the newest.
    """

    case: str
    first: date
    last: date
    label_days: int
    tables: tuple[TableProfile, ...]
    page: str
    data: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is kept: the record, the page, and the record as JSON."""

    record: ProfileRecord
    html: bytes
    json: bytes

    def keep(self, root: Path) -> None:
        """Write page and data below the pages folder, each whole or not at all."""
        replaced(root / self.record.page, self.html)
        replaced(root / self.record.data, self.json)


@dataclass(frozen=True, slots=True)
class Span:
    """Days, both ends included, of tables at pinned versions; without pins at their newest."""

    first: date
    last: date
    pins: Mapping[str, int] | None = None

    def version(self, table: str) -> int | None:
        """Return the version to read; None is the newest."""
        return None if self.pins is None else self.pins.get(table)


def of_training(
    case: UseCase, adapters: Adapters, rows: pa.Table, *, as_of: date, pins: Mapping[str, int], version: str
) -> Profile:
    """Return the profile of what a training read: its labelled rows, and the pinned sources behind them.

    Args:
        case: what was trained.
        adapters: the lake.
        rows: day, entity, features and label of all parts.
        as_of: the day up to which labels were known.
        pins: the versions of the sources.
        version: of the model.

    Raises:
        LakeError: a table cannot be read.
    """
    days = rows.column(DAY).unique().to_pylist()
    span = Span(min(days) - timedelta(days=case.features.lookback_days), as_of, pins)
    known = rows.select([DAY, case.entity, case.label.column])
    shown = (*case.features.columns, case.label.column)
    asked = [*sources_in(case, adapters, span, known), with_labels(Asked(FEATURES, {}, shown, rows=rows), case, known)]
    path = f"profile/{case.name}/version-{version}"
    return profile(case, asked, path=path, first=span.first, last=as_of, version=version)


def profile(
    case: UseCase, asked: Sequence[Asked], *, path: str, first: date, last: date, version: str | None = None,
    progress: Progress | None = None,
) -> Profile:  # fmt: skip
    """Return the profile of some tables.

    Args:
        case: whose tables.
        asked: what to look at.
        path: of page and data below the pages folder, without their endings.
        first: first day.
        last: last day.
        version: the model version whose training read these rows.
        progress: called with the step, the tables done and the tables to do.
    """
    made = []
    for done, table in enumerate(asked, start=1):
        made.append(profiled(table))
        if progress is not None:
            progress("tables", done, len(asked))
    labels = next((table.labels for table in asked if table.labels is not None), None)
    record = ProfileRecord(
        case=case.name,
        first=first,
        last=last,
        label_days=0 if labels is None else len(labels.column(DAY).unique()),
        tables=tuple(made),
        page=f"{path}.html",
        data=f"{path}.json",
        version=version,
    )
    plain = record.to_json()
    html = page(title=case.title, label=case.label.column, record=plain)
    return Profile(record, html.encode(), json.dumps(plain).encode())


def sources_in(case: UseCase, adapters: Adapters, span: Span, labels: pa.Table | None) -> Iterator[Asked]:
    """Yield each source that has rows in the span; a reference table's newest snapshot."""
    for source in case.sources:
        files = _source_files(case, source, adapters, span)
        if files:
            condition = f"coalesce({PLACE}, 'published') = 'published'"
            asked = Asked(
                source.name, files, tuple(source.columns), condition=condition if _has_place(files) else "true",
                keys=frozenset({case.entity}),
            )  # fmt: skip
            related = case.entity in source.columns and not source.is_reference
            yield with_labels(asked, case, labels) if related else asked


def with_labels(asked: Asked, case: UseCase, labels: pa.Table | None) -> Asked:
    """Return what to profile, held against labels."""
    binary, zero = case.label.kind == "binary", case.label.missing == "zero"
    return replace(asked, entity=case.entity, labels=labels, label=case.label.column, binary=binary, zero=zero)


def files_in(adapters: Adapters, table: str, span: Span) -> Files:
    """Return the Parquet files of a span by day."""
    found: dict[date, list[Path]] = {}
    for name in sorted(adapters.lake.files_of(table, span.version(table))):
        day = date.fromisoformat(name.split("/")[0].removeprefix(f"{DAY}="))
        if span.first <= day <= span.last:
            found.setdefault(day, []).append(adapters.lake.root / table / name)
    return found


def _source_files(case: UseCase, source: Source, adapters: Adapters, span: Span) -> Files:
    table = case.raw_table(source.name)
    if not adapters.lake.days(table, version=span.version(table)):
        return {}
    if source.is_reference:
        newest = adapters.lake.snapshot_day(table, span.last, version=span.version(table))
        return files_in(adapters, table, replace(span, first=newest, last=newest))
    return files_in(adapters, table, span)


def _has_place(files: Files) -> bool:
    """Tell whether rows say where they are; the newest file knows every column."""
    return PLACE in pq.read_schema(files[max(files)][-1]).names
