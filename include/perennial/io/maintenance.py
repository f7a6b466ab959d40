"""Vacuum: delete the files of a lake table that no version in use holds, and say what that freed.

A table's newest version, what was replaced a short while ago, and every pinned version keep their files. The log keeps
all its commits, so that what was there, when and by whom can always be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from perennial.changes import FreedRecord
from perennial.errors import LakeError


def vacuum(root: Path, table: str, *, pinned: Iterable[int], keep_days: int, dry_run: bool = False) -> FreedRecord:
    """Delete what no newest and no pinned version of a table holds, and was replaced `keep_days` ago or earlier.

    Args:
        root: of the lake.
        table: such as `raw/conversion/transactions`; it must be there.
        pinned: versions whose files stay.
        keep_days: 0 or more; readers that began on an older version have so long to end.
        dry_run: only say what would go.

    Raises:
        LakeError: a pinned version cannot be read, or a file cannot be deleted; nothing that is pinned has gone.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    kept, folder = sorted(set(pinned)), root / table
    try:
        delta = DeltaTable(str(folder))
        options = {"retention_hours": 24 * keep_days, "enforce_retention_duration": False, "keep_versions": kept}
        # Not `full`: a file that no commit names may belong to a writer that is still at work.
        named = {folder / unquote(name) for name in delta.vacuum(dry_run=True, **options)}
        going = [path for path in named if path.is_file()]  # the log goes on naming what went before
        size = sum(path.stat().st_size for path in going)
        if going and not dry_run:
            delta.vacuum(dry_run=False, **options)
    except (DeltaError, OSError) as error:
        raise LakeError(
            f"Table {table!r} is not vacuumed, with versions {kept or 'none'} pinned: {error}. What is pinned is there."
        ) from error
    return FreedRecord(table=table, pinned=tuple(kept), files=len(going), bytes=size, dry_run=dry_run)
