"""The lake: Delta tables partitioned by `day`; with `commits`, the sole importer of deltalake.

A day is written whole: first its file, then one commit that replaces what was there, for several days at once or for
one. A day without rows is known as written, since the commit names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pad
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow.dataset import FileSystemDataset
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from perennial.errors import LakeError
from perennial.io import datafiles
from perennial.io.commits import Written, replace_days, revisions, written
from perennial.io.partitions import DAY, as_stored, by_day, same_rows, schema_of, span, with_day
from perennial.records import Commit, Window

__all__ = ["DAY", "GONE", "Held", "Lake", "Written", "reading"]

DayFilter = tuple[str, str, str | list[str]]
GONE = "gone"  # stands where the digest of a file would
WRITE_ATTEMPTS = 12  # each attempt reads the newest version, so the last of many writers still ends whole
# Older versions stay readable for as long as a manifest may name them; `perennial forget` takes out what must go.
# A checkpoint every few commits: to open a table costs a millisecond for three commits since the last one.
KEPT = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "20",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What a day's partition holds."""

    rows: int
    bytes: int


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
        return self.write_days(table, {day: rows}, metadata=metadata)[0]

    def write_days(
        self, table: str, rows: Mapping[date, pa.Table], *, metadata: Mapping[str, str], unlike: Sequence[str] = ()
    ) -> tuple[Commit, ...]:
        """Replace several days' partitions in one commit; days that hold the same rows already are left alone.

        Args:
            table: name of the table.
            rows: the whole content of each day.
            metadata: kept with the commit.
            unlike: columns in which rows may differ and still count as the same.

        Returns:
            One commit a day, oldest first; all changed ones have the same version.

        Raises:
            LakeError: nothing was written; what was there before is still there.
        """
        return self.update_days(table, sorted(rows), lambda _stored: rows, metadata=metadata, unlike=unlike)

    def update_days(
        self,
        table: str,
        days: Sequence[date],
        change: Callable[[Mapping[date, pa.Table]], Mapping[date, pa.Table]],
        *,
        metadata: Mapping[str, str],
        unlike: Sequence[str] = (),
    ) -> tuple[Commit, ...]:
        """Read days, let `change` say what they shall hold, and write that in one commit.

        Where another writer changed one of the days in between, both steps are done again on what it left, so that
        no row is lost and none comes twice.

        Args:
            table: name of the table.
            days: the partitions to read; `change` may answer with fewer or other ones.
            change: from the stored rows of each of `days` that was written before, to the new rows by day.
            metadata: kept with the commit.
            unlike: columns in which rows may differ and still count as the same.

        Raises:
            LakeError: nothing was written; what was there before is still there.
        """
        with _translated(table, days):
            return self._update(table, days, change, dict(metadata), tuple(unlike))

    @retry(
        retry=retry_if_exception_type(CommitFailedError),
        stop=stop_after_attempt(WRITE_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    def _update(
        self,
        table: str,
        days: Sequence[date],
        change: Callable[[Mapping[date, pa.Table]], Mapping[date, pa.Table]],
        metadata: dict[str, str],
        unlike: tuple[str, ...],
    ) -> tuple[Commit, ...]:
        delta = self._open(table)
        known = revisions(delta, days)
        stored = self._partitions(delta, [day for day in days if known[day]])
        wanted = {day: with_day(rows, day) for day, rows in sorted(change(stored).items())}
        others = [day for day in wanted if day not in known]
        before = known | (revisions(delta, others) if others else {})
        changed = {
            day: rows
            for day, rows in wanted.items()
            if not before[day] or not same_rows(self._content(delta, stored, day), rows, unlike)
        }
        version = 0 if delta is None else delta.version()
        if changed:
            schema = schema_of(None if delta is None else pa.schema(delta.schema().to_arrow()), changed.values())
            if delta is None:
                delta = self._create(table, schema)
                if delta.version():  # another process was faster and has written: look again
                    return self._update(table, days, change, metadata, unlike)
            version = self._replace(delta, table, changed, schema, before, metadata)
        return tuple(Commit(table, day, rows.num_rows, version, changed=day in changed) for day, rows in wanted.items())

    def revisions(self, table: str, days: Sequence[date], *, version: int | None = None) -> dict[date, int]:
        """Return how often the content of each of `days` was written or changed; 0 where it never was."""
        return revisions(self._open(table, version=version), days)

    def written(self, table: str) -> dict[date, Written]:
        """Return when each day was written, first and last; one that was never written is not named."""
        return written(self._open(table))

    def held(self, table: str, *, version: int | None = None) -> dict[date, Held]:
        """Return rows and bytes of each day that holds rows, from the table's log alone."""
        delta = self._open(table, version=version)
        found: dict[date, Held] = {}
        if delta is None:
            return found
        actions = pa.table(delta.get_add_actions(flatten=True)).select(["partition.day", "num_records", "size_bytes"])
        for row in actions.to_pylist():
            day = date.fromisoformat(str(row["partition.day"]))
            known = found.get(day, Held(0, 0))
            found[day] = Held(known.rows + int(row["num_records"] or 0), known.bytes + int(row["size_bytes"]))
        return found

    def days_with(self, table: str, condition: pc.Expression) -> tuple[date, ...]:
        """Return the days of the newest version in which a row meets a condition."""
        rows = self.dataset(table).to_table(filter=condition, columns=[DAY])
        return tuple(sorted(rows.column(DAY).unique().to_pylist()))

    def files_of(self, table: str, version: int | None = None) -> frozenset[str]:
        """Return the data files of a version, relative to the table's folder."""
        delta = self._open(table, version=version)
        return frozenset() if delta is None else frozenset(unquote(path) for path in _paths(delta))

    def files_with(self, table: str, condition: pc.Expression) -> dict[str, int]:
        """Return the data files of all versions in which rows meet a condition, and how many rows do."""
        folder = self.root / table
        schema = self.dataset(table).schema
        found = {}
        for path in sorted(folder.rglob(f"{DAY}=*/*.parquet")):
            count = pad.dataset(path, schema=schema).count_rows(filter=condition)
            if count:
                found[str(path.relative_to(folder))] = count
        return found

    def delete_files(self, table: str, files: Iterable[str]) -> frozenset[str]:
        """Delete data files that the newest version does not need; return those that it does need and that stay."""
        needed, asked = self.files_of(table), frozenset(files)
        for path in asked - needed:
            (self.root / table / path).unlink(missing_ok=True)
        return asked & needed

    def digests(self, table: str, window: Window, *, version: int) -> dict[str, str]:
        """Return the SHA-256 of each data file of a window at a version, by its path; GONE where it is not there.

        Raises:
            LakeError: there is no such table or version.
        """
        days: list[DayFilter] = [(DAY, ">=", str(window.start)), (DAY, "<", str(window.end))]
        found = self.dataset(table, version=version, only=days).files
        return {unquote(path): _digest(self.root / table / unquote(path)) for path in found}

    def version_at(self, table: str, at: datetime) -> int | None:
        """Return the version that was the newest at a moment; None where the table did not exist then."""
        delta = self._open(table)
        if delta is None:
            return None
        stamps = [(int(commit["version"]), int(commit["timestamp"])) for commit in delta.history()]
        return max((version for version, stamp in stamps if stamp <= at.timestamp() * 1000), default=None)

    def version(self, table: str) -> int | None:
        """Return the newest version, None where the table does not exist."""
        delta = self._open(table)
        return None if delta is None else delta.version()

    def has_day(self, table: str, day: date) -> bool:
        """Tell whether a day was written, with rows or without."""
        return not self.missing_days(table, [day])

    def missing_days(self, table: str, days: Sequence[date]) -> tuple[date, ...]:
        """Return those of `days` that were never written, in the given order."""
        written = revisions(self._open(table), days)
        return tuple(day for day in days if not written[day])

    def holds(self, table: str, day: date, rows: pa.Table, *, unlike: Sequence[str] = ()) -> bool:
        """Tell whether a day's partition holds exactly `rows`, in any order, but for the columns `unlike`."""
        delta = self._open(table)
        return delta is not None and same_rows(self._partitions(delta, [day])[day], with_day(rows, day), unlike)

    def days(self, table: str, *, version: int | None = None) -> tuple[date, ...]:
        """Return the days that hold rows, oldest first."""
        delta = self._open(table, version=version)
        if delta is None:
            return ()
        return tuple(sorted(date.fromisoformat(part[DAY]) for part in delta.partitions()))

    def snapshot_day(self, table: str, day: date, *, version: int | None = None) -> date:
        """Return the day of a reference table's snapshot that `day` sees: the newest not later, else the first.

        Raises:
            LakeError: the table holds no snapshot.
        """
        days = self.days(table, version=version)
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
        days: list[DayFilter] = [(DAY, ">=", str(window.start)), (DAY, "<", str(window.end))]
        dataset = self.dataset(table, version=version, only=days)
        keep = (pc.field(DAY) >= window.start) & (pc.field(DAY) < window.end)
        return dataset.to_table(filter=keep, columns=None if columns is None else list(columns))

    def read_or_empty(self, table: str, window: Window, *, columns: Sequence[str]) -> pa.Table:
        """Return the rows of a window; none where there is no such table yet."""
        if self._open(table) is None:
            return pa.table({name: pa.array([], pa.null()) for name in columns})
        return self.read(table, window, columns=columns)

    def dataset(
        self, table: str, *, version: int | None = None, only: Sequence[DayFilter] | None = None
    ) -> FileSystemDataset:
        """Return a table at a version, or `only` some of its days: rows by day, and within a day as written."""
        try:
            return by_day(self._files(DeltaTable(self._uri(table), version=version), only))
        except TableNotFoundError as error:
            raise LakeError(f"There is no table {table!r} in the lake. Run the stage that writes it first.") from error
        except DeltaError as error:
            raise LakeError(f"Table {table!r} cannot be read at version {version}: {error}") from error

    def commits(self, table: str, *, limit: int = 20) -> list[dict[str, object]]:
        """Return the newest commits with their metadata, newest first; none where there is no table."""
        delta = self._open(table)
        return [] if delta is None else delta.history(limit)

    def _files(self, delta: DeltaTable, only: Sequence[DayFilter] | None) -> FileSystemDataset:
        # Arrow's own file system reads without Python: deltalake's needs the interpreter's lock in Arrow's threads,
        # and one read of some hundred hung for good.
        folder = unquote(urlparse(delta.table_uri).path)
        files = SubTreeFileSystem(folder, LocalFileSystem())
        # Files that are left out here cost nothing; the filter of a scan would first make an object of each.
        return delta.to_pyarrow_dataset(filesystem=files, file_pruning_predicate=None if only is None else list(only))

    def _partitions(self, delta: DeltaTable | None, days: Sequence[date]) -> dict[date, pa.Table]:
        """Return the rows of each day; one read for all of them."""
        if delta is None or not days:
            return {}
        named: list[DayFilter] = [(DAY, "in", [str(day) for day in days])]
        rows = self._files(delta, named).to_table(filter=pc.field(DAY).isin(pa.array(days, pa.date32())))
        if len(days) == 1:
            return {days[0]: rows}
        return {day: rows.filter(pc.equal(rows.column(DAY), pa.scalar(day, pa.date32()))) for day in days}

    def _content(self, delta: DeltaTable | None, stored: Mapping[date, pa.Table], day: date) -> pa.Table:
        """Return what a day holds, read now where `change` named a day that it was not shown."""
        return stored[day] if day in stored else self._partitions(delta, [day])[day]

    def _uri(self, table: str) -> str:
        return str(self.root / table)

    def _open(self, table: str, *, version: int | None = None) -> DeltaTable | None:
        try:
            if not (self.root / table / "_delta_log").is_dir():
                return None
            return DeltaTable(self._uri(table), version=version)
        except TableNotFoundError:
            return None  # another process has made the folder and not yet the first commit
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"Table {table!r} cannot be opened: {error}. Check the lake's disk and its rights."
            ) from error

    def _replace(
        self,
        delta: DeltaTable,
        table: str,
        rows: Mapping[date, pa.Table],
        schema: pa.Schema,
        before: Mapping[date, int],
        metadata: dict[str, str],
    ) -> int:
        """Make `rows` all that their days hold, in one commit; return its version."""
        folder = self.root / table
        files = datafiles.write(folder, {day: as_stored(each, schema) for day, each in rows.items()})
        try:
            return replace_days(delta, {day: before[day] + 1 for day in rows}, files, schema, metadata)
        except CommitFailedError:
            # Of no other error is it sure that the log does not name them.
            datafiles.remove(folder, files)
            raise

    def _create(self, table: str, schema: pa.Schema) -> DeltaTable:
        (self.root / table).mkdir(parents=True, exist_ok=True)
        DeltaTable.create(self._uri(table), schema=schema, partition_by=[DAY], mode="ignore", configuration=KEPT)
        return DeltaTable(self._uri(table))


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return GONE


def _paths(delta: DeltaTable) -> list[str]:
    return [str(path) for path in pa.table(delta.get_add_actions(flatten=True)).column("path").to_pylist()]


@contextmanager
def reading(table: str) -> Iterator[None]:
    """Turn whatever keeps a table from being read into a LakeError."""
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            f"Table {table!r} of the lake cannot be read: {str(error).splitlines()[0][:300]} See that its folder and "
            "files are there and may be read."
        ) from error


@contextmanager
def _translated(table: str, days: Sequence[date]) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            f"Day {span(days)} of table {table!r} was not written: {error} What was there before is still there; "
            "mend the cause (disk space, rights, another writer) and run it again."
        ) from error
