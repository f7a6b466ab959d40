"""Simulated features whose days are known to be calm, or moved by a known size: weekday, season, moods, entities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from perennial.core.metrics import FloatArray, IntArray
from perennial.io import counts


@dataclass(frozen=True, slots=True)
class Days:
    """One simulated reference, and the days after it.

    Attributes:
        reference: the reference's counts by day, shape (days, features, bins).
        days: the reference's days, shape (days,).
        later: the counts of the days to judge, shape (later days, features, bins).
        lags: how far they lie after the reference, shape (later days,).
        rows: of a day.
    """

    reference: IntArray
    days: IntArray
    later: IntArray
    lags: IntArray
    rows: int


@dataclass(frozen=True, slots=True)
class World:
    """How calm days differ; all effects are in standard deviations of a row.

    Attributes:
        days: of the reference.
        rows: of a day.
        features: that are watched.
        together: how much of a row's spread all features share.
        people: how much of it an entity keeps from day to day; a day's rows are the same entities.
        weekday: the spread of the weekdays' effects.
        season: the amplitude of a year's wave; each feature has its own phase.
        mood: the spread of what a day does to all its rows.
        lasting: by how much a day's mood is that of the day before.
    """

    days: int = 84
    rows: int = 400
    features: int = 20
    together: float = 0.5
    people: float = 0.0
    weekday: float = 0.0
    season: float = 0.0
    mood: float = 0.0
    lasting: float = 0.0

    def draw(self, *, seed: int, lag: int = 7, later: int = 7, moved: float = 0.0) -> Days:
        """Return a reference and `later` days from `lag` days after it on; `moved` shifts the first feature there."""
        generator = np.random.default_rng(seed)
        days = np.r_[np.arange(self.days), self.days - 1 + lag + np.arange(later)]
        effect = self._effects(days, generator)
        effect[self.days :, 0] += moved
        known = generator.normal(size=(self.rows, self.features))
        found = []
        for day in range(days.size):
            common = generator.normal(size=(self.rows, 1))
            new = np.sqrt(self.together) * common + np.sqrt(1 - self.together) * generator.normal(size=known.shape)
            found.append(effect[day] + np.sqrt(self.people) * known + np.sqrt(1 - self.people) * new)
        values = np.stack(found)
        return self._counted(values, days, lag=lag, later=later)

    def _effects(self, days: IntArray, generator: np.random.Generator) -> FloatArray:
        """Return what each day does to each feature, shape (days, features)."""
        shape = (int(days[-1]) + 1, self.features)
        mood = generator.normal(size=shape)
        for day in range(1, shape[0]):
            mood[day] = self.lasting * mood[day - 1] + np.sqrt(1 - self.lasting**2) * mood[day]
        weekday = generator.normal(size=(7, self.features))
        phase = generator.uniform(0, 2 * np.pi, size=self.features)
        wave = np.sin(2 * np.pi * np.arange(shape[0])[:, None] / 365 + phase)
        whole = self.mood * mood + self.weekday * weekday[np.arange(shape[0]) % 7] + self.season * wave
        return np.asarray(whole[days])

    def _counted(self, values: FloatArray, days: IntArray, *, lag: int, later: int) -> Days:
        """Return the counts in the bins of the reference's profile, as training and monitoring make them."""
        names = [f"x{place}" for place in range(self.features)]
        columns = {name: values[:, :, place].ravel() for place, name in enumerate(names)}
        known = self.days * self.rows
        table = pa.table(columns)
        profiles = counts.profiles(table.slice(0, known), categorical=())
        counted = counts.by_day(table, profiles, day=np.repeat(days, self.rows)).padded(names)
        lags = lag + np.arange(later)
        return Days(counted[: self.days], days[: self.days], counted[self.days :], lags, self.rows)
