"""The shape of scores by themselves: what a broken feature or a model without an answer does to it.

No label and no reference is needed, so it works from the first day on.

Source:
    Bernardi, Mavridis and Estevez (2019), 150 Successful Machine Learning Models: 6 Lessons Learned at Booking.com, KDD
    2019, 1743-1751, section 5.2, "Response Distribution Analysis": where labels are few, the histogram of the responses
    alone shows broken features and models.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from perennial.core.deviations import FloatArray
from perennial.modelling import LabelKind, Response
from perennial.records import Measure

SPIKE = 0.02  # of the rows with exactly one score
EDGE = 1e-6


def shapes(score: FloatArray, *, kind: LabelKind, limits: Response, least: int) -> tuple[Measure, ...]:
    """Return the share of the most frequent score, of those at an extreme, and of those in spikes.

    A share at its limit is not past it.

    Args:
        score: shape (rows,), finite.
        kind: of the label; a binary one has the extremes 0 and 1, a number its least and greatest score.
        limits: of the shares.
        least: fewer rows have no shape.
    """
    names = ("single score", "extremes", "spikes")
    if score.size < least:
        reason = f"{score.size} scores, {least} needed."
        return tuple(Measure("response", "score", name, None, detail=reason) for name in names)
    return tuple(_shapes(score, kind=kind, limits=limits))


def _shapes(score: FloatArray, *, kind: LabelKind, limits: Response) -> Iterator[Measure]:
    values, counts = np.unique(score, return_counts=True)
    shares = counts / score.size
    most, common = float(shares.max()), float(values[int(shares.argmax())])
    yield _held(
        "single score", most, limits.single, f"{most:.0%} of {score.size:,} rows have the one score {common:.4g}"
    )
    low, high = (0.0, 1.0) if kind == "binary" else (float(values[0]), float(values[-1]))
    at_low, at_high = (np.abs(score - low) <= EDGE).mean(), (np.abs(score - high) <= EDGE).mean()
    edge = float(max(at_low, at_high)) if kind != "binary" else float(at_low + at_high)
    said = f"{edge:.0%} of {score.size:,} scores lie at an extreme ({low:.4g} or {high:.4g})"
    yield _held("extremes", edge if values.size > 1 or kind == "binary" else 1.0, limits.extreme, said)
    spikes = shares[(shares >= SPIKE) & (counts > 1)]
    share = float(spikes.sum())
    yield _held("spikes", share, limits.spikes, f"{share:.0%} of {score.size:,} rows have one of {spikes.size} scores")


def _held(name: str, value: float, limit: float, said: str) -> Measure:
    over = value > limit
    return Measure(
        "response", "score", name, value, limit=limit, over=over, detail=f"{said}, limit {limit:.0%}." if over else ""
    )
