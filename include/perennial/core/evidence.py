"""What the gates are judged on: the models' scores on one holdout, and what was measured beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from perennial.core.metrics import BoolArray, FloatArray, Measure, Scored, evaluate, measure
from perennial.core.resampling import Ties, Unit, ties
from perennial.spec import Value

if TYPE_CHECKING:
    import pandas as pd

Predict = Callable[["pd.DataFrame"], FloatArray]


@dataclass(frozen=True, slots=True)
class Contender:
    """A model's holdout scores, its contact share, what a contact is worth, and its metrics on those rows.

    Share and value are None where there is no money in it.
    """

    scored: Scored
    share: float | None
    value: Value | None
    metrics: Mapping[str, float]

    def on(self, rows: BoolArray) -> Contender:
        """Return the same model on some of the rows, by whole days, measured again."""
        cut = self.scored.on(rows)
        return replace(self, scored=cut, metrics=evaluate(cut, value=self.value, share=self.share))

    def measure(self, metric: str) -> Measure:
        """Return the metric of this model as a function of row weights."""
        return measure(metric, self.scored, value=self.value, share=self.share)


@dataclass(frozen=True, slots=True)
class Rows:
    """The holdout's features, and how the challenger answers.

    Attributes:
        frame: a row a holdout row, with the columns that the challenger or a gate looks at.
        numeric: those of its features that are numbers.
        categorical: those that are texts.
        predict: the challenger's score of each row of such a frame.
        excused: features that may tell the label almost alone.
    """

    frame: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    predict: Predict
    excused: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        """Return the columns that the challenger looks at."""
        return (*self.numeric, *self.categorical)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the artifact costs as the registry gives it: milliseconds of single-row calls, and its bytes."""

    milliseconds: tuple[float, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a challenger is judged on.

    Attributes:
        challenger: on the holdout rows.
        champion: on the rows of `beside`; None where nothing is in production yet, or where it knows too many rows.
        baselines: metrics of each baseline of the challenger's training, on the same rows.
        horizon_days: how many days the label of a day looks at.
        seed: of everything that is drawn.
        rows: the features; None where no gate looks at them.
        rivals: models of the same training on the same rows, which gates compare row by row.
        cost: what was timed; None where no gate asks.
        name: what the spec calls the challenger's candidate.
        unseen: which rows the champion was not trained on; None where these are all.
        seen: in words, which days the champion was trained on; empty where these are none of the holdout.
    """

    challenger: Contender
    champion: Contender | None
    baselines: Mapping[str, Mapping[str, float]]
    horizon_days: int
    seed: int
    rows: Rows | None = None
    rivals: Mapping[str, Contender] = field(default_factory=dict)
    cost: Cost | None = None
    name: str = ""
    unseen: BoolArray | None = None
    seen: str = ""

    def beside(self) -> Contender:
        """Return the challenger on the rows that neither it nor the champion was trained on."""
        return self.challenger if self.unseen is None else self.challenger.on(self.unseen)

    def frame(self) -> pd.DataFrame:
        """Return the features of these rows."""
        whole = self.features().frame
        return whole if self.unseen is None else whole[self.unseen]

    def ties(self, unit: Unit) -> Ties:
        """Return how the holdout rows hang together."""
        return ties(self.challenger.scored, horizon_days=self.horizon_days, unit=unit)

    def features(self) -> Rows:
        """Return the features.

        Raises:
            ValueError: they were not given; the caller forgot them.
        """
        if self.rows is None:
            raise ValueError("a gate looks at the holdout's features, and the evidence has none.")
        return self.rows
