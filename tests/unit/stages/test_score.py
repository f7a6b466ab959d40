"""Scoring: the champion's opinion of a day, once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes import Population, make_case
from perennial.errors import DataError, RegistryError
from perennial.records import Window
from perennial.stages import score
from worlds import World


def test_a_day_is_scored_by_the_champion(reigning: World):
    """One row an entity, with the version of model and data."""
    record = score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    rows = reigning.adapters.lake.read("predictions/toy", Window.of_day(reigning.today))

    assert (record.rows, record.model_version, record.data_version, record.changed) == (150, "1", 49, True)
    assert rows.column_names == ["day", "person", "score", "model_version", "data_version"]
    assert set(rows["model_version"].to_pylist()) == {"1"}
    assert all(0 <= value <= 1 for value in rows["score"].to_pylist())


def test_scoring_again_changes_nothing(reigning: World):
    """Not even after another day was built, which gives the features table a new version."""
    first = score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    reigning.adapters.live(reigning.case, days=1, population=Population(), start=reigning.today + timedelta(days=1))
    again = score.run(reigning.case, reigning.today, reigning.adapters, run="manual")

    assert (again.changed, again.version, again.data_version) == (False, first.version, first.data_version)


def test_a_new_champion_scores_the_day_anew(reigning: World):
    """The model version differs, so the rows do."""
    score.run(reigning.case, reigning.today, reigning.adapters, run="manual")
    reigning.train()
    reigning.evaluate()
    reigning.promote("2")

    assert score.run(reigning.case, reigning.today, reigning.adapters, run="manual").changed


def test_without_a_champion_the_next_step_is_named(world: World):
    """Train, evaluate, promote."""
    with pytest.raises(RegistryError, match="toy has no champion yet: train one, evaluate and promote it first"):
        score.run(world.case, world.today, world.adapters, run="manual")


def test_a_day_without_a_snapshot_is_refused(reigning: World):
    """The data's error, not the model's."""
    with pytest.raises(DataError, match="has no snapshot for 2026-02-20"):
        score.run(reigning.case, reigning.today + timedelta(days=1), reigning.adapters, run="manual")


def test_a_feature_that_the_spec_has_dropped_is_named(reigning: World):
    """The champion cannot do without it."""
    features = {"sql": "features.sql", "lookback_days": 30, "numeric": ["recency", "spends"], "categorical": ["town"]}
    changed = make_case(features=features)

    with pytest.raises(DataError, match=r"version 1 of toy needs spend, visits.*Did you mean 'spends'"):
        score.run(changed, reigning.today, reigning.adapters, run="manual")
