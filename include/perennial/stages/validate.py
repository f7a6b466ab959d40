"""Validate: hold a day's rows against their suite and say what ingest would do; nothing is published."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from perennial.records import ValidationRecord
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters


def run(case: UseCase, day: date, adapters: Adapters) -> tuple[ValidationRecord, ...]:
    """Return what the expectations say about one day of every source; only the result pages are written.

    Raises:
        DataError: a source breaks its contract before any expectation can be asked.
        SpecError: an expectation cannot be used.
    """
    records = []
    for source in case.sources:
        rows = adapters.sources.read_day(case, source, day)
        found = adapters.expectations.check(rows, case.expectations(source.name), name=source.name)
        page = adapters.expectations.keep(found, case=case.name, source=source.name, day=day)
        reasons: dict[str, int] = {}
        for reason in (reason for listed in found.refused.values() for reason in listed):
            reasons[reason] = reasons.get(reason, 0) + 1
        records.append(
            ValidationRecord(
                case=case.name,
                source=source.name,
                day=day,
                rows=rows.num_rows,
                refused=len(found.refused),
                reasons=reasons,
                critical=found.critical,
                warnings=found.warnings,
                page=page,
            )
        )
    return tuple(records)
