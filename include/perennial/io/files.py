"""The files of a source, brought to where they can be read: patterns, URLs, archives, encodings, completeness.

What does not lie on this machine, or not in UTF-8, is copied into a folder that lives as long as the read does.
"""

from __future__ import annotations

import codecs
import gzip
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any

from perennial.contracts import Format, Source
from perennial.errors import DataError, SetupError, SourceError

# Stands where bytes could not be decoded; Unicode promises that no text holds it.
UNDECODABLE = "\ufdd0"
ENDINGS: Mapping[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
PACKED = {".gz", ".zip"}
USER_INFO = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that can be read here, and the address that it came from, without a password."""

    path: Path
    address: str
    format: Format

    def open_text(self) -> IO[str]:
        """Open a CSV or JSON file, unpacked, as the UTF-8 that it is by now."""
        opener: Any = gzip.open if self.path.suffix == ".gz" else open
        opened: IO[str] = opener(self.path, "rt", encoding="utf-8-sig", errors="replace", newline="")
        return opened


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source's files are looked for.

    Attributes:
        data: what `{data}` in a path stands for.
        now: the time against which `complete.min_age_minutes` is held.
    """

    data: Path | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def path_of(source: Source, view: str, day: date, *, data: Path | None = None) -> str:
    """Return the path or URL of a source's file on `day`; it may hold `*`.

    Raises:
        SetupError: the package that holds it is not installed, or `{data}` stands for nothing.
    """
    return _filled(source, source.files[view], day, data)


def _filled(source: Source, pattern: str, day: date, data: Path | None) -> str:
    if "{data}" in pattern and data is None:
        raise SetupError(f"Source {source.name!r} reads below {{data}}, which is not set. Set PERENNIAL_DATA.")
    filled = pattern.format(day=day, data=data)
    if source.package is None:
        return filled
    chain, _, last = filled.rpartition("::")
    absolute = str(_package_folder(source, source.package) / last)
    return f"{chain}::{absolute}" if chain else absolute


def _package_folder(source: Source, package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            f"Source {source.name!r} reads the files of the package {package!r}, which is not installed. "
            "Run `uv sync --extra demo`, or `make demo`, which does."
        )
    return Path(next(iter(spec.submodule_search_locations)))


@contextmanager
def collected(source: Source, day: date, place: Place) -> Iterator[Mapping[str, Sequence[LocalFile]]]:
    """Give each view's files of `day` as they can be read on this machine, by view name; at least one each.

    Raises:
        DataError: a file is not there, not complete yet, or an archive cannot be opened.
        SetupError: a package is missing that holds the files or speaks their URL.
        SourceError: the server behind a URL does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder:
        found: dict[str, list[LocalFile]] = {}
        for view in source.files:
            url = path_of(source, view, day, data=place.data)
            addresses = _listed(source, url, day)
            _check_complete(source, addresses, day, place)
            found[view] = [
                _brought(source, address, Path(folder) / f"{view}-{number}") for number, address in enumerate(addresses)
            ]
        yield found


def masked(address: str) -> str:
    """Return an address without its user and password.

    >>> masked("sftp://bob:secret@host/a.csv")
    'sftp://***@host/a.csv'
    """
    return USER_INFO.sub("://***@", address)


def _listed(source: Source, url: str, day: date) -> list[str]:
    """Return the addresses of the files that a path, a folder or a pattern names, in order."""
    with _told(source, url):
        if not _is_url(url):
            listed = [str(path) for path in _local_files(Path(url))]
        else:
            files, path = _file_system(source, url)
            listed = [files.unstrip_protocol(each) for each in _remote_files(files, path)]
            if "::" in url and listed:
                listed = [url]
    if not listed:
        raise DataError(
            f"Source {source.name!r} has no file {masked(url)} for {day}. Deliver it and run the day again."
        )
    return listed


def _is_url(address: str) -> bool:
    return "://" in address


def _local_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        return [each for each in sorted(path.iterdir()) if each.is_file() and _is_data(each.name)]
    # Resolved from the root on, so that a pattern may stand in a folder's name as well.
    anchor = Path(path.anchor or ".")
    return [each for each in sorted(anchor.glob(str(path.relative_to(anchor)))) if each.is_file()]


def _remote_files(files: Any, path: str) -> list[str]:
    if files.isfile(path):
        return [path]
    listed = files.glob(path) if "*" in path else files.find(path, maxdepth=1)
    return [each for each in sorted(listed) if _is_data(PurePosixPath(each).name)]


def _is_data(name: str) -> bool:
    """Tell whether a file in a folder is one to read: by old custom, those that begin with _ or . are not."""
    return not name.startswith(("_", "."))


def _file_system(source: Source, url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise SetupError(
            f"Source {source.name!r} reads {masked(url)}, and no file system for it is installed: {error}"
        ) from error
    return files, path


@contextmanager
def _told(source: Source, url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"Source {source.name!r} has no file {masked(url)}. Deliver it and run the day again."
        ) from None
    except OSError as error:
        raise SourceError(
            f"Source {source.name!r} cannot reach {masked(url)}: {type(error).__name__}: {masked(str(error))}. "
            "Check the server and its credentials; the next try reads again."
        ) from None


def _check_complete(source: Source, addresses: Sequence[str], day: date, place: Place) -> None:
    complete = source.complete
    if complete is None:
        return
    if complete.marker is not None:
        marker = _filled(source, complete.marker, day, place.data) if "/" in complete.marker else None
        name = complete.marker.format(day=day, data=place.data)
        for address in [marker] if marker else sorted({_beside(address, name) for address in addresses}):
            if not _exists(source, address):
                raise _not_complete(source, day, f"its marker {masked(address)} is not there")
    if complete.min_age_minutes is not None:
        for address in addresses:
            minutes = (place.now - _changed_at(source, address)) / timedelta(minutes=1)
            if minutes < complete.min_age_minutes:
                raise _not_complete(
                    source, day, f"{masked(address)} was changed {minutes:.1f} minutes ago, it has to rest "
                    f"{complete.min_age_minutes}"
                )  # fmt: skip


def _not_complete(source: Source, day: date, why: str) -> DataError:
    return DataError(
        f"Source {source.name!r} has not arrived whole for {day}: {why}. Run the day again when it has; "
        "`complete` in use_case.yaml says when that is."
    )


def _beside(address: str, name: str) -> str:
    return f"{address.rpartition('/')[0]}/{name}"


def _exists(source: Source, address: str) -> bool:
    with _told(source, address):
        if not _is_url(address):
            return Path(address).is_file()
        files, path = _file_system(source, address)
        return bool(files.exists(path))


def _changed_at(source: Source, address: str) -> datetime:
    with _told(source, address):
        if not _is_url(address):
            return datetime.fromtimestamp(Path(address).stat().st_mtime, UTC)
        files, path = _file_system(source, address)
        try:
            changed: datetime = files.modified(path)
        except NotImplementedError as error:
            raise SetupError(
                f"Source {source.name!r}: the server of {masked(address)} does not say when a file was changed. "
                "Use complete.marker instead of complete.min_age_minutes."
            ) from error
    return changed if changed.tzinfo else changed.replace(tzinfo=UTC)


def _brought(source: Source, address: str, folder: Path) -> LocalFile:
    """Return a file as one that can be read here: copied, unpacked and in UTF-8."""
    path, name = Path(address), PurePosixPath(address.partition("::")[0]).name
    if _is_url(address):
        folder.mkdir(exist_ok=True)
        path = folder / name
        with _told(source, address):
            _copy_of(source, address, path)
    if path.suffix == ".zip":
        path = _unpacked(source, path, folder)
    form = source.format or _format_of(path)
    if form != "parquet" and codecs.lookup(source.encoding).name != "utf-8":
        path = _recoded(path, folder, encoding=source.encoding)
    return LocalFile(path, masked(address), form)


def _copy_of(source: Source, address: str, path: Path) -> None:
    import fsspec

    try:
        with fsspec.open(address, "rb") as opened, path.open("wb") as copy:
            shutil.copyfileobj(opened, copy, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"Source {source.name!r} cannot read {masked(address)}: {error}. Deliver it again.") from error


def _unpacked(source: Source, path: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [each for each in archive.namelist() if not each.endswith("/")]
            if len(members) != 1:
                raise DataError(
                    f"Source {source.name!r}: {path.name} holds {len(members)} files: {', '.join(members[:5])}. "
                    f"Name the one to read, as in zip://{members[0] if members else 'name.csv'}::{path.name}"
                )
            return Path(archive.extract(members[0], folder))
    except zipfile.BadZipFile as error:
        raise DataError(f"Source {source.name!r} cannot read {path}: {error}. Deliver the file again.") from error


def _format_of(path: Path) -> Format:
    name = path.with_suffix("") if path.suffix in PACKED else path
    return ENDINGS.get(name.suffix.lower(), "parquet")


def _recoded(path: Path, folder: Path, *, encoding: str) -> Path:
    folder.mkdir(exist_ok=True)
    opener: Any = gzip.open if path.suffix == ".gz" else open
    target = folder / f"utf-8-{path.name.removesuffix('.gz')}"
    codecs.register_error("perennial", lambda error: (UNDECODABLE, error.end))  # type: ignore[attr-defined]
    with (
        opener(path, "rt", encoding=encoding, errors="perennial", newline="") as opened,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        shutil.copyfileobj(opened, copy, 1 << 20)
    return target
