"""The data files of a table: a day is one Parquet file, whole before the table's log names it.

The rows lie in the file in the order in which they were given. What no log names is in no version: a writer that is
killed leaves at most such a file, which a `forget` takes along.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.io.partitions import DAY

UNFINISHED = "#"  # behind the name of a file that is still being written
AT_ONCE = 2  # days that are written beside each other: packing numbers takes longer than writing them


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of one day.

    Attributes:
        day: the partition.
        path: relative to the table's folder.
        rows: how many it holds.
        bytes: its size.
        modified: when it was finished, in milliseconds since 1970.
    """

    day: date
    path: str
    rows: int
    bytes: int
    modified: int


def write(folder: Path, days: dict[date, pa.Table]) -> list[DataFile]:
    """Write the rows of each day that has any to a file of its own; all or none.

    Args:
        folder: of the table.
        days: each day's rows, with their day as a column, which the folder's name says instead.

    Raises:
        OSError, pa.ArrowException: a file could not be written; none is left.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        writing = [pool.submit(_write_day, folder, day, rows) for day, rows in days.items() if rows.num_rows]
    failed = [error for error in (each.exception() for each in writing) if error is not None]
    if failed:
        remove(folder, [each.result() for each in writing if each.exception() is None])
        raise failed[0]
    return [each.result() for each in writing]


def size(rows: pa.Table) -> int:
    """Return how many bytes a file of a day's rows takes; nothing is written."""
    sink = pa.BufferOutputStream()
    _packed(rows, sink)
    return int(sink.getvalue().size)


def remove(folder: Path, files: list[DataFile]) -> None:
    """Delete files that no log names."""
    for file in files:
        (folder / file.path).unlink(missing_ok=True)


def _write_day(folder: Path, day: date, rows: pa.Table) -> DataFile:
    place = Path(f"{DAY}={day.isoformat()}") / f"part-{uuid4()}.parquet"
    whole, begun = folder / place, folder / f"{place}{UNFINISHED}"
    begun.parent.mkdir(exist_ok=True)
    try:
        _packed(rows, begun)
        begun.rename(whole)
    finally:
        begun.unlink(missing_ok=True)
    state = whole.stat()
    return DataFile(day, place.as_posix(), rows.num_rows, state.st_size, state.st_mtime_ns // 1_000_000)


def _packed(rows: pa.Table, sink: Path | pa.NativeFile) -> None:
    content = _as_tight_as_it_is(rows.drop_columns([DAY]))
    pq.write_table(content, sink, compression="lz4", **_encodings(content.schema))


def _as_tight_as_it_is(rows: pa.Table) -> pa.Table:
    """Return rows of which each column without a null is declared so: nothing is then kept about what is null."""
    fields = [field.with_nullable(rows.column(at).null_count > 0) for at, field in enumerate(rows.schema)]
    return pa.table(rows.columns, schema=pa.schema(fields))


def _encodings(schema: pa.Schema) -> dict[str, object]:
    """Return encodings that are made faster than a dictionary and take less room: most columns here are numbers.

    Of long numbers, mostly ids and times, the differences are kept; of others, bytes of one rank together. Nobody looks
    for these by their least and greatest value, so those are not kept.
    """
    encodings = {}
    for field in schema:
        if pa.types.is_int64(field.type) or pa.types.is_timestamp(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
    others = [field.name for field in schema if field.name not in encodings]
    sought = [name for name, encoding in encodings.items() if encoding == "DELTA_BINARY_PACKED"]
    return {"column_encoding": encodings, "use_dictionary": others, "write_statistics": [*sought, *others]}
