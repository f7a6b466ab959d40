"""Forget: take one entity out of the lake for good, from every version of every table, and say what that breaks.

The newest versions are written again without the entity, then every data file that held it is deleted, and what the
log says of such files is taken out of the log. Each step looks at what is there, so that a request that was killed is
simply made again. A model whose training read such a file cannot be reproduced any more; its manifest is named. The
entity's salted hash is kept, so that a source which still holds it does not bring it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from perennial.changes import ForgetRecord
from perennial.errors import DataError, LakeError
from perennial.io import deltalog
from perennial.io.forgotten import Forgotten
from perennial.io.ledger import Entry
from perennial.io.rows import PAYLOAD
from perennial.spec import UseCase
from perennial.stages import blueprint

if TYPE_CHECKING:
    from perennial.adapters import Adapters

ABANDONED = timedelta(hours=1)  # a writer takes seconds; what it has not finished by then was left by a kill
ATTEMPTS = 5  # a writer beside us may have read the entity before it was listed as forgotten


def run(
    case: UseCase, entity: str, adapters: Adapters, *, who: str, reason: str, now: datetime, dry_run: bool = False
) -> ForgetRecord:
    """Remove an entity from raw rows, quarantine, snapshots, predictions and shadow scores, in all their versions.

    Args:
        case: whose lake.
        entity: the id, as text; a hashed personal column is asked for by its hash.
        adapters: lake, registry and ledger.
        who: asked for it; kept in the ledger.
        reason: such as the number of the request.
        now: when.
        dry_run: only say what would be removed and what it would break.

    Raises:
        DataError: nothing holds the entity, and it was not forgotten before.
        LakeError: a table could not be written; the entity stays listed, run it again.
    """
    tables = _tables(case, adapters)
    holding = {table: adapters.lake.files_with(table, _matches(case, table, entity, adapters)) for table in tables}
    rows = {table: sum(found.values()) for table, found in holding.items()}
    broken = _broken_models(case, adapters, {table: frozenset(found) for table, found in holding.items()})
    forgotten = Forgotten.of(case, adapters.lake)
    if not any(rows.values()) and forgotten.hashed(entity) not in forgotten.hashes:
        raise DataError(f"Nothing of {case.name!r} holds {case.entity} {entity!r}. Check the id and its spelling.")
    if not dry_run:
        forgotten.add(case, adapters.lake, entity)
        for table in tables:
            _erase(case, table, entity, adapters)
            deltalog.clean(adapters.lake.root / table, abandoned_before=now - ABANDONED)
        _enter(case, adapters, forgotten.hashed(entity), broken, who=who, reason=reason, now=now)
    return ForgetRecord(
        case=case.name,
        entity=entity,
        rows=rows,
        files=sum(len(found) for found in holding.values()),
        broken_models=broken,
        dry_run=dry_run,
    )


def _tables(case: UseCase, adapters: Adapters) -> list[str]:
    """Return the tables that may hold the entity and are there."""
    raw = [case.raw_table(source.name) for source in case.sources if case.entity in source.columns]
    derived = [case.features_table, case.predictions_table, case.shadow_table]
    return [table for table in (*raw, *derived) if adapters.lake.version(table) is not None]


def _matches(case: UseCase, table: str, entity: str, adapters: Adapters) -> pc.Expression:
    """Return the condition that a row is the entity's, or a record without types that names its id as a word."""
    own = pc.coalesce(pc.field(case.entity).cast(pa.string()) == entity, pa.scalar(value=False))
    if PAYLOAD not in adapters.lake.dataset(table).schema.names:
        return own
    word = rf"(^|[^0-9A-Za-z]){re.escape(entity)}([^0-9A-Za-z]|$)"
    return own | pc.coalesce(pc.match_substring_regex(pc.field(PAYLOAD), word), pa.scalar(value=False))


def _erase(case: UseCase, table: str, entity: str, adapters: Adapters) -> None:
    """Write the newest version without the entity, then delete every file that holds it."""
    for _attempt in range(ATTEMPTS):
        days = adapters.lake.days_with(table, _matches(case, table, entity, adapters))

        def without(stored: Mapping[date, pa.Table]) -> dict[date, pa.Table]:
            return {day: rows.filter(~_matches(case, table, entity, adapters)) for day, rows in stored.items()}

        if days:
            adapters.lake.update_days(table, days, without, metadata={"case": case.name, "run": "forget"})
        left = adapters.lake.delete_files(
            table, adapters.lake.files_with(table, _matches(case, table, entity, adapters))
        )
        if not left:
            return
    raise LakeError(
        f"Table {table!r} still holds the entity after {ATTEMPTS} attempts: something writes it again. "
        f"Pause the DAGs of {case.name!r} and run it again."
    )


def _broken_models(case: UseCase, adapters: Adapters, gone: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Return the model versions whose training read a file that goes."""
    broken = []
    for version in adapters.registry.versions(case.name):
        pinned = blueprint.table_versions(adapters.registry.manifest(case.name, version))
        read = [(table, number) for table, numbers in pinned.items() for number in numbers if table in gone]
        if any(adapters.lake.files_of(table, number) & gone[table] for table, number in read):
            broken.append(version)
    return tuple(broken)


def _enter(
    case: UseCase,
    adapters: Adapters,
    hashed: str,
    broken: tuple[str, ...],
    *,
    who: str,
    reason: str,
    now: datetime,
) -> None:
    told = f"{reason}; entity with the hash {hashed[:16]}; versions that can no longer be reproduced: " + (
        ", ".join(broken) or "none"
    )
    adapters.ledger.add(Entry(case.name, now, "forgot an entity", who=who, reason=told, run="forget"))
