"""A feed by a quick clock, to be killed; light to import, since every process that is killed does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from multiprocessing.synchronize import Event as SharedEvent
from threading import Event

from perennial.core.clickstream import Dials, World
from perennial.io import feeds

FIRST = date(2026, 1, 1)
DIALS = Dials(duplicates=0.1, late=0.2, late_days=2, outage=FIRST + timedelta(days=1),
              drift_from=FIRST + timedelta(days=3), drift_views=3.0)  # fmt: skip
WORLD = World(events_per_day=300, dials=DIALS)


def moment(days: float) -> datetime:
    """Return a time, in days after the first day began."""
    return datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(days=days)


def quick_clock(begun: float) -> Callable[[], datetime]:
    """Return a clock on which two days pass in a second, the same one for all who know when it began."""
    return lambda: moment(2 * (time.time() - begun))


def follow_quickly(address: str, begun: float, connects: SharedEvent, writes: SharedEvent) -> None:
    """Follow by a quick clock until killed."""
    connects.set()
    feeds.BATCH_SECONDS = feeds.LOOK_AGAIN_SECONDS = feeds.TRY_AGAIN_SECONDS = 0.01
    clock = quick_clock(begun)
    feeds.follow(WORLD, FIRST, address, stop=Event(), clock=clock, progress=lambda *_: writes.set())
