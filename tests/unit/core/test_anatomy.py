"""Fingerprints of fitted models: equal for equal fits, and a difference has its attribute."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from perennial.core import anatomy

FIT = """
import json, sys
import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from perennial.core import anatomy, pipelines
rows = np.random.default_rng(0).normal(size=(300, 3))
label = (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)
name, params = sys.argv[1], json.loads(sys.argv[2])
recipe = pipelines.Recipe("x", name, params, (), (), seed=3)
model = Pipeline([("scale", StandardScaler()), ("model", pipelines.make_estimator(recipe))]).fit(rows, label)
print(json.dumps(anatomy.parts(model)))
"""
ESTIMATORS = [
    ("sklearn.linear_model.LogisticRegression", "{}"),
    ("sklearn.ensemble.HistGradientBoostingClassifier", '{"max_iter": 5}'),
    ("sklearn.ensemble.RandomForestClassifier", '{"n_estimators": 3}'),
    ("sklearn.ensemble.GradientBoostingClassifier", '{"n_estimators": 3}'),
    ("lightgbm.LGBMClassifier", '{"n_estimators": 3}'),
]


def parts_elsewhere(estimator: str, params: str, *, hashing: str) -> str:
    """Return the parts of a model that another process fits."""
    command = [sys.executable, "-c", FIT, estimator, params]
    done = subprocess.run(command, env={"PYTHONHASHSEED": hashing}, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(("estimator", "params"), ESTIMATORS, ids=[name.split(".")[-1] for name, _ in ESTIMATORS])
def test_two_processes_fit_the_same_model(estimator: str, params: str):
    """Where things lie in memory, and how texts are hashed, does not show."""
    first, second = (parts_elsewhere(estimator, params, hashing=seed) for seed in "12")

    assert first == second


class Step:
    """A step with given attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Fitted:
    """A pipeline of one step."""

    def __init__(self, **attributes: Any) -> None:
        self.steps = [("model", Step(**attributes))]


def record(padding: int) -> np.ndarray[Any, Any]:
    """Return a record whose unused byte holds something."""
    kind = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [0, 8], "itemsize": 16})
    memory = np.full(32, padding, dtype=np.uint8)
    rows = memory.view(kind)
    rows["a"], rows["b"] = 1, 2.5
    return rows


SAME = [
    (record(0), record(255)),
    ({1, 2, 3}, {3, 1, 2}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (np.array(["x", None], dtype=object), np.array(["x", None], dtype=object)),
    (float("nan"), float("nan")),
]
OTHER = [
    (1, 1.0),
    (1, "1"),
    (np.array([1.0, 2.0]), np.array([1.0, np.nextafter(2.0, 3.0)])),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (["ab", "c"], ["a", "bc"]),
    ([], None),
    (np.random.RandomState(1), np.random.RandomState(2)),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_the_same_values_have_the_same_fingerprint(one: Any, two: Any):
    """The padding of records and the order of sets and mappings do not count."""
    assert anatomy.parts(Fitted(x=one)) == anatomy.parts(Fitted(x=two))


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_other_values_have_another_one(one: Any, two: Any):
    """Types, shapes and the last bit count."""
    assert anatomy.parts(Fitted(x=one, y=1)).keys() == {"model.x", "model.y"}
    assert anatomy.parts(Fitted(x=one)) != anatomy.parts(Fitted(x=two))


def test_what_is_part_of_itself_ends():
    """A list that holds itself, as a parent that its child knows."""
    loop: list[Any] = [1]
    loop.append(loop)

    assert len(anatomy.parts(Fitted(x=loop))["model.x"]) == 64
