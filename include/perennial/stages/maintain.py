"""Maintain: free what the lake holds for nobody; what a model needs to be rebuilt stays.

Pinned are the table versions in the manifest of every version that ever was champion, and of the challenger, which has
yet to meet its gates on the rows of its own holdout. Everything else that was replaced long enough ago goes.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from perennial.changes import FreedRecord
from perennial.io import maintenance
from perennial.io.registry import CHALLENGER
from perennial.spec import UseCase
from perennial.stages import blueprint

if TYPE_CHECKING:
    from perennial.adapters import Adapters

KEEP_DAYS = 30
log = logging.getLogger(__name__)


def run(
    case: UseCase, adapters: Adapters, *, keep_days: int = KEEP_DAYS, dry_run: bool = False
) -> tuple[FreedRecord, ...]:
    """Vacuum every table of a use case and return what that freed, one record a table.

    Args:
        case: whose tables.
        adapters: lake, ledger and registry.
        keep_days: what was replaced later than that many days ago stays too.
        dry_run: only say what would go.

    Raises:
        RegistryError: the manifest of a version that pins cannot be read; nothing is deleted then.
        LedgerError: the ledger does not answer, so nobody knows who was champion; nothing is deleted.
        LakeError: a table could not be vacuumed; what is pinned is there.
    """
    pinned = pins(case, adapters)
    tables = [case.raw_table(source.name) for source in case.sources]
    tables += [case.features_table, case.predictions_table, case.shadow_table]
    freed = []
    for table in (name for name in tables if adapters.lake.version(name) is not None):
        record = maintenance.vacuum(
            adapters.lake.root, table, pinned=pinned.get(table, ()), keep_days=keep_days, dry_run=dry_run
        )
        log.info("%s: %s files, %s bytes, versions %s pinned", table, record.files, record.bytes, record.pinned)
        freed.append(record)
    return tuple(freed)


def pins(case: UseCase, adapters: Adapters) -> dict[str, set[int]]:
    """Return the versions of each table that models of this use case need."""
    versions = {str(entry.to_version) for entry in adapters.ledger.reigns(case.name)}
    challenger = adapters.registry.version_of(case.name, CHALLENGER)
    needed: dict[str, set[int]] = defaultdict(set)
    for version in sorted(versions | ({challenger} if challenger else set())):
        for table, numbers in blueprint.table_versions(adapters.registry.manifest(case.name, version)).items():
            needed[table] |= numbers
    return dict(needed)
