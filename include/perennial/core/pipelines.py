"""From a spec's dotted path and parameters to a scikit-learn pipeline over raw features, nulls included."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from perennial.core.metrics import FloatArray
from perennial.core.tasks import TASKS, Task
from perennial.errors import DataError, SpecError, nearest
from perennial.spec import ESTIMATOR_PACKAGES, LabelKind

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

# Tasks run beside each other, and threads that wait for a busy core cost more than they save: on two loaded cores a
# boosting took 6.2 cpu-seconds with two threads and 1.1 with one. It also keeps sums in one order everywhere.
THREADS = 1
LIGHTGBM_SETTLED = {"n_jobs": THREADS, "verbose": -1, "deterministic": True, "force_row_wise": True}
MISSING = "(missing)"
UNKNOWN_CODE, MISSING_CODE = -1, -2
RAREST = 0.001
COLUMN = "column"  # stands where an estimator's path would


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that names one model before it has seen rows; with a `column` there is nothing to fit."""

    name: str
    estimator: str
    params: Mapping[str, Any]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    seed: int
    kind: LabelKind = "binary"
    column: str | None = None

    @property
    def task(self) -> Task:
        """Return what kind of label it is for."""
        return TASKS[self.kind]

    @property
    def features(self) -> tuple[str, ...]:
        """Return the columns the model looks at."""
        return (*self.numeric, *self.categorical)

    def with_params(self, params: Mapping[str, Any]) -> Recipe:
        """Return the recipe with further parameters of its estimator."""
        return replace(self, params={**self.params, **params})


@dataclass(frozen=True, slots=True)
class Column:
    """A baseline without an estimator: the value of one numeric feature is its prediction."""

    name: str
    column: str

    def predict(self, frame: pd.DataFrame) -> FloatArray:
        """Return the feature as it is.

        Raises:
            DataError: rows have no value.
        """
        values = frame[self.column].to_numpy(dtype=np.float64)
        absent = int(np.isnan(values).sum())
        if absent:
            raise DataError(
                f"baseline {self.name!r} predicts with the feature {self.column}, which is missing in {absent} of "
                f"{values.size} rows. Let features.sql give it a value, or name another column."
            )
        return values


Model: TypeAlias = "Pipeline | Column"


def build(recipe: Recipe) -> Pipeline:
    """Return the unfitted pipeline.

    Estimators that take missing numbers themselves get them as they are, without the columns that are constant or
    all null (HistGradientBoosting breaks on the latter), and categories as ordinal codes
    (unknown -1, missing -2). All others get medians in place of missing numbers, numbers scaled to variance
    1, and categories one-hot, missing as a category of its own and unknown as all zero.

    Raises:
        SpecError: the path names no estimator of sklearn or lightgbm for such a label, or it does not know a
            parameter.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.utils import get_tags

    estimator = make_estimator(recipe)
    native = get_tags(estimator).input_tags.allow_nan
    steps = [
        ("numeric", _varying() if native else _scaled(), list(recipe.numeric)),
        ("categorical", _ordinal() if native else _one_hot(), list(recipe.categorical)),
    ]
    prepare = ColumnTransformer([step for step in steps if step[2]] or [("nothing", "passthrough", [])])
    return Pipeline([("prepare", prepare), ("model", estimator)])


def make_estimator(recipe: Recipe) -> Any:
    """Return the unfitted estimator with its seed; LightGBM also with fixed threads and without log lines."""
    kind = _estimator_class(recipe)
    known = kind().get_params() | (LIGHTGBM_SETTLED if recipe.estimator.startswith("lightgbm.") else {})
    for name in recipe.params:
        if name not in known:
            raise SpecError(f"{recipe.name}: {recipe.estimator} has no parameter {name!r}. {nearest(name, known)}")
    if recipe.estimator.startswith("lightgbm."):
        return kind(**{"random_state": recipe.seed, **LIGHTGBM_SETTLED, **recipe.params})
    settled = {"random_state": recipe.seed} if "random_state" in known else {}
    return kind(**{**settled, **recipe.params})


def fit(recipe: Recipe, frame: pd.DataFrame, label: FloatArray) -> Model:
    """Return the fitted pipeline, or the column that needs no fitting.

    Raises:
        SpecError: the estimator refuses its parameters or its columns; the reason is scikit-learn's own.
    """
    if recipe.column is not None:
        return Column(recipe.name, recipe.column)
    pipeline = build(recipe)
    try:
        with _few_threads(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the variance of a column of nulls
            return pipeline.fit(frame, recipe.task.target(label))
    except (ValueError, TypeError) as error:  # scikit-learn's own kinds for a parameter it does not take
        raise SpecError(
            f"{recipe.name}: {recipe.estimator} cannot be fitted with params {dict(recipe.params)} on "
            f"{frame.shape[0]} rows and {frame.shape[1]} features: {error}"
        ) from error


def scores(pipeline: Model, frame: pd.DataFrame, *, kind: LabelKind) -> FloatArray:
    """Return one score a row: the probability of the label 1, or the number predicted."""
    if isinstance(pipeline, Column):
        return pipeline.predict(frame)
    with _few_threads():
        return TASKS[kind].predict(pipeline, frame)


def importances(
    pipeline: Model, frame: pd.DataFrame, label: FloatArray, *, seed: int, kind: LabelKind = "binary"
) -> dict[str, float]:
    """Return how much worse the scores get when one feature is shuffled, most important first.

    Worse is ROC AUC lost, for a number mean absolute error gained. Permutation works on the raw features and for
    every estimator alike; correlated features share their importance.
    """
    generator = np.random.default_rng(seed)
    ones, loss = np.ones(label.size), TASKS[kind].loss
    whole = float(loss(label, scores(pipeline, frame, kind=kind))(ones))
    gained: dict[str, float] = {}
    for name in frame.columns:
        shuffled = frame.assign(**{name: frame[name].to_numpy()[generator.permutation(label.size)]})
        gained[str(name)] = float(loss(label, scores(pipeline, shuffled, kind=kind))(ones)) - whole
    return dict(sorted(gained.items(), key=lambda item: -item[1]))


def _estimator_class(recipe: Recipe) -> type[Any]:
    """Return the class a dotted path names, or refuse it."""
    module_name, _, class_name = recipe.estimator.rpartition(".")
    if not recipe.estimator.startswith(ESTIMATOR_PACKAGES):
        raise SpecError(f"{recipe.name}: estimator {recipe.estimator!r} must come from sklearn or lightgbm.")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise SpecError(
            f"{recipe.name}: there is no module {module_name!r} for estimator {recipe.estimator!r}."
        ) from error
    kind = getattr(module, class_name, None)
    if not recipe.task.takes(kind):
        choices = [name for name in dir(module) if recipe.task.suggests(name)]
        raise SpecError(
            f"{recipe.name}: {recipe.estimator!r} is no {recipe.task.estimator}, which label.kind {recipe.kind!r} "
            f"needs. {nearest(class_name, choices)}"
        )
    return cast("type[Any]", kind)


def _few_threads() -> AbstractContextManager[object]:
    """Hold every numerical library to as many threads as are used everywhere."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(THREADS)
    return limits


def _varying() -> Any:
    """Return the columns that hold two or more values."""
    from sklearn.feature_selection import VarianceThreshold

    return VarianceThreshold()


def _scaled() -> Pipeline:
    """Return medians for missing numbers, then variance 1."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    # An all-null column has no median; keeping it as 0 keeps the model's columns those of the spec.
    return Pipeline([("fill", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())])


def _one_hot() -> Pipeline:
    """Return one column a category; a category in fewer than one row of a thousand joins the rare ones."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    fill = SimpleImputer(strategy="constant", fill_value=MISSING, missing_values=np.nan, keep_empty_features=True)
    return Pipeline(
        [("fill", fill), ("code", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RAREST))]
    )


def _ordinal() -> Any:
    """Return a code a category."""
    from sklearn.preprocessing import OrdinalEncoder

    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=UNKNOWN_CODE, encoded_missing_value=MISSING_CODE
    )
