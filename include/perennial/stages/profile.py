"""Profile: what every source and the features hold, and how it changes; a page for people and the same as data."""

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
from perennial.errors import DataError
from perennial.io.profilepage import written
from perennial.io.profiles import Asked, TableProfile, profiled
from perennial.io.rows import PLACE
from perennial.records import Record
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

DAY = "day"
DAYS = 90
LABEL_DAYS = 20  # of the matured days, spread over the span
Progress = Callable[[str, int, int], None]
Files = Mapping[date, Sequence[Path]]


@dataclass(frozen=True, slots=True)
class ProfileRecord(Record):
    """A profile; `page` and `data` are paths below the pages folder, of the HTML page and of the same as JSON."""

    case: str
    first: date
    last: date
    label_days: int
    tables: tuple[TableProfile, ...]
    page: str
    data: str


def run(
    case: UseCase, adapters: Adapters, *, first: date | None = None, last: date | None = None,
    progress: Progress | None = None,
) -> ProfileRecord:  # fmt: skip
    """Profile every source and the features of a use case; writes the page and its data.

    Args:
        case: whose tables.
        adapters: lake, warehouse and settings.
        first: first day, default 90 days with the last.
        last: last day, default the newest day of the features, or of the sources where there are none.
        progress: called with the step, the tables done and the tables to do.

    Raises:
        DataError: nothing was ingested in this span.
    """
    last = last or _newest(case, adapters)
    first = first or last - timedelta(days=DAYS - 1)
    labels = _labels(case, adapters, first, last)
    wanted = list(_tables(case, adapters, first, last, labels))
    if not wanted:
        raise DataError(f"{case.name} has no rows from {first} to {last}. Run `perennial ingest {case.name} {last}`.")
    made = []
    for done, asked in enumerate(wanted, start=1):
        made.append(profiled(asked))
        if progress is not None:
            progress("tables", done, len(wanted))
    path = f"profile/{case.name}/{first}_{last}"
    record = ProfileRecord(
        case=case.name,
        first=first,
        last=last,
        label_days=len(labels.column(DAY).unique()) if labels is not None else 0,
        tables=tuple(made),
        page=f"{path}.html",
        data=f"{path}.json",
    )
    root = adapters.settings.pages_root
    written(root / record.page, title=case.title, label=case.label.column, record=record.to_json())
    (root / record.data).write_text(json.dumps(record.to_json()), "utf-8")
    return record


def _newest(case: UseCase, adapters: Adapters) -> date:
    tables = [case.features_table, *(case.raw_table(source.name) for source in case.sources if not source.is_reference)]
    days = next((found for table in tables if (found := adapters.lake.days(table))), None)
    if not days:
        raise DataError(f"{case.name} has no rows yet. Run `perennial ingest {case.name} DAY` first.")
    return days[-1]


def _labels(case: UseCase, adapters: Adapters, first: date, last: date) -> pa.Table | None:
    """Return the labels of some matured days of the span, None where no day has matured."""
    events = [source for source in case.sources if not source.is_reference]
    held = [there[-1] for source in events if (there := adapters.lake.days(case.raw_table(source.name)))]
    newest = min(max(held, default=first) - case.horizon, last)
    days = [first + timedelta(days=offset) for offset in range((newest - first).days + 1)]
    if not days:
        return None
    count = min(LABEL_DAYS, len(days))
    chosen = sorted({days[round(at * (len(days) - 1) / max(count - 1, 1))] for at in range(count)})
    pins = adapters.warehouse.pins(case)
    return pa.concat_tables([adapters.warehouse.labels(case, [day], pins=pins) for day in chosen])


def _tables(case: UseCase, adapters: Adapters, first: date, last: date, labels: pa.Table | None) -> Iterator[Asked]:
    """Yield each source and the features, with the files of the span; a reference table's newest snapshot."""
    for source in case.sources:
        files = _source_files(case, source, adapters, first, last)
        if files:
            condition = f"coalesce({PLACE}, 'published') = 'published'"
            asked = Asked(source.name, files, tuple(source.columns), condition if _has_place(files) else "true")
            related = case.entity in source.columns and not source.is_reference
            yield _with_labels(asked, case, labels) if related else asked
    files = _files(adapters, case.features_table, first, last)
    if files:
        yield _with_labels(Asked("features", files, case.features.columns), case, labels)


def _with_labels(asked: Asked, case: UseCase, labels: pa.Table | None) -> Asked:
    binary, zero = case.label.kind == "binary", case.label.missing == "zero"
    return replace(asked, entity=case.entity, labels=labels, label=case.label.column, binary=binary, zero=zero)


def _source_files(case: UseCase, source: Source, adapters: Adapters, first: date, last: date) -> Files:
    table = case.raw_table(source.name)
    if not adapters.lake.days(table):
        return {}
    if source.is_reference:
        first = last = adapters.lake.snapshot_day(table, last)
    return _files(adapters, table, first, last)


def _has_place(files: Files) -> bool:
    """Tell whether rows say where they are; the newest file knows every column."""
    return PLACE in pq.read_schema(files[max(files)][-1]).names


def _files(adapters: Adapters, table: str, first: date, last: date) -> Files:
    """Return the Parquet files of the newest version, by day."""
    found: dict[date, list[Path]] = {}
    for name in sorted(adapters.lake.files_of(table)):
        day = date.fromisoformat(name.split("/")[0].removeprefix(f"{DAY}="))
        if first <= day <= last:
            found.setdefault(day, []).append(adapters.lake.root / table / name)
    return found
