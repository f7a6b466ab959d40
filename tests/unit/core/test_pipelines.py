"""Pipelines from the spec: what they take, and which paths and parameters are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from perennial.core import pipelines
from perennial.core.pipelines import Recipe
from perennial.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd

LINEAR = "sklearn.linear_model.LogisticRegression"
BOOSTED = "sklearn.ensemble.HistGradientBoostingClassifier"
LIGHTGBM = "lightgbm.LGBMClassifier"


def recipe(estimator: str, **fields: Any) -> Recipe:
    """Return a recipe on two numbers and a category."""
    plain: dict[str, Any] = {"name": "one", "params": {}, "numeric": ("a", "b"), "categorical": ("c",), "seed": 3}
    return Recipe(estimator=estimator, **plain | fields)


@pytest.fixture(scope="module")
def learnt() -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows with nulls everywhere, and a label that follows `a`."""
    import pandas as pd

    generator = np.random.default_rng(0)
    a = generator.normal(size=400)
    frame = pd.DataFrame(
        {
            "a": a,
            "b": np.where(generator.random(400) < 0.3, np.nan, generator.normal(size=400)),
            "c": pd.Series([None if i % 5 == 0 else "xyz"[i % 3] for i in range(400)], dtype="str"),
        }
    )
    return frame, (a + 0.3 * generator.normal(size=400) > 0).astype(float)


@pytest.mark.parametrize("estimator", [LINEAR, BOOSTED, LIGHTGBM])
def test_nulls_and_unknown_categories_are_no_error(estimator: str, learnt: tuple[pd.DataFrame, np.ndarray]):
    """In training and afterwards, in numbers and categories alike, and a column of nulls too."""
    import pandas as pd

    frame, label = learnt
    fitted = pipelines.fit(recipe(estimator), frame.assign(b=np.nan), label)
    strange = pd.DataFrame({"a": [1.0, np.nan], "b": [5.0, np.nan], "c": pd.Series(["never seen", None], dtype="str")})
    score = pipelines.scores(fitted, strange, kind="binary")

    assert ((score >= 0) & (score <= 1)).all()


@pytest.mark.parametrize("estimator", [LINEAR, BOOSTED, LIGHTGBM])
def test_equal_seeds_give_equal_scores(estimator: str, learnt: tuple[pd.DataFrame, np.ndarray]):
    """To the last bit, so that a training can be reproduced."""
    frame, label = learnt
    twice = [pipelines.scores(pipelines.fit(recipe(estimator), frame, label), frame, kind="binary") for _ in range(2)]

    assert np.array_equal(*twice)


def test_a_baseline_without_features_is_a_constant(learnt: tuple[pd.DataFrame, np.ndarray]):
    """The base rate, for everyone."""
    frame, label = learnt
    dummy = recipe("sklearn.dummy.DummyClassifier", numeric=(), categorical=())
    score = pipelines.scores(pipelines.fit(dummy, frame[[]], label), frame[[]], kind="binary")

    assert np.allclose(score, label.mean())


def test_the_feature_that_matters_is_the_most_important(learnt: tuple[pd.DataFrame, np.ndarray]):
    """The label follows `a` alone."""
    frame, label = learnt
    fitted = pipelines.fit(recipe(LINEAR), frame, label)
    lost = pipelines.importances(fitted, frame, label, seed=0)

    assert next(iter(lost)) == "a"
    assert lost["a"] > 0.3
    assert abs(lost["b"]) < 0.05


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        ("os.system", {}, "must come from sklearn or lightgbm"),
        ("sklearn.linear_models.LogisticRegression", {}, "no module 'sklearn.linear_models'"),
        ("sklearn.linear_model.LogisticRegresion", {}, "Did you mean 'LogisticRegression'"),
        ("sklearn.linear_model.LinearRegression", {}, "no classifier with probabilities"),
        ("sklearn.utils.check_array", {}, "no classifier with probabilities"),
        (LINEAR, {"max_iters": 5}, "no parameter 'max_iters'. Did you mean 'max_iter'"),
        (LIGHTGBM, {"leaves": 5}, "no parameter 'leaves'"),
        (LINEAR, {"C": -1.0}, "cannot be fitted with params"),
    ],
)
def test_a_wrong_path_or_parameter_is_the_authors_error(
    estimator: str, params: dict[str, Any], message: str, learnt: tuple[pd.DataFrame, np.ndarray]
):
    """Names the candidate, what is wrong, and the nearest right spelling."""
    frame, label = learnt

    with pytest.raises(SpecError, match=message):
        pipelines.fit(recipe(estimator, params=params), frame, label)


def test_an_estimator_without_features_that_needs_some_is_the_authors_error(learnt: tuple[pd.DataFrame, np.ndarray]):
    """A logistic regression on nothing."""
    frame, label = learnt

    with pytest.raises(SpecError, match="cannot be fitted"):
        pipelines.fit(recipe(LINEAR, numeric=(), categorical=()), frame[[]], label)
