"""How sure a measure is where rows hang together: a bootstrap of entities, of blocks of days, and of both.

Rows of one entity on successive days carry nearly the same label, so entities are resampled whole. What happens on one
day (a storm, a campaign) touches the rows of all entities whose label looks at that day, so days are resampled too, in
blocks as long as the label's horizon: days further apart share no day of a label.

The variance of both together is that of the two-way analysis of variance,

    V = max(V_entity - φ · V_both, 0) + φ · V_days,    V_both = G/(G-1) · (V_cell - Σs² · V_entity),

a cell being the rows of one entity in one of the G blocks, s the blocks' shares of the rows. V_both is what entities do
anew in each block, which V_entity and V_days both count; what an entity does in all blocks alike is not in V_days and
has to be taken out of V_cell first. V_days is not held to be at least V_both: where days do not matter it is smaller in
half of all samples, and cutting these off would make the intervals too wide. φ stands in `core.blocks`. The interval is
that of Student's t with as many degrees of freedom as Satterthwaite's approximation gives for both summands.

Not stratified by label: an entity carries rows of both, so that there is no stratum of a label, and how many carry the
rarer one is part of what another sample would change. Rare labels are respected in three ways instead. A resample
without a value, such as a ranking without one of the labels, is drawn again, as training refuses such a holdout. The
entities and the blocks that carry the rarer label count for the degrees of freedom. Where only one carries it, nothing
is known of its spread: the error is infinite, which passes no gate and is never NaN.

Source:
    Field and Welsh (2007), J. R. Statist. Soc. B 69, 369-390 (whole clusters); Owen (2007), Ann. Appl. Stat. 1, 386-411
    (what resampling two ways counts twice); Burdick and Graybill (1992), Confidence Intervals on Variance Components,
    Dekker (two-way random effects); Bell and McCaffrey (2002), Survey Methodology 28, 169-181 (few clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from perennial.core.blocks import Blocks, blocks
from perennial.core.deviations import FloatArray, Measure
from perennial.core.metrics import IntArray, Scored
from perennial.errors import DataError

Unit = Literal["auto", "entity", "days", "both"]

LEAST_BLOCKS = 4
MOST_DRAWS = 20  # times the resamples asked for, where some have no value
BATCH = 1 << 21  # weights held at once, 16 MB
ENDLESS = 1e9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure of all rows, its standard error, and the degrees of freedom of that error."""

    value: float
    error: float
    freedom: float

    def lower(self, confidence: float) -> float:
        """Return the one-sided bound above which the true value lies with that confidence."""
        return self.value - self._reach(confidence)

    def upper(self, confidence: float) -> float:
        """Return the one-sided bound below which the true value lies with that confidence."""
        return self.value + self._reach(confidence)

    def power(self, distance: float, *, confidence: float) -> float:
        """Return how likely the lower bound clears a limit that lies `distance` below the true value.

        `P(T ≤ distance / error - t(confidence))` for Student's T with `freedom`; 1 where nothing is uncertain.
        """
        from scipy.special import stdtr, stdtrit

        if self.error == 0:
            return 1.0 if distance >= 0 else 0.0
        return float(stdtr(self.freedom, distance / self.error - stdtrit(self.freedom, confidence)))

    def times_enough(self, distance: float, *, confidence: float, power: float) -> float:
        """Return how many times the rows would reach that power; 1 where these do, infinite where none would.

        `n' / n = ((t(confidence) + t(power)) · error / distance)²`, with as many times the degrees of freedom: the
        equation is solved by repetition. More rows means more entities and more days alike.
        """
        from scipy.special import stdtrit

        if distance <= 0 or not math.isfinite(self.error):
            return math.inf
        times = 1.0
        for _ in range(50):
            freedom = min(self.freedom * max(times, 1.0), ENDLESS)
            needed = stdtrit(freedom, confidence) + stdtrit(freedom, power)
            # The mean of two steps: alone they swing about the solution where there are few degrees of freedom.
            times = (times + float((needed * self.error / distance) ** 2)) / 2
        return max(times, 1.0)

    def _reach(self, confidence: float) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, confidence)) * self.error if self.error > 0 else self.error


@dataclass(frozen=True, slots=True)
class Ties:
    """Which rows hang together; all arrays have the shape (rows,).

    Attributes:
        entity: equal numbers are one entity.
        day: equal numbers are one day.
        block: equal numbers are days of one block.
        unit: what is resampled: entities, blocks of days, or both.
        entity_freedom: degrees of freedom of the variance by entities: one less than the entities, where labels are
            binary than those of the rarer label, which decide.
        known: what the days and the horizon say of the blocks; None where days are not resampled.
    """

    entity: IntArray
    day: IntArray
    block: IntArray
    unit: Literal["entity", "days", "both"]
    entity_freedom: float
    known: Blocks | None

    @classmethod
    def by(cls, entity: IntArray) -> Ties:
        """Return the ties of rows that share nothing but their entity, of which there are very many."""
        return cls(entity, entity, entity, "entity", ENDLESS, None)

    @property
    def entities(self) -> int:
        """Return how many entities there are."""
        return int(np.unique(self.entity).size)

    def described(self) -> str:
        """Return in words what is resampled."""
        count = 1 if self.known is None else self.known.count
        told = {"entity": f"{self.entities:,} entities", "days": f"{count} blocks of days"}
        if self.unit != "both":
            return told[self.unit]
        return f"{told['entity']} and {told['days']}"


def ties(scored: Scored, *, horizon_days: int, unit: Unit) -> Ties:
    """Return how the rows hang together.

    Args:
        scored: `day` counts days, so that differences are days.
        horizon_days: how many days the label of a day looks at.
        unit: `auto` takes both where there are `LEAST_BLOCKS` blocks or more, else entities alone.

    Raises:
        DataError: days are to be resampled and there is only one block.
    """
    first = int(scored.day.min())
    block = (scored.day - first) // horizon_days
    count = int(np.unique(block).size)
    if unit == "auto":
        unit = "both" if count >= LEAST_BLOCKS else "entity"
    if unit != "entity" and count < 2:
        raise DataError(
            f"A gate resamples {unit}, and the {np.unique(scored.day).size} holdout days are one block of "
            f"{horizon_days} days, the label's horizon. Set `resample: entity`, or training.holdout_days to "
            f"{2 * horizon_days} or more."
        )
    known = None
    if unit != "entity":
        holding = _carriers(scored, block)
        known = blocks(scored.day, block, horizon_days=horizon_days, holding=holding)
    return Ties(scored.entity, scored.day, block, unit, float(_carriers(scored, scored.entity) - 1), known)


def estimate(statistic: Measure, tied: Ties, *, resamples: int, seed: int) -> Estimate:
    """Return a measure with its standard error.

    Args:
        statistic: from row weights of the shape (..., rows) to values of the shape (...), such as a metric of one model
            or the difference of two models' metrics on the same weights.
        tied: what hangs together.
        resamples: how many times each of entities, blocks and cells is drawn.
        seed: equal seeds give equal errors.
    """
    value = float(statistic(np.ones(tied.entity.size)))
    by_entity = 0.0
    if tied.unit != "days":
        by_entity = _variance(statistic, tied.entity, tied.entity_freedom, resamples=resamples, seed=seed)
    if tied.known is None or not math.isfinite(by_entity):
        return Estimate(value, math.sqrt(by_entity), max(tied.entity_freedom, 1.0))
    known = tied.known
    of_days = _variance(statistic, tied.block, known.freedom, resamples=resamples, seed=seed + 1)
    # The days' own pull needs no resampling: each is given double weight once.
    pull = np.array([float(statistic(1.0 + (tied.day == day))) - value for day in np.unique(tied.day)])
    inflation = known.inflation(pull)
    of_entities = 0.0
    if tied.unit == "both":
        cell = tied.entity * (int(tied.block.max()) + 1) + tied.block
        of_cells = variance(statistic, cell, resamples=resamples, seed=seed + 2)
        both = known.count / (known.count - 1) * (of_cells - known.evenness * by_entity)
        of_entities = max(by_entity - inflation * both, 0.0)
    parts = ((of_entities, tied.entity_freedom), (inflation * of_days, known.freedom))
    total = of_entities + inflation * of_days
    return Estimate(value, math.sqrt(total), _satterthwaite(total, *parts))


def variance(statistic: Measure, clusters: IntArray, *, resamples: int, seed: int) -> float:
    """Return the bootstrap variance of a statistic over whole clusters.

    A resample draws as many clusters as there are, with replacement; a row's weight is how often its cluster was drawn.
    The variance is multiplied by `G / (G - 1)` for G clusters, which for a mean makes it unbiased. A resample without a
    value (no row of one label) is drawn again. Infinite where there is one cluster only, and where `MOST_DRAWS` times
    as many draws give too few values.
    """
    _, code = np.unique(clusters, return_inverse=True)
    count = int(code.max()) + 1
    if count < 2:
        return math.inf
    generator = np.random.default_rng(seed)
    size = max(1, BATCH // code.size)
    found: list[FloatArray] = []
    left, draws = resamples, MOST_DRAWS * resamples
    while left > 0 and draws > 0:
        batch = min(size, left, draws)
        drawn = statistic(_counts(generator, count, batch)[:, code])
        found.append(drawn[np.isfinite(drawn)])
        left, draws = left - found[-1].size, draws - batch
    if left > 0:
        return math.inf
    return float(np.concatenate(found).var(ddof=1)) * count / (count - 1)


def _variance(statistic: Measure, clusters: IntArray, freedom: float, *, resamples: int, seed: int) -> float:
    """Return the same, infinite where a single cluster carries the rarer label and so decides alone."""
    return variance(statistic, clusters, resamples=resamples, seed=seed) if freedom > 0 else math.inf


def _counts(generator: np.random.Generator, count: int, resamples: int) -> FloatArray:
    """Return how often each of `count` clusters is drawn in each resample, shape (resamples, count)."""
    drawn = generator.integers(0, count, (resamples, count)) + count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def _carriers(scored: Scored, clusters: IntArray) -> int:
    """Return how many clusters there are, or how many carry the rarer of two labels."""
    if scored.kind != "binary":
        return int(np.unique(clusters).size)
    return min(int(np.unique(clusters[scored.label == side]).size) for side in (0.0, 1.0))


def _satterthwaite(total: float, *parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a variance of independent parts, `V² / Σ (V_i² / f_i)`; at least 1."""
    if not 0 < total < math.inf:
        return 1.0
    return max(1.0, total**2 / sum(part**2 / freedom for part, freedom in parts if part > 0))
