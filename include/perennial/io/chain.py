"""The chain that binds the ledger's entries: each carries the hash of the one before it.

An entry's hash is the SHA-256 of its canonical form, in UTF-8: one JSON object of the columns below, keys in the order
of the alphabet, no spaces, everything beyond ASCII escaped. A day is `YYYY-MM-DD`, a moment is in UTC as
`YYYY-MM-DDTHH:MM:SS.ffffff+00:00`, what is absent is `null`. This form never changes: every hash depends on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64  # what the first entry names as the one before it
COLUMNS = (
    "action", "at", "case", "day", "from_version", "id", "once", "previous", "reason", "recorded_at", "report", "run",
    "to_version", "who",
)  # fmt: skip

Row = Mapping[str, Any]


def canonical(row: Row) -> str:
    """Return the text that an entry's hash is made of.

    Args:
        row: the entry's columns as the database gives them; `hash` is not looked at.
    """
    said = {name: _plain(row[name]) for name in COLUMNS}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(row: Row) -> str:
    """Return an entry's hash, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(row).encode()).hexdigest()


def utc(moment: datetime) -> datetime:
    """Return the moment in UTC; SQLite gives it back without its zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def faults(rows: Iterable[Row], places: Mapping[str, int]) -> Iterator[str]:
    """Say of each entry that was edited, removed, put in another's place or reordered which one it is, and why.

    Whoever rewrites every hash from an entry on to the newest, or takes the newest away, leaves a whole chain: that is
    found only by a hash that was kept elsewhere.

    Args:
        rows: all entries by their id.
        places: the id of each hash that is in the table.
    """
    before: Row | None = None
    for row in rows:
        if digest(row) != row["hash"]:
            yield f"{_named(row)} was edited: what it says does not give its hash {row['hash'][:12]}"
        if row["previous"] != (before["hash"] if before else GENESIS):
            yield _broken(row, before, places)
        before = row


def _broken(row: Row, before: Row | None, places: Mapping[str, int]) -> str:
    """Return why an entry does not follow the one that stands before it."""
    place = places.get(row["previous"])
    last = before["id"] if before else 0
    if place is not None:
        return f"{_named(row)} was written behind entry {place} and stands behind entry {last}: the order was changed"
    gone = _span(last + 1, row["id"] - 1)
    wanted = f"entry {row['id']} was written behind the hash {row['previous'][:12]}, which is gone"
    if gone:
        return f"{gone} removed: {wanted}"
    if before is None:
        return f"what stood before {_named(row)} was removed: {wanted}"
    return f"{_named(before)} was put in another's place: {wanted}"


def _span(first: int, last: int) -> str:
    """Return the ids of missing entries with their verb, an empty text where none is missing."""
    if last < first:
        return ""
    return f"entry {first} was" if first == last else f"entries {first} to {last} were"


def _named(row: Row) -> str:
    return f"entry {row['id']} ({row['case']}: {row['action']}, {utc(row['at']):%Y-%m-%d %H:%M} UTC)"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value).isoformat(timespec="microseconds")
    return value.isoformat() if hasattr(value, "isoformat") else value
