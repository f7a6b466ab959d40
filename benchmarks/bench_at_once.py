"""How often does the estimate before labels roll a new champion back that is no worse?

`make bench-at_once`, or `.venv/bin/python -m benchmarks.bench_at_once --draws 20`. The worlds of
`bench_probation`: both champions err alike, each is calibrated again on the days before the promotion, and the newest
day is asked on each look, as the stage asks it: intervals, worlds and days in a row. It must be as rare as is stated,
within three standard errors of the count, also for losses so small that only the intervals hold it back.
Slow: a look takes a second and a half, half an hour a kind.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator

from perennial.core import estimation
from perennial.core.estimation import Expected, Rows
from perennial.core.metrics import Scored
from perennial.stages.probation import IN_A_ROW

from benchmarks.claims import Claim, show
from benchmarks.gate_worlds import View
from benchmarks.probation_worlds import Trial, trial

ALPHA, SURE = 0.05, 3.0
METRIC = "log_loss"
LOSSES = (0.005, 0.02)
KINDS = tuple(
    trial(f"400 people, labels of {horizon} days", people=400, horizon=horizon, worse=View(person=1.3, day=0.3))
    for horizon in (1, 7)
)


def rolled_back(kind: Trial, *, seed: int, every: int) -> set[float]:
    """Return the declared losses at which a probation of sixty days would be ended by some look."""
    first, second = kind.world.scores(kind.view, kind.view, seed=seed)
    before = first.day <= kind.before - 1
    known, found, row = (first.on(before), second.on(before)), set(), dict.fromkeys(LOSSES, 0)
    for day in range(kind.start, kind.through + 1, every):
        today = first.day == day
        new, former = (
            _expected(side.on(today), holdout) for side, holdout in zip((first, second), known, strict=True)
        )  # fmt: skip
        for loss in LOSSES:
            worse = estimation.surely_worse(new, former, metric=METRIC, loss=loss)
            row[loss] = row[loss] + 1 if worse else 0
        found |= {loss for loss, days in row.items() if days >= IN_A_ROW}
    return found


def _expected(newest: Scored, holdout: Scored) -> Expected:
    made = estimation.by_confidence(
        Rows(newest.score, newest.day, newest.entity), holdout, confidence=estimation.AT_ONCE,
        draws=estimation.AT_ONCE_DRAWS,
    )  # fmt: skip
    return made.metrics[METRIC]


def measure(draws: int, every: int) -> Iterator[Claim]:
    """Yield a claim for each kind and loss."""
    most = ALPHA + SURE * math.sqrt(ALPHA * (1 - ALPHA) / draws)
    for kind in KINDS:
        found = [rolled_back(kind, seed=seed, every=every) for seed in range(draws)]
        for loss in LOSSES:
            share = sum(loss in each for each in found) / draws
            figure = f"A/A rolled back at once, a look each {every} days, declared loss {loss}"
            yield Claim(kind.name, figure, f"{share:.1%}", f"at most {most:.1%}", share <= most)


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    return show(measure(given.draws, given.every))


if __name__ == "__main__":
    sys.exit(main())
