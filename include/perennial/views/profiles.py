"""The profiles that were kept of a use case: by each training, and by `perennial profile`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from perennial.errors import DataError
from perennial.records import Record
from perennial.stages.profiling import ProfileRecord

OF_TRAINING = "version-"
READ = 8  # profiles that stay in memory, each of some megabytes


@dataclass(frozen=True, slots=True)
class Kept(Record):
    """A kept profile: `name` is that of its file, `title` what it is of, `page` its page below the pages folder."""

    name: str
    title: str
    at: datetime
    page: str


def kept(pages: Path, case: str) -> tuple[Kept, ...]:
    """Return the profiles of a use case, the newest first."""
    folder = pages / "profile" / case
    found = [
        Kept(file.stem, _title(file.stem), _changed(file), f"profile/{case}/{file.stem}.html")
        for file in folder.glob("*.json")
    ]
    return tuple(sorted(found, key=lambda each: (each.at, each.name), reverse=True))


def _changed(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _title(name: str) -> str:
    """Return what a profile is of.

    >>> _title("version-3"), _title("2026-01-01_2026-01-31")
    ('training of version 3', '2026-01-01 to 2026-01-31')
    """
    if name.startswith(OF_TRAINING):
        return f"training of version {name.removeprefix(OF_TRAINING)}"
    return name.replace("_", " to ")


def read(pages: Path, profile: Kept) -> ProfileRecord:
    """Return a kept profile.

    Raises:
        DataError: it cannot be read.
    """
    file = (pages / profile.page).with_suffix(".json")
    try:
        return _read(file, file.stat().st_mtime_ns)
    except (OSError, ValidationError) as error:
        raise DataError(
            f"The profile {profile.name} cannot be read: {type(error).__name__}. `perennial profile` makes a new one."
        ) from error


@lru_cache(maxsize=READ)
def _read(file: Path, _at: int) -> ProfileRecord:
    return TypeAdapter(ProfileRecord).validate_json(file.read_bytes())
