"""The search: seeded, within its budget, never worse than no search."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from perennial.core.search import search
from perennial.spec import Range, Search

SPACE = {
    "x": Range(low=0.0, high=10.0),
    "n": Range(low=1, high=9, integer=True),
    "kind": Range(choices=("a", "b")),
}


def far_from(params: Mapping[str, Any]) -> float:
    """Return a loss with its minimum at x = 3; without parameters it is 100."""
    return (params["x"] - 3.0) ** 2 + (params["kind"] == "b") if params else 100.0


def test_equal_seeds_search_alike():
    """And another seed does not."""
    budget = Search(trials=8, seconds=60)
    found = [search(far_from, SPACE, metric="log_loss", budget=budget, seed=seed) for seed in (1, 1, 2)]

    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[0].trials == 9


def test_the_searched_values_keep_their_kinds():
    """A whole number stays one, a choice is one of the choices."""
    found = search(far_from, SPACE, metric="log_loss", budget=Search(trials=3), seed=0)

    assert isinstance(found.params["n"], int)
    assert found.params["kind"] in {"a", "b"}
    assert 0 <= found.params["x"] <= 10


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_a_search_that_finds_nothing_better_keeps_the_candidates_own_parameters(metric: str):
    """Every trial is as good as the first: the first counts."""
    found = search(lambda _: 0.5, SPACE, metric=metric, budget=Search(trials=3), seed=0)

    assert dict(found.params) == {}


def test_seconds_end_a_search_and_say_so():
    """No new trial starts after the first second."""

    def slow(params: Mapping[str, Any]) -> float:
        time.sleep(0.4 if params else 0)
        return far_from(params)

    found = search(slow, SPACE, metric="log_loss", budget=Search(trials=500, seconds=1), seed=0)

    assert found.ended_by == "seconds"
    assert 2 <= found.trials <= 6


def test_without_a_space_nothing_is_searched():
    """One fit, the candidate's own parameters."""
    found = search(far_from, {}, metric="log_loss", budget=Search(trials=9), seed=0)

    assert (found.trials, found.value) == (1, 100.0)
