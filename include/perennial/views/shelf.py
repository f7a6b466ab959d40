"""Keeps a few things at hand that cost seconds to fetch and never change: models and references, by version.

The API server answers many readers from one process. A model of the registry takes half a second over the network once
the libraries are loaded, and some megabytes; a version never changes once it is registered. So a page fetches it once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Kept = TypeVar("Kept")
Key = tuple[str, str]


class Shelf(Generic[Kept]):
    """At most so many things; where it is full, the one that was not asked for longest goes.

    Two readers who ask for the same thing wait for one fetching; others are not held up. What cannot be fetched is not
    remembered.

    Args:
        most: how many there is room for.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._guard = Lock()
        self._fetching: dict[Key, Lock] = {}

    def __contains__(self, key: Key) -> bool:
        """Tell whether something is at hand."""
        with self._guard:
            return key in self._kept

    def get(self, key: Key, fetch: Callable[[], Kept]) -> Kept:
        """Return what is at hand, or fetch it; its errors come through."""
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            turn = self._fetching.setdefault(key, Lock())
        with turn:
            with self._guard:
                if key in self._kept:
                    return self._kept[key]
            made = fetch()
            with self._guard:
                self._kept[key] = made
                self._fetching.pop(key, None)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            return made
