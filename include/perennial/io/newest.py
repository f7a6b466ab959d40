"""The newest day of many tables at once, quickly: what was read stays known while a table's log does not grow."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from perennial.io.lake import Lake

LOG = "_delta_log"
READERS = 4
# By root and table: the newest file of the log then, and the newest day with rows. It lives as long as the process, so
# that the page of a hundred use cases opens only those tables that were written since it was last shown.
_known: dict[tuple[Path, str], tuple[str, date | None]] = {}


def newest_days(lake: Lake, tables: Iterable[str]) -> dict[str, date | None]:
    """Return the newest day with rows of each table; None where it has none or does not exist.

    Raises:
        LakeError: a table cannot be read.
    """
    with ThreadPoolExecutor(READERS) as readers:
        names = list(tables)
        return dict(zip(names, readers.map(lambda table: _newest(lake, table), names), strict=True))


def _newest(lake: Lake, table: str) -> date | None:
    """Return the newest day of a table. Its log is looked at first: what is written meanwhile is read the next time."""
    key, end = (lake.root, table), _end_of_log(lake.root / table / LOG)
    known = _known.get(key)
    if known is not None and known[0] == end:
        return known[1]
    days = lake.days(table) if end else ()
    found = days[-1] if days else None
    _known[key] = (end, found)
    return found


def _end_of_log(folder: Path) -> str:
    """Return the newest commit's file name, empty where there is no table."""
    try:
        return max((each.name for each in folder.iterdir() if each.suffix == ".json"), default="")
    except FileNotFoundError:
        return ""
