"""Pipelines that predict numbers, and baselines that are a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from perennial.core import pipelines
from perennial.core.pipelines import COLUMN, Recipe
from perennial.errors import DataError, SpecError

if TYPE_CHECKING:
    import pandas as pd

REGRESSORS = {
    "sklearn.linear_model.Ridge": {},
    "sklearn.linear_model.PoissonRegressor": {"max_iter": 300},
    "sklearn.ensemble.HistGradientBoostingRegressor": {"loss": "poisson", "max_iter": 30},
    "lightgbm.LGBMRegressor": {"objective": "poisson", "n_estimators": 30},
    "sklearn.dummy.DummyRegressor": {},
}


def recipe(estimator: str, **fields: Any) -> Recipe:
    """Return a recipe for a number, on two numbers and a category."""
    plain: dict[str, Any] = {"name": "one", "params": {}, "numeric": ("a", "b"), "categorical": ("c",), "seed": 3}
    return Recipe(estimator=estimator, kind="number", **plain | fields)


@pytest.fixture(scope="module")
def counted() -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows with nulls, and counts that follow `a`."""
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
    return frame, generator.poisson(np.exp(1 + a)).astype(float)


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_regressors_predict_numbers_from_whatever_a_row_holds(estimator: str, counted: tuple[pd.DataFrame, np.ndarray]):
    """Nulls and unknown categories included, and equal seeds give equal predictions."""
    import pandas as pd

    frame, label = counted
    fitted = [pipelines.fit(recipe(estimator, params=REGRESSORS[estimator]), frame, label) for _ in range(2)]
    strange = pd.DataFrame({"a": [1.0, np.nan], "b": [5.0, np.nan], "c": pd.Series(["never seen", None], dtype="str")})
    predicted = [pipelines.scores(each, frame, kind="number") for each in fitted]

    assert np.array_equal(*predicted)
    assert predicted[0].mean() == pytest.approx(label.mean(), rel=0.1)
    assert np.isfinite(pipelines.scores(fitted[0], strange, kind="number")).all()


@pytest.mark.parametrize(
    ("estimator", "kind", "message"),
    [
        ("sklearn.linear_model.LogisticRegression", "number", "is no regressor, which label.kind 'number' needs"),
        ("sklearn.ensemble.HistGradientBoostingRegresor", "number", "Did you mean 'HistGradientBoostingRegressor'"),
        ("lightgbm.LGBMRegressor", "binary", "no classifier with probabilities, which label.kind 'binary' needs"),
    ],
)
def test_an_estimator_of_the_other_kind_is_the_authors_error(estimator: str, kind: str, message: str):
    """Says what the label needs, and the nearest right spelling."""
    with pytest.raises(SpecError, match=message):
        pipelines.build(Recipe("one", estimator, {}, ("a",), (), 0, kind))  # type: ignore[arg-type]


def test_the_feature_that_matters_costs_the_largest_error(counted: tuple[pd.DataFrame, np.ndarray]):
    """The counts follow `a` alone."""
    frame, label = counted
    fitted = pipelines.fit(recipe("sklearn.ensemble.HistGradientBoostingRegressor"), frame, label)
    gained = pipelines.importances(fitted, frame, label, seed=0, kind="number")

    assert next(iter(gained)) == "a"
    assert gained["a"] > 5 * abs(gained["c"])


def test_a_column_is_its_own_prediction(counted: tuple[pd.DataFrame, np.ndarray]):
    """Nothing is fitted, and nothing is changed."""
    frame, label = counted
    baseline = pipelines.fit(recipe(COLUMN, column="a", numeric=("a",), categorical=()), frame[["a"]], label)

    assert np.array_equal(pipelines.scores(baseline, frame[["a"]], kind="number"), frame["a"])


def test_a_column_with_gaps_predicts_nothing(counted: tuple[pd.DataFrame, np.ndarray]):
    """Names the baseline, the feature, and how many rows lack it."""
    frame, label = counted
    baseline = pipelines.fit(recipe(COLUMN, name="lately", column="b", numeric=("b",)), frame, label)
    absent = int(frame["b"].isna().sum())

    with pytest.raises(DataError, match=f"baseline 'lately' predicts with the feature b, .* {absent} of 400 rows"):
        pipelines.scores(baseline, frame, kind="number")
