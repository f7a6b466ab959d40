"""What a table's log says of data files that are gone: how many rows they had, and none of their values.

Delta's writers keep the least and the greatest value of every column of every file in the log, in the commits and
again in the checkpoints. The lake's own does not, but one that compacts a table does, and so did earlier versions.
Where a file is deleted because it held somebody who asked to be forgotten, these may be the very id. A version that
names the file cannot be read any more, so nobody misses its values; all other entries stay as they are.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LOG = "_delta_log"
ROWS = "numRecords"
ACTIONS = ("add", "remove", "cdc")
PARSED = "stats_parsed"
UNFINISHED = ".unfinished-"  # Delta reads no file of the log whose name begins so
Lost = Callable[[str], bool]


def clean(folder: Path, *, abandoned_before: datetime) -> int:
    """Take the values of lost data files out of a table's log; return how many of its files were written again.

    Each file is replaced whole, and keeps its time. Killed in between and run again, it does what is left. Data files
    that a killed writer began and never named are deleted too: what they hold is in no version.

    Args:
        folder: of the table.
        abandoned_before: what was last written to before this moment has no writer any more.
    """
    log = folder / LOG
    begun = [*log.rglob(f"{UNFINISHED}*"), *folder.rglob("*.parquet#*")]
    for left in begun:
        if left.stat().st_mtime < abandoned_before.timestamp():
            left.unlink(missing_ok=True)

    @cache
    def lost(path: str) -> bool:
        return not (folder / unquote(path)).exists()

    commits = sum(_commit_rewritten(path, lost) for path in sorted(log.rglob("*.json")))
    return commits + sum(_checkpoint_rewritten(path, lost) for path in sorted(log.rglob("*.parquet")))


def _commit_rewritten(path: Path, lost: Lost) -> bool:
    """Write a commit again where it holds values of lost files; tell whether it was."""
    before = path.read_text("utf-8").splitlines()
    after = [_line(line, lost) for line in before]
    if after == before:
        return False
    _replace(path, "".join(f"{line}\n" for line in after).encode())
    return True


def _line(line: str, lost: Lost) -> str:
    """Return a line of a commit, as it was unless it holds values of a lost file."""
    found = json.loads(line) if line.strip() else {}
    for action in ACTIONS:
        entry = found.get(action) or {}
        stats = entry.get("stats")
        if stats is not None and stats != _rows_alone(stats) and lost(entry["path"]):
            return json.dumps({**found, action: {**entry, "stats": _rows_alone(stats)}})
    return line


def _rows_alone(stats: str | None) -> str | None:
    """Return statistics without any value of a column.

    >>> _rows_alone('{"numRecords":2,"minValues":{"id":7},"nullCount":{"id":0}}')
    '{"numRecords": 2}'
    """
    return None if stats is None else json.dumps({ROWS: json.loads(stats).get(ROWS)})


def _checkpoint_rewritten(path: Path, lost: Lost) -> bool:
    """Write a checkpoint again where it holds values of lost files; tell whether it was."""
    table = pq.read_table(path, partitioning=None)
    changed = False
    for action in ACTIONS:
        if action not in table.column_names:
            continue
        entries = table.column(action).combine_chunks()
        mended = _entries(entries, lost)
        if not mended.equals(entries):
            position = table.schema.get_field_index(action)
            table = table.set_column(position, table.schema.field(position), mended)
            changed = True
    if changed:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        _replace(path, buffer.getvalue().to_pybytes())
    return changed


def _entries(entries: pa.StructArray, lost: Lost) -> pa.StructArray:
    """Return a checkpoint's entries of one action without the values of lost files."""
    names = [field.name for field in entries.type]
    columns: dict[str, Any] = {name: entries.field(name) for name in names}
    gone = pa.array([path is not None and lost(path) for path in columns["path"].to_pylist()], pa.bool_())
    if "stats" in columns:
        stats = columns["stats"]
        alone = [_rows_alone(text) if out else text for out, text in zip(gone, stats.to_pylist(), strict=True)]
        columns["stats"] = pa.array(alone, stats.type)
    if PARSED in columns:
        parsed = columns[PARSED]
        columns[PARSED] = pc.if_else(gone, pa.nulls(len(parsed), parsed.type), parsed)
    return pa.StructArray.from_arrays(
        [columns[name] for name in names], fields=list(entries.type), mask=entries.is_null()
    )


def _replace(path: Path, content: bytes) -> None:
    """Replace a file of the log whole and for good; its time stays, which Delta takes for that of the commit."""
    before = path.stat()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=UNFINISHED, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.utime(file.name, ns=(before.st_atime_ns, before.st_mtime_ns))
    Path(file.name).chmod(before.st_mode)
    Path(file.name).replace(path)
