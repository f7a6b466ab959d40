"""The lake: Delta tables partitioned by `day`; the sole importer of deltalake.

A day is written whole, in one commit that replaces what was there. That a day was written is kept as an
application transaction `day:<ISO date>` in the table's own log, so that a day without rows is known as
written, and so that two writers of one day conflict instead of mixing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow.dataset import FileSystemDataset
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from perennial.errors import LakeError
from perennial.records import Commit, Window

WRITE_ATTEMPTS = 12  # each attempt reads the newest version, so the last of many writers still ends whole
DAY = "day"


class Lake:
    """Versioned tables below one folder; a table's name is its path there, such as `raw/conversion/products`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write_day(self, table: str, day: date, rows: pa.Table, *, metadata: Mapping[str, str]) -> Commit:
        """Replace one day's partition by `rows` in one commit; the same rows again make no new version.

        Args:
            table: name of the table; it is made with the first write.
            day: the partition; a `day` column is added to `rows`.
            rows: any order; NaN becomes null. Columns the table does not know yet are added to it.
            metadata: kept with the commit: case, run, code version.

        Raises:
            LakeError: the partition could not be written; what was there before is still there.
        """
        rows = _with_day(rows, day)
        with _translated(table, day):
            return self._write(table, day, rows, dict(metadata))

    @retry(
        retry=retry_if_exception_type(CommitFailedError),
        stop=stop_after_attempt(WRITE_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    def _write(self, table: str, day: date, rows: pa.Table, metadata: dict[str, str]) -> Commit:
        delta = self._open_or_create(table, rows.schema)
        written_before = delta.transaction_version(_marker(day))
        if written_before is not None and _same_rows(self._partition(delta, day), rows):
            return Commit(table, day, rows.num_rows, delta.version(), changed=False)
        write_deltalake(
            delta,
            rows,
            mode="overwrite",
            predicate=f"{DAY} = '{day.isoformat()}'",
            schema_mode="merge",
            commit_properties=CommitProperties(
                custom_metadata={**metadata, DAY: day.isoformat(), "rows": str(rows.num_rows)},
                app_transactions=[Transaction(_marker(day), (written_before or 0) + 1)],
            ),
        )
        return Commit(table, day, rows.num_rows, delta.version(), changed=True)

    def version(self, table: str) -> int | None:
        """Return the newest version, None where the table does not exist."""
        delta = self._open(table)
        return None if delta is None else delta.version()

    def has_day(self, table: str, day: date) -> bool:
        """Tell whether a day was written, with rows or without."""
        return not self.missing_days(table, [day])

    def missing_days(self, table: str, days: Sequence[date]) -> tuple[date, ...]:
        """Return those of `days` that were never written, in the given order."""
        delta = self._open(table)
        if delta is None:
            return tuple(days)
        with_rows = {date.fromisoformat(part[DAY]) for part in delta.partitions()}
        return tuple(day for day in days if day not in with_rows and delta.transaction_version(_marker(day)) is None)

    def holds(self, table: str, day: date, rows: pa.Table) -> bool:
        """Tell whether a day's partition holds exactly `rows`, in any order."""
        delta = self._open(table)
        return delta is not None and _same_rows(self._partition(delta, day), _with_day(rows, day))

    def days(self, table: str) -> tuple[date, ...]:
        """Return the days that hold rows, oldest first."""
        delta = self._open(table)
        if delta is None:
            return ()
        return tuple(sorted(date.fromisoformat(part[DAY]) for part in delta.partitions()))

    def snapshot_day(self, table: str, day: date, *, version: int | None = None) -> date:
        """Return the day of a reference table's snapshot that `day` sees: the newest not later, else the first.

        Raises:
            LakeError: the table holds no snapshot.
        """
        delta = self._open(table)
        if delta is not None and version is not None:
            delta.load_as_version(version)
        days = sorted(date.fromisoformat(part[DAY]) for part in delta.partitions()) if delta is not None else []
        if not days:
            raise LakeError(f"Table {table!r} holds no snapshot yet. Run ingest for a day first.")
        return max((known for known in days if known <= day), default=days[0])

    def read(
        self, table: str, window: Window, *, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the rows of a window at a version (the newest by default), in no particular order.

        Raises:
            LakeError: there is no such table or version.
        """
        dataset = self.dataset(table, version=version)
        keep = (pc.field(DAY) >= window.start) & (pc.field(DAY) < window.end)
        return dataset.to_table(filter=keep, columns=None if columns is None else list(columns))

    def read_or_empty(self, table: str, window: Window, *, columns: Sequence[str]) -> pa.Table:
        """Return the rows of a window; none where there is no such table yet."""
        if self._open(table) is None:
            return pa.table({name: pa.array([], pa.null()) for name in columns})
        return self.read(table, window, columns=columns)

    def dataset(self, table: str, *, version: int | None = None) -> FileSystemDataset:
        """Return a table at a version, its rows by day, and within a day as written."""
        try:
            return _by_day(self._files(DeltaTable(self._uri(table), version=version)))
        except TableNotFoundError as error:
            raise LakeError(f"There is no table {table!r} in the lake. Run the stage that writes it first.") from error
        except DeltaError as error:
            raise LakeError(f"Table {table!r} cannot be read at version {version}: {error}") from error

    def commits(self, table: str, *, limit: int = 20) -> list[dict[str, object]]:
        """Return the newest commits with their metadata, newest first; none where there is no table."""
        delta = self._open(table)
        return [] if delta is None else delta.history(limit)

    def _files(self, delta: DeltaTable) -> FileSystemDataset:
        # Arrow's own file system reads without Python: deltalake's needs the interpreter's lock in Arrow's threads,
        # and one read of some hundred hung for good.
        folder = unquote(urlparse(delta.table_uri).path)
        return delta.to_pyarrow_dataset(filesystem=SubTreeFileSystem(folder, LocalFileSystem()))

    def _partition(self, delta: DeltaTable, day: date) -> pa.Table:
        return self._files(delta).to_table(filter=pc.field(DAY) == day)

    def _uri(self, table: str) -> str:
        return str(self.root / table)

    def _open(self, table: str) -> DeltaTable | None:
        if not (self.root / table / "_delta_log").is_dir():
            return None
        try:
            return DeltaTable(self._uri(table))
        except TableNotFoundError:
            return None  # another process has made the folder and not yet the first commit

    def _open_or_create(self, table: str, schema: pa.Schema) -> DeltaTable:
        delta = self._open(table)
        if delta is None:
            (self.root / table).mkdir(parents=True, exist_ok=True)
            DeltaTable.create(self._uri(table), schema=schema, partition_by=[DAY], mode="ignore")
            delta = DeltaTable(self._uri(table))
        return delta


def _by_day(dataset: FileSystemDataset) -> FileSystemDataset:
    """Return the dataset with its files by day: the log names them by age, which depends on what was run when."""
    files = sorted(dataset.get_fragments(), key=lambda fragment: fragment.path)
    if not files:
        return dataset
    return FileSystemDataset(files, dataset.schema, dataset.format, dataset.filesystem)


@contextmanager
def _translated(table: str, day: date) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            f"Day {day} of table {table!r} was not written: {error} What was there before is still there; "
            "mend the cause (disk space, rights, another writer) and run the day again."
        ) from error


def _marker(day: date) -> str:
    return f"{DAY}:{day.isoformat()}"


def _with_day(rows: pa.Table, day: date) -> pa.Table:
    if DAY in rows.column_names:
        rows = rows.drop_columns([DAY])
    for position, field in enumerate(rows.schema):
        if pa.types.is_floating(field.type):
            values = rows.column(position)
            missing = pc.fill_null(pc.is_nan(values), fill_value=False)
            rows = rows.set_column(position, field, pc.if_else(missing, pa.scalar(None, field.type), values))
    return rows.add_column(0, pa.field(DAY, pa.date32()), pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))


def _same_rows(stored: pa.Table, rows: pa.Table) -> bool:
    if stored.num_rows != rows.num_rows or not set(rows.column_names) <= set(stored.column_names):
        return False
    added_later = [name for name in stored.column_names if name not in rows.column_names]
    if any(stored.column(name).null_count < stored.num_rows for name in added_later):
        return False
    return bool(_in_order(stored, rows.schema).equals(_in_order(rows, rows.schema)))


def _in_order(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of `schema`, sorted by all of them: equal for the same rows in any order."""
    order = [(name, "ascending") for name in schema.names]
    return table.select(schema.names).cast(schema).sort_by(order).combine_chunks()
