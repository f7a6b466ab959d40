"""What differs between a label that happens or not and one that is a number; all else asks the task.

A task knows which estimators it takes, what they are fitted to, how they predict, and what a shuffled feature costs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.core.deviations import FloatArray, Measure, mae
from perennial.core.metrics import roc_auc
from perennial.spec import LabelKind

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline


class Task(ABC):
    """One kind of label."""

    kind: ClassVar[LabelKind]
    estimator: ClassVar[str]
    importance: ClassVar[str]

    @abstractmethod
    def takes(self, kind: Any) -> bool:
        """Tell whether something is an estimator class for such a label."""

    @abstractmethod
    def suggests(self, name: str) -> bool:
        """Tell whether a class of that name is probably one."""

    @abstractmethod
    def target(self, label: FloatArray) -> NDArray[Any]:
        """Return the labels as estimators are fitted to them."""

    @abstractmethod
    def predict(self, pipeline: Pipeline, frame: pd.DataFrame) -> FloatArray:
        """Return one score a row."""

    @abstractmethod
    def loss(self, label: FloatArray, score: FloatArray) -> Measure:
        """Return what a shuffled feature makes larger."""


class Binary(Task):
    """The label is 0 or 1, a score the probability of 1."""

    kind = "binary"
    estimator = "classifier with probabilities"
    importance = "ROC AUC lost when shuffled"

    def takes(self, kind: Any) -> bool:
        """Tell whether it is a classifier that gives probabilities."""
        from sklearn.base import ClassifierMixin

        return isinstance(kind, type) and issubclass(kind, ClassifierMixin) and hasattr(kind, "predict_proba")

    def suggests(self, name: str) -> bool:
        """Tell whether it is named like a classifier."""
        return name.endswith("Classifier") or name == "LogisticRegression"

    def target(self, label: FloatArray) -> NDArray[Any]:
        """Return whole numbers, so that the classes are 0 and 1."""
        return label.astype(np.int64)

    def predict(self, pipeline: Pipeline, frame: pd.DataFrame) -> FloatArray:
        """Return each row's probability of the label 1."""
        column = list(pipeline.classes_).index(1)
        return np.asarray(pipeline.predict_proba(frame)[:, column], dtype=np.float64)

    def loss(self, label: FloatArray, score: FloatArray) -> Measure:
        """Return what lacks to a perfect ranking."""
        area = roc_auc(label, score)
        return lambda weights: 1 - area(weights)


class Number(Task):
    """The label is a number, a score the prediction of it."""

    kind = "number"
    estimator = "regressor"
    importance = "mean absolute error gained when shuffled"

    def takes(self, kind: Any) -> bool:
        """Tell whether it is a regressor."""
        from sklearn.base import RegressorMixin

        return isinstance(kind, type) and issubclass(kind, RegressorMixin)

    def suggests(self, name: str) -> bool:
        """Tell whether it is named like a regressor."""
        return name.endswith(("Regressor", "Regression", "Ridge", "Lasso", "ElasticNet"))

    def target(self, label: FloatArray) -> NDArray[Any]:
        """Return the numbers as they are."""
        return label

    def predict(self, pipeline: Pipeline, frame: pd.DataFrame) -> FloatArray:
        """Return each row's prediction."""
        return np.asarray(pipeline.predict(frame), dtype=np.float64)

    def loss(self, label: FloatArray, score: FloatArray) -> Measure:
        """Return the mean absolute error."""
        return mae(label, score)


TASKS: dict[LabelKind, Task] = {"binary": Binary(), "number": Number()}
