"""What a piece of work takes: processor time of this process and of those it has waited for, and time on the clock."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

DIGITS = 3


@dataclass(frozen=True, slots=True)
class Meter:
    """Where the counters stood when the work began."""

    compute: float
    wall: float

    @classmethod
    def started(cls) -> Meter:
        """Return a meter that counts from now on."""
        return cls(_compute(), time.perf_counter())

    def spent(self) -> dict[str, float]:
        """Return the seconds of compute and of the clock since the start."""
        compute, wall = _compute() - self.compute, time.perf_counter() - self.wall
        return {"compute_seconds": round(compute, DIGITS), "wall_seconds": round(wall, DIGITS)}


def _compute() -> float:
    """Return user and system seconds so far; a child's count once it has ended and was waited for."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system
