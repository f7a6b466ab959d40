"""Pictures: they are PNG, and equal curves give equal bytes."""

from __future__ import annotations

import numpy as np
from perennial.io import plots
from perennial.io.plots import Curve, Labels

LABELS = Labels("Title", "x", "y")


def test_equal_curves_give_equal_pictures():
    """No date in the file."""
    curve = Curve("one", np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** 2)
    drawn = [plots.lines([curve], LABELS, diagonal=True, mark=0.3) for _ in range(2)]

    assert drawn[0].startswith(b"\x89PNG")
    assert drawn[0] == drawn[1]


def test_bars_show_the_first_twenty():
    """More would not be read."""
    many = {f"feature {number}": 1.0 for number in range(40)}
    few = dict(list(many.items())[:20])

    assert plots.bars(many, LABELS) == plots.bars(few, LABELS)
