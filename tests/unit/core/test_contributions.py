"""What each feature adds to a score: it adds up, is fair, and does not depend on luck."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.core import contributions, frames, pipelines
from perennial.core.contributions import shapley
from perennial.core.pipelines import Recipe

SEEDS = st.integers(0, 2**32 - 1)
FEATURES = st.integers(1, 6)


def table(features: int, seed: int) -> np.ndarray:
    """Return a value for each set of features, whatever interactions that makes."""
    return np.random.default_rng(seed).normal(size=2**features)


def looked_up(values: np.ndarray):
    """Return the values as a function of sets."""
    return lambda sets: values[(sets * 2 ** np.arange(sets.shape[1])).sum(axis=1)]


def pairwise(features: int, seed: int):
    """Return a value made of single features and of pairs of them."""
    generator = np.random.default_rng(seed)
    single, pair = generator.normal(size=features), generator.normal(size=(features, features))
    return lambda sets: sets @ single + np.einsum("si,ij,sj->s", sets, pair, sets.astype(float))


def exact(value, features: int) -> np.ndarray:
    """Return the Shapley values by their definition, over all sets."""
    found = np.zeros(features)
    for feature in range(features):
        others = [each for each in range(features) if each != feature]
        for size in range(features):
            weight = factorial(size) * factorial(features - size - 1) / factorial(features)
            for chosen in combinations(others, size):
                sets = np.zeros((2, features), dtype=bool)
                sets[:, list(chosen)] = True
                sets[1, feature] = True
                without, with_it = value(sets)
                found[feature] += weight * (with_it - without)
    return found


@given(FEATURES, SEEDS, SEEDS)
def test_the_parts_and_the_base_are_the_score(features: int, seed: int, draw: int):
    """Whatever the model, and whichever orders were drawn."""
    values = table(features, seed)
    found = shapley(looked_up(values), features, pairs=2, seed=draw)

    assert (found.base, found.score) == (values[0], values[-1])
    assert found.base + sum(found.values) == pytest.approx(found.score, abs=1e-9)


@given(st.integers(2, 6), SEEDS, SEEDS)
def test_a_feature_that_nothing_depends_on_adds_nothing(features: int, seed: int, draw: int):
    """Exactly nothing, without an error."""
    values = looked_up(table(features - 1, seed))
    found = shapley(lambda sets: values(sets[:, 1:]), features, pairs=3, seed=draw)

    assert (found.values[0], found.errors[0]) == (0.0, 0.0)


@given(FEATURES, SEEDS, SEEDS)
def test_one_pair_is_exact_where_at_most_two_features_work_together(features: int, seed: int, draw: int):
    """As is every pair, so that the error is none."""
    value = pairwise(features, seed)
    found = shapley(value, features, pairs=2, seed=draw)

    assert found.values == pytest.approx(exact(value, features), abs=1e-9)
    assert found.errors == pytest.approx([0.0] * features, abs=1e-9)


@given(st.integers(2, 6), SEEDS, SEEDS)
def test_features_that_work_alike_add_the_same(features: int, seed: int, draw: int):
    """The value does not change where the first two are exchanged."""
    value = pairwise(features, seed)
    swapped = [1, 0, *range(2, features)]
    found = shapley(lambda sets: value(sets) + value(sets[:, swapped]), features, pairs=2, seed=draw)

    assert found.values[0] == pytest.approx(found.values[1], abs=1e-9)


@settings(max_examples=20)
@given(SEEDS)
def test_many_pairs_come_as_near_as_their_errors_say(seed: int):
    """With interactions of all six: within six standard errors, of which the least is a hundredth."""
    value = looked_up(table(6, seed))
    found = shapley(value, 6, pairs=200, seed=1)

    off = np.abs(np.array(found.values) - exact(value, 6))
    assert (off <= 6 * np.maximum(found.errors, 0.01)).all()


def test_the_same_seed_gives_the_same_parts():
    """And each set is asked about once."""
    asked = []
    value = looked_up(table(5, 3))

    def counted(sets: np.ndarray) -> np.ndarray:
        asked.append({tuple(row) for row in sets.tolist()})
        assert len(asked[-1]) == len(sets)
        return value(sets)

    assert shapley(counted, 5, pairs=4, seed=9) == shapley(counted, 5, pairs=4, seed=9)
    assert len(asked) == 2


SPEND = np.linspace(0, 50, 40)


def frame(**columns: list | np.ndarray):
    """Return features as a model takes them; texts are those that begin with one."""
    rows = pa.table(columns)
    texts = [name for name in columns if pa.types.is_string(rows[name].type)]
    return frames.model_frame(rows, numeric=[name for name in columns if name not in texts], categorical=texts)


def people():
    """Return forty rows, some without a number and some without a text."""
    recency = [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0, 8.0] * 5
    return frame(recency=recency, spend=SPEND, town=["north", "south", None, "north"] * 10)


@pytest.mark.parametrize(
    ("kind", "estimator"),
    [
        ("binary", "sklearn.linear_model.LogisticRegression"),
        ("binary", "sklearn.ensemble.HistGradientBoostingClassifier"),
        ("binary", "lightgbm.LGBMClassifier"),
        ("number", "sklearn.linear_model.Ridge"),
        ("number", "sklearn.ensemble.HistGradientBoostingRegressor"),
        ("number", "lightgbm.LGBMRegressor"),
    ],
)
def test_each_kind_of_model_is_taken_apart(kind, estimator: str):
    """With missing numbers and texts, and one that the training never had; the parts add up to what it predicts."""
    rows, label = people(), (SPEND > 25).astype(np.float64) if kind == "binary" else 2 * SPEND
    recipe = Recipe("any", estimator, {}, ("recency", "spend"), ("town",), 7, kind)
    pipeline = pipelines.fit(recipe, rows, label)
    row = frame(recency=pa.array([None], pa.float64()), spend=[40.0], town=["east"])
    found = contributions.of_row(pipeline, row, rows, kind=kind, seed=7)

    (score,) = pipelines.scores(pipeline, row, kind=kind)
    assert found.score == pytest.approx(score, rel=1e-9)
    assert found.base == pytest.approx(pipelines.scores(pipeline, rows, kind=kind).mean(), rel=1e-9)
    assert found.base + sum(found.values) == pytest.approx(score, rel=1e-9)
    assert found == contributions.of_row(pipeline, row, rows, kind=kind, seed=7)


def test_a_linear_model_is_taken_apart_by_hand():
    """Each feature adds its weight times its distance from the background's mean."""
    recipe = Recipe("line", "sklearn.linear_model.LinearRegression", {}, ("x", "y"), (), 1, "number")
    background = frame(x=[0.0, 2.0, 4.0], y=[1.0, 1.0, 4.0])
    pipeline = pipelines.fit(recipe, background, 3 * background["x"].to_numpy() - background["y"].to_numpy())
    found = contributions.of_row(pipeline, frame(x=[5.0], y=[0.0]), background, kind="number", seed=1)

    assert (found.base, found.score) == (pytest.approx(4.0), pytest.approx(15.0))
    assert found.values == pytest.approx((9.0, 2.0))


def test_many_features_have_fewer_pairs(monkeypatch: pytest.MonkeyPatch):
    """So that an explanation never takes longer than so many predictions."""
    monkeypatch.setattr(contributions, "PREDICTIONS", 1000)
    told = []
    monkeypatch.setattr(contributions, "shapley", lambda value, features, **how: told.append(how["pairs"]))
    for features in (2, 5, 200):
        rows = frame(**{f"f{place}": np.zeros(50) for place in range(features)})
        contributions.of_row(None, rows.iloc[:1], rows, kind="number", seed=1)

    assert told == [5, 2, 2]
