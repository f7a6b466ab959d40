"""How sure a measure is where rows hang together: a bootstrap of entities, of blocks of days, and of both.

Rows of one entity on successive days carry nearly the same label, so entities are resampled whole. What happens on one
day (a storm, a campaign) touches the rows of all entities whose label looks at that day, so days are resampled too, in
blocks as long as the label's horizon: days further apart share no day of a label.

The variance of both together is that of the rows that share an entity or a block,

    V = V_entity + φ · max(V_days - V_cell, 0),

a cell being the rows of one entity in one block, which the first two both count. Neighbouring blocks still share days
of labels, and there are few of them; φ is by how much that makes the bootstrap of blocks too sure. The interval is that
of Student's t with as many degrees of freedom as Satterthwaite's approximation gives.

Source:
    Field and Welsh (2007), J. R. Statist. Soc. B 69, 369-390 (whole clusters); Cameron, Gelbach and Miller (2011),
    J. Bus. Econ. Stat. 29, 238-249 (two ways); Bell and McCaffrey (2002), Survey Methodology 28, 169-181 (few
    clusters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from perennial.core.deviations import FloatArray, Measure
from perennial.core.metrics import IntArray, Scored
from perennial.errors import DataError

Unit = Literal["auto", "entity", "days", "both"]

LEAST_BLOCKS = 4
DEFINED_SHARE = 0.95
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
        block: equal numbers are days of one block.
        unit: what is resampled: entities, blocks of days, or both.
        entity_freedom: degrees of freedom of the variance by entities: one less than the entities, where labels are
            binary than those of the rarer label, which decide.
        block_freedom: degrees of freedom of the variance by blocks.
        inflation: φ, by which the variance by blocks is too small.
    """

    entity: IntArray
    block: IntArray
    unit: Literal["entity", "days", "both"]
    entity_freedom: float
    block_freedom: float
    inflation: float

    @property
    def entities(self) -> int:
        """Return how many entities there are."""
        return int(np.unique(self.entity).size)

    @property
    def blocks(self) -> int:
        """Return how many blocks there are."""
        return int(np.unique(self.block).size)

    def described(self) -> str:
        """Return in words what is resampled."""
        told = {"entity": f"{self.entities:,} entities", "days": f"{self.blocks} blocks of days"}
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
    inflation, freedom = (1.0, ENDLESS) if unit == "entity" else _of_blocks(scored.day, horizon_days=horizon_days)
    return Ties(scored.entity, block, unit, _entity_freedom(scored), freedom, inflation)


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
    by_entity = by_block = both = 0.0
    if tied.unit != "days":
        by_entity = variance(statistic, tied.entity, resamples=resamples, seed=seed)
    if tied.unit != "entity":
        by_block = variance(statistic, tied.block, resamples=resamples, seed=seed + 1)
    if tied.unit == "both":
        cell = tied.entity * (int(tied.block.max()) + 1) + tied.block
        both = variance(statistic, cell, resamples=resamples, seed=seed + 2)
    if tied.unit == "days":
        return Estimate(value, math.sqrt(tied.inflation * by_block), tied.block_freedom)
    of_days = tied.inflation * max(by_block - both, 0.0) if tied.unit == "both" else 0.0
    total = by_entity + of_days
    # All of the variance by blocks counts for the freedom: where it came out small by chance, it is no surer for that.
    freedom = _satterthwaite(total, (by_entity, tied.entity_freedom), (tied.inflation * by_block, tied.block_freedom))
    return Estimate(value, math.sqrt(total), freedom)


def variance(statistic: Measure, clusters: IntArray, *, resamples: int, seed: int) -> float:
    """Return the bootstrap variance of a statistic over whole clusters.

    A resample draws as many clusters as there are, with replacement; a row's weight is how often its cluster was drawn.
    The variance is multiplied by `G / (G - 1)` for G clusters, which for a mean makes it unbiased. Resamples without a
    value (no row of one class) are left out; where more than 5 % have none, the variance is NaN.
    Infinite where there is one cluster only.
    """
    _, code = np.unique(clusters, return_inverse=True)
    count = int(code.max()) + 1
    if count < 2:
        return math.inf
    generator = np.random.default_rng(seed)
    size = max(1, BATCH // code.size)
    batches = [min(size, resamples - start) for start in range(0, resamples, size)]
    found = np.concatenate([statistic(_counts(generator, count, batch)[:, code]) for batch in batches])
    defined = found[np.isfinite(found)]
    if defined.size < DEFINED_SHARE * resamples:
        return math.nan
    return float(defined.var(ddof=1)) * count / (count - 1)


def _counts(generator: np.random.Generator, count: int, resamples: int) -> FloatArray:
    """Return how often each of `count` clusters is drawn in each resample, shape (resamples, count)."""
    drawn = generator.integers(0, count, (resamples, count)) + count * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)


def _entity_freedom(scored: Scored) -> float:
    """Return one less than the entities, or than those that carry the rarer of two labels; at least 1."""
    entities = [np.unique(scored.entity).size]
    if scored.kind == "binary":
        entities = [np.unique(scored.entity[scored.label == side]).size for side in (0.0, 1.0)]
    return float(max(1, min(entities) - 1))


def _of_blocks(day: IntArray, *, horizon_days: int) -> tuple[float, float]:
    """Return φ and the degrees of freedom of a variance by blocks of `horizon_days`.

    An effect of the days of the labels makes the days of the holdout correlate by the share of days that their labels
    share, `Γ = max(0, 1 - |d - d'| / horizon)`. For day shares s the variance of the mean effect is `s'Γs`; that by
    blocks B is `G/(G-1) · Σ_B (c_B'b)²`, where c_B holds the shares of the days in B, less the share of B times s. φ is
    the first over the mean of the second. Of the quadratic form `b'Ab` the degrees of freedom are
    `tr(AΓ)² / tr(AΓAΓ)`.
    """
    days, rows = np.unique(day, return_counts=True)
    share = rows / rows.sum()
    gamma = np.maximum(0.0, 1 - np.abs(days[:, None] - days[None, :]) / horizon_days)
    block = (days - days[0]) // horizon_days
    inside = (block[None, :] == np.unique(block)[:, None]).astype(np.float64) * share
    contrast = inside - inside.sum(axis=1, keepdims=True) * share
    count = inside.shape[0]
    spread = contrast.T @ contrast @ gamma
    mean = float(np.trace(spread)) * count / (count - 1)
    freedom = float(np.trace(spread)) ** 2 / float(np.trace(spread @ spread))
    return float(share @ gamma @ share) / mean, freedom


def _satterthwaite(total: float, *parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a variance of independent parts, `V² / Σ (V_i² / f_i)`; at least 1."""
    if not 0 < total < math.inf:
        return 1.0
    return max(1.0, total**2 / sum(part**2 / freedom for part, freedom in parts))
