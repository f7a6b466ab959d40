"""The shape of scores by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from perennial.core.responses import shapes
from perennial.modelling import Response
from perennial.records import Measure

SPREAD = np.linspace(0.01, 0.9, 1000)


def of(score: np.ndarray, name: str, *, kind: Any = "binary") -> Measure:
    """Return the measure of that name."""
    found = shapes(score, kind=kind, limits=Response(), least=50)
    return next(each for each in found if each.measure == name)


def mixed(value: float, many: int) -> np.ndarray:
    """Return a thousand scores, of which `many` are one value."""
    return np.r_[np.full(many, value), SPREAD[: 1000 - many]]


def test_scores_that_all_differ_have_no_finding():
    """Each has a thousandth of the rows."""
    found = shapes(SPREAD, kind="binary", limits=Response(), least=50)

    assert [(each.measure, each.value, each.over) for each in found] == [
        ("single score", 0.001, False), ("extremes", 0.0, False), ("spikes", 0.0, False)
    ]  # fmt: skip


@pytest.mark.parametrize(("many", "over"), [(300, False), (301, True)])
def test_one_score_for_too_many_rows(many: int, *, over: bool):
    """Three in ten is the limit, which is fine itself."""
    found = of(mixed(0.95, many), "single score")

    assert found.over is over
    assert not over or found.detail == "30% of 1,000 rows have the one score 0.95, limit 30%."


@pytest.mark.parametrize(("many", "over"), [(500, False), (501, True)])
def test_scores_at_an_extreme(many: int, *, over: bool):
    """Zero and one together; half is the limit."""
    half = many // 2
    score = np.r_[np.zeros(half), np.ones(many - half), SPREAD[: 1000 - many]]

    assert of(score, "extremes").over is over


def test_spikes_are_scores_that_many_rows_share():
    """Seven values of 100 rows each."""
    score = np.r_[np.repeat(np.arange(1, 8) / 10, 100), SPREAD[:300] / 7]

    assert of(score, "spikes").value == pytest.approx(0.7)
    assert of(score, "spikes").over
    assert not of(score, "single score").over


def test_a_number_has_its_own_extremes():
    """The least and the greatest score that is there; a model that says one number is at an extreme."""
    assert of(mixed(100.0, 600), "extremes", kind="number").over
    assert of(np.full(100, 7.0), "extremes", kind="number").value == 1
    assert not of(SPREAD, "extremes", kind="number").over


def test_too_few_scores_have_no_shape():
    """Forty-nine."""
    found = shapes(SPREAD[:49], kind="binary", limits=Response(), least=50)

    assert {(each.value, each.over, each.detail) for each in found} == {(None, False, "49 scores, 50 needed.")}
