"""A world whose champion is on probation: version 2 after 1, as good as it or worse by a share of every score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from fakes import Population, make_case
from perennial.spec import UseCase
from perennial.stages import score
from worlds import World

DAYS = 12
RULES: dict[str, Any] = {"metric": "log_loss", "loss": 0.03, "days": DAYS}
LABEL = {"sql": "label.sql", "column": "returns", "horizon_days": 1}
GATES = [{"metric": "roc_auc", "at_least": 0.55}]


def on_probation(**rules: Any) -> UseCase:
    """Return the use case with labels of the next day and a probation; `rules` changes keys of it."""
    return make_case(label=LABEL, gates=GATES, probation={**RULES, **rules})


@dataclass
class Blurred:
    """A classifier whose scores lie a share of the way from another one's to a coin's, and wander by row."""

    model: Any
    share: float
    wander: float = 0.02

    @property
    def classes_(self) -> np.ndarray:
        """Return the labels in the order of the chances."""
        return self.model.classes_

    def predict_proba(self, frame: Any) -> np.ndarray:
        """Return the chances of 0 and 1."""
        chance = self.model.predict_proba(frame)[:, 1]
        noise = np.random.default_rng(len(frame)).normal(0, self.wander, len(frame))
        found = np.clip((1 - self.share) * chance + self.share * 0.5 + noise, 0.001, 0.999)
        return np.column_stack([1 - found, found])


def promoted(world: World, *, worse: float, case: UseCase | None = None) -> World:
    """Train version 2, make it that much worse, and promote it over version 1 on the last lived day."""
    world.case = case or on_probation()
    world.train()
    models = world.adapters.registry.models["toy"]
    models[-1] = replace(models[-1], pipeline=Blurred(models[-1].pipeline, worse))
    world.evaluate()
    world.promote("2")
    return world


def live(world: World, days: int) -> date:
    """Let days pass, each scored as `score` does it; return the last."""
    first = world.today + timedelta(days=1)
    world.today = world.adapters.live(world.case, days=days, population=Population(), start=first)
    score.run_days(world.case, [first + timedelta(days=each) for each in range(days)], world.adapters, run="manual")
    return world.today
