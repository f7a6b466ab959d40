"""Profile: what every source and the features hold, and how it changes; a page for people and the same as data."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from perennial.errors import DataError
from perennial.io.profiles import Asked
from perennial.spec import UseCase
from perennial.stages import profiling
from perennial.stages.profiling import ProfileRecord, Progress, Span

if TYPE_CHECKING:
    from perennial.adapters import Adapters

DAYS = 90
LABEL_DAYS = 20  # of the matured days, spread over the span


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
        LakeError: a table cannot be read.
    """
    last = last or _newest(case, adapters)
    span = Span(first or last - timedelta(days=DAYS - 1), last)
    asked = _asked(case, adapters, span, _labels(case, adapters, span.first, last))
    if not asked:
        raise DataError(
            f"{case.name} has no rows from {span.first} to {last}. Run `perennial ingest {case.name} {last}`."
        )
    path = f"profile/{case.name}/{span.first}_{last}"
    made = profiling.profile(case, asked, path=path, first=span.first, last=last, progress=progress)
    made.keep(adapters.settings.pages_root)
    return made.record


def _asked(case: UseCase, adapters: Adapters, span: Span, labels: pa.Table | None) -> list[Asked]:
    """Return each source and the features, with the files of the span."""
    asked = list(profiling.sources_in(case, adapters, span, labels))
    files = profiling.files_in(adapters, case.features_table, span)
    if files:
        features = Asked(profiling.FEATURES, files, case.features.columns)
        asked.append(profiling.with_labels(features, case, labels))
    return asked


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
