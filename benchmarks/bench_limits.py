"""Do calm days raise alarms as rarely as declared, and is a shift found? Simulated days whose truth is known.

`make bench-limits`, or `.venv/bin/python -m benchmarks.bench_limits --draws 20`. Each draw is a reference of its own
and a week of days after it (`benchmarks.drift_worlds`). Calm days follow the reference's weekdays, season and moods: a
feature that reaches its limit there, and a share of features that reaches the share's, are false alarms, and must be no
more frequent than declared, within three standard errors over the draws (days and features of a draw hang together, so
that draws are the unit). Beside them stands what the fixed limits of 0.1 and 0.25 do on the same days. On days on which
one feature is moved by half a standard deviation, the limits must find it as often as is claimed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from perennial.core import nulls
from perennial.core.drift import psis
from perennial.core.metrics import FloatArray

from benchmarks.claims import Claim, show
from benchmarks.drift_worlds import Days, World

RATE = 0.02
FIXED = (0.1, 0.25)
SURE = 3.0
MOVED = 0.5


@dataclass(frozen=True, slots=True)
class Kind:
    """A world, how far its days lie after the reference, and how often a moved feature must be found; None is told."""

    name: str
    world: World
    lag: int
    found: float | None


KINDS = (
    Kind("rows alone", World(), 7, 0.99),
    Kind("few rows", World(rows=100), 7, 0.6),
    Kind("weekdays", World(weekday=0.3), 7, 0.25),
    Kind("moods", World(mood=0.3), 7, 0.08),
    Kind("moods that last", World(mood=0.3, lasting=0.7), 7, 0.08),
    Kind("season", World(season=0.3, mood=0.1), 7, 0.5),
    Kind("28 days", World(days=28, mood=0.2, weekday=0.2), 7, 0.04),
    Kind("a season that goes on", World(season=0.3, mood=0.1), 28, None),
    Kind("all of them", World(weekday=0.2, season=0.3, mood=0.2, lasting=0.5, people=0.5), 21, 0.08),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alarms:
    """How often a draw's days alarm: the share of features and days, of days by the share, and by fixed limits."""

    features: float
    days: float
    fixed: tuple[float, ...]
    first: float


def alarms(drawn: Days, *, false_alarms: float, seed: int) -> Alarms:
    """Return what the days of one draw raise."""
    reference, reached, shares = drawn.reference.sum(axis=0), [], []
    measured = psis(reference[None], drawn.later)
    for psi, lag in zip(measured, drawn.lags, strict=True):
        null = nulls.draw(drawn.reference, drawn.days, rows=drawn.rows, lag=int(lag), seed=seed)
        if null is None:
            raise SystemExit("a simulated reference has days enough.")
        limits = nulls.calibrate(null, false_alarms=false_alarms)
        reached.append(psi >= limits.psi)
        shares.append(np.mean(psi >= limits.psi) >= limits.share)
    found = np.array(reached)
    fixed = tuple(float(np.mean(measured >= limit)) for limit in FIXED)
    return Alarms(float(found.mean()), float(np.mean(shares)), fixed, float(found[:, 0].mean()))


def measure(draws: int = 100) -> Iterator[Claim]:
    """Yield all claims."""
    for kind in KINDS:
        calm = [alarms(kind.world.draw(seed=seed, lag=kind.lag), false_alarms=RATE, seed=seed) for seed in range(draws)]
        for figure, rates in (
            ("a feature's false alarms", np.array([each.features for each in calm])),
            ("a day's false alarms, by the share", np.array([each.days for each in calm])),
        ):
            yield _rare(kind.name, figure, rates)
        for place, limit in enumerate(FIXED):
            rate = float(np.mean([each.fixed[place] for each in calm]))
            yield Claim(kind.name, f"a feature's false alarms, fixed limit {limit:g}", f"{rate:.1%}")
        found = float(np.mean([each.first for each in _moved(kind, draws)]))
        least = "" if kind.found is None else f"at least {kind.found:.0%}"
        holds = kind.found is None or found >= kind.found
        yield Claim(kind.name, f"found, one feature moved by {MOVED:g}", f"{found:.0%}", least, holds)


def _rare(kind: str, figure: str, rates: FloatArray) -> Claim:
    """Return the claim that a rate is no larger than declared, within three standard errors over the draws."""
    most = RATE + SURE * float(rates.std()) / np.sqrt(rates.size)
    return Claim(kind, figure, f"{rates.mean():.1%}", f"at most {most:.1%}", bool(rates.mean() <= most))


def _moved(kind: Kind, draws: int) -> Iterator[Alarms]:
    """Yield the alarms of draws in which the first feature is moved."""
    for seed in range(draws, draws + max(1, draws // 4)):
        drawn = kind.world.draw(seed=seed, lag=kind.lag, moved=MOVED)
        yield alarms(drawn, false_alarms=RATE, seed=seed)


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    return show(measure(parser.parse_args().draws))


if __name__ == "__main__":
    sys.exit(main())
