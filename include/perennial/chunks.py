"""One part of a backfill, done by the stage that it belongs to; Airflow's tasks and the command line both run this.

Nothing in here mails, promotes or asks for a retraining: a backfill changes data and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING

from perennial.changes import BackfillPlan, Chunk, ChunkRecord
from perennial.spec import UseCase
from perennial.stages import backfill, features, ingest, score

if TYPE_CHECKING:
    from perennial.adapters import Adapters

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)


def run(
    case: UseCase, plan: BackfillPlan, chunk: Chunk, adapters: Adapters, *, run: str, progress: Progress | None = None
) -> ChunkRecord:
    """Do what is still to do of a part, and write down that it is done.

    Raises:
        PerennialError: as the part's stage does; the days that were published before stay, and the next try goes on
            behind them.
    """
    days = backfill.pending(case, plan, chunk, adapters)
    before = adapters.plans.finished(case.name, plan.id, chunk)
    if before is not None:
        log.info("%s of plan %s was done before", chunk.id, plan.id)
        return before
    begun = perf_counter()
    changed, rows = _build(case, chunk, days, adapters, run, progress) if days else (0, 0)
    record = ChunkRecord(
        id=chunk.id,
        product=chunk.product,
        source=chunk.source,
        days=len(days),
        changed=changed,
        rows=rows,
        seconds=round(perf_counter() - begun, 3),
        bytes=_bytes(case, chunk, days, adapters),
    )
    backfill.finish(case, plan, chunk, adapters, record)
    return record


def _build(
    case: UseCase,
    chunk: Chunk,
    days: Sequence[date],
    adapters: Adapters,
    run: str,
    progress: Progress | None,
) -> tuple[int, int]:
    """Return how many days changed and how many rows they hold."""
    if chunk.product == "raw":
        records = ingest.run_days(case, str(chunk.source), days, adapters, run=run, progress=progress)
        return sum(record.changed for record in records), sum(record.rows for record in records)
    if chunk.product == "features":
        built = features.run_days(case, days, adapters, run=run, progress=progress)
        return sum(record.changed for record in built), sum(record.rows for record in built)
    scored = score.run_days(case, days, adapters, run=run, progress=progress)
    return sum(record.changed for record in scored), sum(record.rows for record in scored)


def _bytes(case: UseCase, chunk: Chunk, days: Sequence[date], adapters: Adapters) -> int:
    tables = {"features": case.features_table, "predictions": case.predictions_table}
    table = case.raw_table(str(chunk.source)) if chunk.product == "raw" else tables[chunk.product]
    held = adapters.lake.held(table)
    return sum(held[day].bytes for day in days if day in held)
