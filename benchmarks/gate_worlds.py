"""Holdouts whose truth is known, with the dependence of real ones, to hold the gates' statistics against.

A world has people with habits, calendar days with moods, and events: on day t person i has an event with the chance
`Φ(intercept + 0.8 · habit_i + mood_t)`. The label of the snapshot of day d is whether there is one within `horizon`
days after it, so labels of neighbouring snapshots share days: of one person because the habit stays, of all because
moods are everybody's. A model's score is the label's chance from a noisy view of the habit: an error for each person
(the same every day, as slowly moving features make it), one for each day (the same for everybody), one for each row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from perennial.core import metrics
from perennial.core.evidence import Contender, Evidence
from perennial.core.metrics import Scored
from perennial.spec import Value

VALUE = Value(currency="EUR", conversion=10.0, contact=2.0)
SHARE = 0.3


@dataclass(frozen=True, slots=True)
class View:
    """How a model errs: standard deviations of its errors by person, by day and by row."""

    person: float = 0.7
    day: float = 0.0
    row: float = 0.3


@dataclass(frozen=True, slots=True)
class World:
    """What a holdout is like.

    Attributes:
        people: entities.
        days: snapshot days.
        every: days between two of them.
        horizon: days that a label looks at.
        mood: standard deviation of the calendar days.
        intercept: how rare events are.
    """

    people: int = 200
    days: int = 5
    every: int = 3
    horizon: int = 15
    mood: float = 0.0
    intercept: float = -2.5

    def draw(self, challenger: View, champion: View, *, seed: int) -> Evidence:
        """Return one holdout scored by both models."""
        models = [
            Contender(scored, SHARE, VALUE, metrics.evaluate(scored, value=VALUE, share=SHARE))
            for scored in self.scores(challenger, champion, seed=seed)
        ]
        return Evidence(models[0], models[1], {}, self.horizon, seed)

    def scores(self, challenger: View, champion: View, *, seed: int) -> tuple[Scored, Scored]:
        """Return the same rows as each of the models scores them."""
        from scipy.special import ndtr

        generator = np.random.default_rng(seed)
        habit = generator.normal(size=self.people)
        snapshots = np.arange(self.days) * self.every
        mood = self.mood * generator.normal(size=int(snapshots[-1]) + self.horizon + 1)
        rate = ndtr(self.intercept + 0.8 * habit[:, None] + mood)
        happens = generator.random(rate.shape) < rate
        label = np.stack([happens[:, day + 1 : day + 1 + self.horizon].any(axis=1) for day in snapshots], axis=1)
        first = self._scored(generator, habit, label, snapshots, challenger)
        return first, self._scored(generator, habit, label, snapshots, champion)

    def _scored(
        self, generator: np.random.Generator, habit: np.ndarray, label: np.ndarray, snapshots: np.ndarray, view: View
    ) -> Scored:
        from scipy.special import ndtr

        shape = (self.people, self.days)
        errors = view.person * generator.normal(size=(self.people, 1)) + view.day * generator.normal(size=self.days)
        seen = habit[:, None] + errors + view.row * generator.normal(size=shape)
        score = 1 - (1 - ndtr(self.intercept + 0.8 * seen)) ** self.horizon
        return Scored(
            label.astype(np.float64).ravel(),
            score.ravel(),
            np.tile(snapshots, self.people),
            np.repeat(np.arange(self.people), self.days),
        )
