"""Builders of what the gates are judged on; a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from perennial.core.evidence import Contender, Evidence
from perennial.core.metrics import Scored


def measured(metric: str, value: float, *, baselines: Mapping[str, Mapping[str, float]] | None = None) -> Evidence:
    """Return evidence of a challenger alone that has the metric."""
    label = np.array([0.0, 1.0])
    scored = Scored(label, label, np.zeros(2, dtype=np.int64), np.arange(2))
    return Evidence(Contender(scored, None, None, {metric: value}), None, baselines or {}, 1, 0)


def both(challenger: Contender, champion: Contender | None, *, seed: int = 0) -> Evidence:
    """Return evidence of two models whose labels look at one day."""
    return Evidence(challenger, champion, {}, 1, seed)
