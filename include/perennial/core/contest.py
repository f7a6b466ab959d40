"""Let baselines and candidates compete on the validation rows, and measure the winner once on the holdout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.core import frames, metrics, pipelines, search
from perennial.core.metrics import FloatArray, IntArray, Scored
from perennial.core.pipelines import COLUMN, Recipe
from perennial.core.search import Found
from perennial.errors import SpecError
from perennial.spec import METRICS, Baseline, Candidate, LabelKind, Range, Search, UseCase

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from perennial.core.pipelines import Model

Counted = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one part: features, labels, and which rows share a day or an entity."""

    frame: pd.DataFrame
    label: FloatArray
    day: IntArray
    entity: IntArray
    kind: LabelKind

    @classmethod
    def of(cls, rows: pa.Table, case: UseCase) -> Part:
        """Return the part that labelled rows make."""
        features = case.features
        return cls(
            frames.model_frame(rows, numeric=features.numeric, categorical=features.categorical),
            frames.numbers(rows[case.label.column]),
            frames.day_numbers(rows["day"]),
            frames.codes(rows[case.entity]),
            case.label.kind,
        )

    def scored_by(self, pipeline: Model, features: Sequence[str]) -> Scored:
        """Return the labels beside the model's scores."""
        score = pipelines.scores(pipeline, self.frame[list(features)], kind=self.kind)
        return Scored(self.label, score, self.day, self.entity, self.kind)


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model fitted on the fit rows: what it reaches on validation, and the share to contact chosen there.

    The share is None where the spec has no `value`.
    """

    recipe: Recipe
    pipeline: Model
    metrics: Mapping[str, float]
    share: float | None
    found: Found
    is_baseline: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A model fitted on fit and validation rows, and its scores on the holdout."""

    pipeline: Model
    scored: Scored
    metrics: Mapping[str, float]


class Contest:
    """One competition.

    Args:
        case: names the candidates, the baselines, the metric and what a contact is worth.
        fit: the rows to fit on.
        validation: the rows to choose on; later than the fit rows.
        counted: told the name of a model each time one has been fitted.
    """

    def __init__(self, case: UseCase, *, fit: Part, validation: Part, counted: Counted) -> None:
        self._case = case
        self._fit = fit
        self._validation = validation
        self._counted = counted

    def check(self) -> None:
        """Refuse a model that cannot be built, before any time is spent on the others.

        Raises:
            SpecError: a path or a parameter is wrong.
        """
        training = self._case.training
        models: list[Candidate | Baseline] = [*training.baselines, *training.candidates]
        for model in models:
            recipe = recipe_of(model, self._case)
            if recipe.column is None:
                pipelines.build(recipe)

    def enter(self, model: Candidate | Baseline, *, budget: Search) -> Entrant:
        """Search a candidate's parameters within its budget and return its best form; a baseline is only fitted."""
        recipe = recipe_of(model, self._case)
        best: dict[str, Entrant] = {}

        def objective(params: Mapping[str, Any]) -> float:
            entrant = self._try(recipe.with_params(params), is_baseline=isinstance(model, Baseline))
            reached = entrant.metrics[self._case.training.metric]
            if not best or better(reached, best["is"].metrics[self._case.training.metric], self._case.training.metric):
                best["is"] = entrant
            return reached

        space: Mapping[str, Range] = model.search if isinstance(model, Candidate) else {}
        training = self._case.training
        found = search.search(objective, space, metric=training.metric, budget=budget, seed=training.seed)
        chosen = best["is"]
        return Entrant(chosen.recipe, chosen.pipeline, chosen.metrics, chosen.share, found, chosen.is_baseline)

    def _try(self, recipe: Recipe, *, is_baseline: bool) -> Entrant:
        """Return a model fitted on the fit rows and measured on the validation rows."""
        value = self._case.value
        pipeline = pipelines.fit(recipe, self._fit.frame[list(recipe.features)], self._fit.label)
        scored = self._validation.scored_by(pipeline, recipe.features)
        share = None if value is None else metrics.best_share(scored, value=value)
        reached = metrics.evaluate(scored, value=value, share=share)
        self._counted(recipe.name)
        return Entrant(recipe, pipeline, reached, share, Found({}, 0.0), is_baseline)


def recipe_of(model: Candidate | Baseline, case: UseCase) -> Recipe:
    """Return the recipe of a candidate on all features, or of a baseline on its own few or its one column."""
    features = case.features
    column = model.column if isinstance(model, Baseline) else None
    names = features.columns if isinstance(model, Candidate) else (column,) if column else model.features
    return Recipe(
        name=model.name,
        estimator=model.estimator or COLUMN,
        params=model.params,
        numeric=tuple(name for name in features.numeric if name in names),
        categorical=tuple(name for name in features.categorical if name in names),
        seed=case.training.seed,
        kind=case.label.kind,
        column=column,
    )


def best_candidate(entrants: Sequence[Entrant], *, metric: str) -> Entrant:
    """Return the candidate with the best validation metric; of equals the first that the spec names.

    Raises:
        SpecError: no candidate has a metric that is a number.
    """
    chosen: Entrant | None = None
    for entrant in entrants:
        reached = entrant.metrics[metric]
        if entrant.is_baseline or math.isnan(reached):
            continue
        if chosen is None or better(reached, chosen.metrics[metric], metric):
            chosen = entrant
    if chosen is None:
        raise SpecError(f"No candidate has a {metric} on the validation rows; name another training.metric.")
    return chosen


def better(first: float, second: float, metric: str) -> bool:
    """Tell whether the first value of a metric is better than the second; equal is not better."""
    return first > second if METRICS[metric] else first < second


def finish(entrant: Entrant, *, refit_on: Part, holdout: Part, case: UseCase) -> Finished:
    """Fit an entrant's recipe again on fit and validation rows and measure it on the holdout.

    The share of households to contact stays the one chosen on validation: the holdout chooses nothing.
    """
    return refit(entrant.recipe, entrant.share, refit_on=refit_on, holdout=holdout, case=case)


def refit(recipe: Recipe, share: float | None, *, refit_on: Part, holdout: Part, case: UseCase) -> Finished:
    """Fit a recipe on fit and validation rows and measure it on the holdout, contacting that share."""
    features = list(recipe.features)
    pipeline = pipelines.fit(recipe, refit_on.frame[features], refit_on.label)
    scored = holdout.scored_by(pipeline, features)
    return Finished(pipeline, scored, metrics.evaluate(scored, value=case.value, share=share))
