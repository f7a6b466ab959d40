"""Slices: a group that is worse off is found, and many groups alone are no reason to find one."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.core import metrics, slices
from perennial.core.evidence import Contender, Evidence, Rows
from perennial.core.metrics import Scored
from perennial.spec import SliceGate
from statsmodels.stats.multitest import multipletests

from benchmarks.gate_worlds import SHARE, VALUE, View, World

WORLD = World(people=400, days=3)


def evidence(town: np.ndarray, *, seed: int = 1, spoilt: str | None = None) -> Evidence:
    """Return two models alike on people of towns; the challenger only guesses where the town is `spoilt`."""
    import pandas as pd

    drawn = WORLD.draw(View(), View(), seed=seed)
    frame = pd.DataFrame({"town": town[drawn.challenger.scored.entity]})
    challenger = drawn.challenger
    if spoilt is not None:
        inside = (frame["town"] == spoilt).to_numpy()
        score = np.where(inside, np.random.default_rng(seed).random(inside.size), challenger.scored.score)
        scored = Scored(challenger.scored.label, score, challenger.scored.day, challenger.scored.entity)
        challenger = Contender(scored, SHARE, VALUE, metrics.evaluate(scored, value=VALUE, share=SHARE))
    return replace(drawn, challenger=challenger, rows=Rows(frame, (), ("town",), lambda rows: np.zeros(len(rows))))


TOWNS = np.array(["north", "south", "west", "east"])[np.arange(400) % 4]
GATE = SliceGate(slices=("town",), metric="roc_auc", no_worse_than_champion_by=0.02, min_rows=100, resamples=200)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "expected_profit"])
def test_a_town_that_is_worse_off_is_named(metric: str):
    """The model guesses in the west, and is as ever elsewhere."""
    found = slices.by_slices(GATE.model_copy(update={"metric": metric}), evidence(TOWNS, spoilt="west"))

    assert found is not None
    assert (found.passed, found.parts[0].name, len(found.parts)) == (False, "town west", 4)
    assert "most doubtful: town west" in found.detail


def test_models_alike_pass_in_every_town_as_often_as_stated():
    """Four towns at once with 90 %: at most one comparison in ten finds a loser among equals."""
    draws = 60
    gate = GATE.model_copy(update={"no_worse_than_champion_by": 0.0, "resamples": 100})
    outcomes = [slices.by_slices(gate, evidence(TOWNS, seed=seed)) for seed in range(draws)]
    failed = sum(not found.passed for found in outcomes if found)

    assert failed / draws <= 0.1 + 3 * (0.1 * 0.9 / draws) ** 0.5


def test_small_slices_are_left_out_and_named():
    """Thirty rows say nothing about a town."""
    towns = np.where(np.arange(400) < 10, "hamlet", "city")
    found = slices.by_slices(GATE, evidence(towns))

    assert found is not None
    assert [part.name for part in found.parts] == ["town city"]
    assert "too few rows or labels in town hamlet" in found.detail


def test_without_a_champion_nobody_is_worse_off():
    """The gate is left out."""
    assert slices.by_slices(GATE, replace(evidence(TOWNS), champion=None)) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p: list[float]):
    """Whatever the p-values."""
    with patch("gc.collect"):  # which statsmodels calls each time, and which takes a second in a large process
        expected = multipletests(p, method="holm")[1]

    assert slices.holm(np.array(p)) == pytest.approx(expected)


def test_groups_of_texts_numbers_and_gaps():
    """Texts and few numbers by value, many numbers by quartile, gaps as a group of their own."""
    import pandas as pd

    texts = slices.groups(pd.Series(["a", None, "b"], dtype="str"))
    few = slices.groups(pd.Series([1.0, 2.0, np.nan]))
    many = slices.groups(pd.Series(np.arange(100.0)))

    assert list(texts) == ["(missing)", "a", "b"]
    assert list(few) == ["(missing)", "1", "2"]
    assert [int(inside.sum()) for inside in many.values()] == [25, 25, 25, 25]
