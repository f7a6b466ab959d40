"""Do the gates' statistics hold what they state? A thousand simulated holdouts of each kind, whose truth is known.

`make bench-gates`, or `.venv/bin/python -m benchmarks.bench_gates --draws 200`. The holdouts have the dependence of
real ones (`benchmarks.gate_worlds`): rows of one entity on several days, labels that share days, moods of days. In A/A
both models err alike, so the true gain is 0: a 95 % lower bound above it is a false promotion, and must be as rare as
stated, and an interval must hold the truth as often as stated, neither more rarely nor more often. In A/B the
challenger is better by a known gain, and must be found as often as the gate states. All within three standard errors.
What another way of resampling misses is told beside, without a limit.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from perennial.core.comparison import gain_of
from perennial.core.evidence import Evidence
from perennial.core.resampling import Estimate, Ties, estimate

from benchmarks.claims import Claim, show
from benchmarks.gate_worlds import View, World

RESAMPLES = 200
CONFIDENCE = 0.95
SURE = 3.0  # standard errors of a counted share


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of holdout: its world, how models err in it, and what has to be resampled there."""

    name: str
    world: World
    view: View
    unit: str
    others: tuple[str, ...]
    better: View
    metrics: tuple[str, ...] = ("roc_auc", "log_loss", "expected_profit")


KINDS = (
    Kind(
        "300 entities, 5 days", World(people=300, days=5), View(), "entity", ("rows",),
        better=View(person=0.35),
    ),
    Kind(
        "100 entities, 14 days",
        World(people=100, days=14, every=1, horizon=2, mood=0.5, intercept=-1.5),
        View(day=0.5), "both", ("rows", "entity"), better=View(person=0.3, day=0.1),
    ),
    Kind(
        "150 entities, 4 weeks",
        World(people=150, days=4, every=7, horizon=7, mood=0.5, intercept=-2),
        View(day=0.5), "both", ("entity",), better=View(person=0.3, day=0.1),
    ),
)  # fmt: skip


def gain(drawn: Evidence, metric: str, unit: str, *, seed: int) -> Estimate:
    """Return the estimated gain of one holdout; `rows` takes each row for independent, which no gate does."""
    if drawn.champion is None:
        raise SystemExit("a simulated holdout has two models.")
    rows = np.arange(drawn.challenger.scored.label.size)
    tied = Ties.by(rows) if unit == "rows" else drawn.ties(unit)
    return estimate(gain_of(metric, drawn.challenger, drawn.champion), tied, resamples=RESAMPLES, seed=seed)


def alike(kind: Kind, draws: int) -> Iterator[Claim]:
    """Yield how often equal models are promoted, and how often intervals hold the truth."""
    units = (kind.unit, *kind.others)
    found: dict[tuple[str, str], list[Estimate]] = {(metric, unit): [] for metric in kind.metrics for unit in units}
    for seed in range(draws):
        drawn = kind.world.draw(kind.view, kind.view, seed=seed)
        for metric, unit in found:
            found[metric, unit].append(gain(drawn, metric, unit, seed=seed))
    for (metric, unit), estimates in found.items():
        promoted = float(np.mean([each.lower(CONFIDENCE) > 0 for each in estimates]))
        held = float(np.mean([(each.lower(CONFIDENCE) <= 0) + (each.upper(CONFIDENCE) >= 0) - 1 for each in estimates]))
        yield from _claims(kind, f"{metric} by {unit}", promoted, held, draws, judged=unit == kind.unit)


def _claims(kind: Kind, figure: str, promoted: float, held: float, draws: int, *, judged: bool) -> tuple[Claim, Claim]:
    """Return the two claims of one metric and way of resampling; only told where the gates would not resample so."""
    stated, inside = 1 - CONFIDENCE, 2 * CONFIDENCE - 1
    most = stated + SURE * math.sqrt(stated * CONFIDENCE / draws)
    off = SURE * math.sqrt(inside * (1 - inside) / draws)
    limits = (f"at most {most:.1%}", f"{inside - off:.1%} to {inside + off:.1%}") if judged else ("", "")
    return (
        Claim(kind.name, f"A/A promoted, {figure}", f"{promoted:.1%}", limits[0], not judged or promoted <= most),
        Claim(kind.name, f"90 % interval, {figure}", f"{held:.1%}", limits[1], not judged or abs(held - inside) <= off),
    )


def better(kind: Kind, draws: int) -> Iterator[Claim]:
    """Yield the power that the gates state for a known gain, and how often they find it."""
    truth = known_gain(kind)
    found = [
        gain(kind.world.draw(kind.better, kind.view, seed=seed), "roc_auc", kind.unit, seed=seed)
        for seed in range(draws)
    ]
    stated = float(np.mean([each.power(truth, confidence=CONFIDENCE) for each in found]))
    passed = float(np.mean([each.lower(CONFIDENCE) > 0 for each in found]))
    error = SURE * math.sqrt(stated * (1 - stated) / draws)
    yield Claim(
        kind.name, f"A/B found, {truth:+.4f} of roc_auc", f"{passed:.1%}, stated {stated:.1%}",
        f"within {error:.1%}", abs(passed - stated) <= error,
    )  # fmt: skip


def known_gain(kind: Kind, *, holdouts: int = 2000) -> float:
    """Return the mean gain over many holdouts of a kind: what the gates estimate."""
    gains = []
    for seed in range(1_000_000, 1_000_000 + holdouts):
        drawn = kind.world.draw(kind.better, kind.view, seed=seed)
        if drawn.champion is not None:
            gains.append(drawn.challenger.metrics["roc_auc"] - drawn.champion.metrics["roc_auc"])
    return float(np.mean(gains))


def measure(draws: int = 1000) -> list[Claim]:
    """Return all claims."""
    return [claim for kind in KINDS for claim in (*alike(kind, draws), *better(kind, draws))]


def main() -> int:
    """Print the table; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    return show(measure(parser.parse_args().draws))


if __name__ == "__main__":
    sys.exit(main())
