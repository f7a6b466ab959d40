"""Is a new champion rolled back as rarely as stated where it is no worse, and as soon as the docs say where it is?

`make bench-probation`, or `.venv/bin/python -m benchmarks.bench_probation --draws 200`. Probations of sixty days with
a look each day (`benchmarks.probation_worlds`): the same people throughout, each with likings that last, days with
moods, labels that share days. A/A: both champions err alike, and a rollback is false; it must be as rare as stated,
within three standard errors of the count. A/B: the new one is worse by the declared loss, and nine in ten are to be
found within the days that docs/monitoring.md states. Beside it, without a limit, a t-test each day of the days so
far.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.claims import Claim, show
from benchmarks.gate_worlds import View
from benchmarks.probation_worlds import Trial, naive_day, trial

ALPHA = 0.05
SURE = 3.0  # standard errors of a counted share
NEVER = math.inf
# With each kind the days within which the docs say that nine in ten are caught.
KINDS = (
    (trial("400 people, labels of the next day", people=400, horizon=1, worse=View(person=1.3, day=0.3)), 20),
    (trial("400 people, labels of 3 days", people=400, horizon=3, worse=View(person=1.3, day=0.3)), 30),
    (trial("400 people, labels of 7 days", people=400, horizon=7, worse=View(person=1.4, day=0.3)), 56),
)


def alike(kind: Trial, loss: float, draws: int) -> Iterator[Claim]:
    """Yield how often a champion that is no worse is rolled back, and how often a daily t-test would do it."""
    ours, naive = 0, 0
    for seed in range(draws):
        paired, before = kind.draw(kind.view, seed=seed)
        ours += kind.day_of(paired, before, loss=loss) is not None
        naive += naive_day(paired, horizon=kind.world.horizon) is not None
    most = ALPHA + SURE * math.sqrt(ALPHA * (1 - ALPHA) / draws)
    holds = ours / draws <= most
    yield Claim(kind.name, "A/A rolled back, 60 looks", f"{ours / draws:.1%}", f"at most {most:.1%}", holds)
    yield Claim(kind.name, "A/A rolled back by a daily t-test", f"{naive / draws:.1%}")


def worse(kind: Trial, loss: float, draws: int, *, within: int) -> Iterator[Claim]:
    """Yield after how many days a champion is rolled back that is worse by the declared loss."""
    days, naive = [], []
    for seed in range(draws):
        paired, before = kind.draw(kind.worse, seed=seed)
        days.append(kind.day_of(paired, before, loss=loss) or NEVER)
        naive.append(naive_day(paired, horizon=kind.world.horizon) or NEVER)
    spread = float(np.mean([kind.draw(kind.view, seed=seed)[0].daily().value.std() for seed in range(20)]))
    middle, most = (float(np.quantile(days, share, method="higher")) for share in (0.5, 0.9))
    figure = f"A/B, worse by {loss:.3f} ({loss / spread:.1f} sd of a day): day of the rollback, half and 90 %"
    yield Claim(kind.name, figure, f"{middle:.0f} and {most:.0f}", f"90 % by day {within}", most <= within)
    told = (float(np.quantile(naive, share, method="higher")) for share in (0.5, 0.9))
    yield Claim(kind.name, "A/B by a daily t-test", " and ".join(f"{day:.0f}" for day in told))


def measure(draws: int = 600) -> Iterator[Claim]:
    """Yield all claims; a third of the draws for the champions that are worse."""
    for kind, within in KINDS:
        loss = kind.true_loss(kind.worse, draws=50)
        yield from alike(kind, loss, draws)
        yield from worse(kind, loss, max(draws // 3, 1), within=within)


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=600)
    return show(measure(parser.parse_args().draws))


if __name__ == "__main__":
    sys.exit(main())
