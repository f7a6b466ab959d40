"""Probations whose truth is known: two champions on the same people, day after day (`benchmarks.gate_worlds`).

Days before the promotion, as long as the holdout that the gates compared both on, then the days of the probation.
People are the same throughout and models err about each of them in their own lasting way; what a day does to
everybody is in the labels (moods) and in each model's errors; labels look `horizon` days ahead and share those days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from perennial.core.deviations import FloatArray
from perennial.core.probation import Paired, Terms, bounds, losses

from benchmarks.gate_worlds import View, World


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of probation.

    Attributes:
        name: what it is called in the table.
        world: people, horizon, moods; as many days as are before and in the probation, and the gap between.
        before: days before the promotion whose labels have matured.
        days: of the probation.
        view: how the former champion errs.
        worse: how a new champion errs that is worse by about the declared loss; as it is no worse before.
        metric: the loss.
    """

    name: str
    world: World
    before: int
    days: int
    view: View
    worse: View
    metric: str = "log_loss"

    @property
    def start(self) -> int:
        """Return the first day of the probation, a horizon after the last day before it."""
        return self.before + self.world.horizon - 1

    @property
    def through(self) -> int:
        """Return the last day of the probation."""
        return self.start + self.days - 1

    def draw(self, new: View, *, seed: int) -> tuple[Paired, Paired]:
        """Return the days of the probation, and those before it, on which the new champion was as good."""
        paired = self._paired(new, seed=seed)
        honest = paired if new == self.view else self._paired(self.view, seed=seed)
        return paired.between(self.start, self.through), honest.between(0, self.before - 1)

    def caught(self, new: View, *, loss: float, seed: int) -> int | None:
        """Return on which day of the probation a new champion is rolled back, the waiting for labels included."""
        return self.day_of(*self.draw(new, seed=seed), loss=loss)

    def day_of(self, paired: Paired, before: Paired, *, loss: float) -> int | None:
        """Return on which day of the probation the bound passes 0, None where it does not."""
        terms = Terms(loss=loss, horizon_days=self.world.horizon, days=self.days)
        steps = bounds(paired, before, terms=terms, start=self.start, through=self.through)
        return next((step.last - self.start + 1 + self.world.horizon for step in steps if step.low > 0), None)

    def true_loss(self, new: View, *, draws: int) -> float:
        """Return the mean paired loss of a new champion over many populations."""
        found = [self.draw(new, seed=1_000_000 + seed)[0].difference.mean() for seed in range(draws)]
        return float(np.mean(found))

    def _paired(self, new: View, *, seed: int) -> Paired:
        first, second = self.world.scores(new, self.view, seed=seed)
        difference: FloatArray = losses(self.metric, first) - losses(self.metric, second)
        return Paired(first.day, first.entity, difference)


def naive_day(paired: Paired, *, horizon: int, confidence: float = 0.95) -> int | None:
    """Return on which day a t-test would say so that each day takes the days so far for independent."""
    from scipy.special import stdtr

    values = paired.daily().value
    for count in range(3, values.size + 1):
        error = float(values[:count].std(ddof=1)) / np.sqrt(count)
        if float(stdtr(count - 1, values[:count].mean() / error)) >= confidence:
            return count + horizon
    return None


def trial(name: str, *, people: int, horizon: int, worse: View, before: int = 28, days: int = 60) -> Trial:
    """Return a kind of probation with moods of days, in the labels and in the models' errors."""
    world = World(
        people=people, days=before + horizon - 1 + days, every=1, horizon=horizon, mood=0.3,
        intercept=-1.0 if horizon == 1 else -2.0,
    )  # fmt: skip
    return Trial(name, world, before, days, View(day=0.3), worse)
