"""Shadow scores: what the former champion says of each day that counts, and that it never stands in the way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from fakes import make_case
from perennial.errors import RegistryError
from perennial.records import Window
from perennial.stages import rollback, score
from trying import GATES, LABEL, RULES, live, promoted
from worlds import NOW, World


@pytest.fixture(scope="module")
def kept(reigning_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `trying` copies."""
    return promoted(reigning_world.copy(tmp_path_factory.mktemp("shadow")), worse=0.0)


@pytest.fixture
def trying(kept: World, tmp_path: Path) -> World:
    """Return a world whose champion 2 is on probation against 1 from the day after `today` on."""
    return kept.copy(tmp_path)


def test_a_day_of_the_probation_is_scored_by_both(trying: World):
    """The same columns and rows, another version; the record says who was in the shadow."""
    today = live(trying, 1)
    own, shadow = (
        trying.adapters.lake.read(f"{table}/toy", Window.of_day(today)) for table in ("predictions", "shadow")
    )

    assert shadow.column_names == own.column_names
    assert shadow["person"].equals(own["person"])
    assert (set(own["model_version"].to_pylist()), set(shadow["model_version"].to_pylist())) == ({"2"}, {"1"})
    assert own["score"] != shadow["score"]


def test_scoring_again_changes_nothing(trying: World):
    """As with the champion's own scores."""
    today, lake = live(trying, 1), trying.adapters.lake
    version = lake.version("shadow/toy")
    record = score.run(trying.case, today, trying.adapters, run="again")

    assert (record.changed, record.shadow, lake.version("shadow/toy")) == (False, "1", version)


def test_a_day_that_is_built_anew_is_scored_anew_by_both(trying: World):
    """Late rows change the snapshot; the scores of a range follow."""
    today, lake = live(trying, 1), trying.adapters.lake
    before = lake.read("shadow/toy", Window.of_day(today))
    trying.alter(trying.snapshot(today - timedelta(days=1)).drop_columns(["day"]).add_column(
        0, "day", lake.read("features/toy", Window.of_day(today))["day"]), today)  # fmt: skip
    (record,) = score.run_days(trying.case, [today], trying.adapters, run="range")

    assert (record.changed, record.shadow) == (True, "1")
    assert not lake.read("shadow/toy", Window.of_day(today)).equals(before)


def test_days_before_the_probation_have_no_shadow(trying: World):
    """A long backfill pays for one model only."""
    record = score.run(trying.case, trying.today, trying.adapters, run="manual")

    assert (record.shadow, record.shadow_missing) == (None, "")
    assert trying.adapters.lake.version("shadow/toy") is None


def test_after_a_rollback_there_is_no_shadow(trying: World):
    """The probation is over by it."""
    live(trying, 1)
    rollback.run(trying.case, "1", trying.adapters, who="ada", reason="so", now=NOW)
    today = live(trying, 1)

    assert not trying.adapters.lake.has_day("shadow/toy", today)


def test_without_a_probation_there_is_no_shadow(second: World):
    """As it always was."""
    live(second, 1)

    assert second.adapters.lake.version("shadow/toy") is None


def test_a_former_champion_that_breaks_holds_nothing_up(trying: World, caplog: pytest.LogCaptureFixture):
    """Its estimator is of another library version, say: the champion scores on, once with a warning a run."""
    first = trying.adapters.registry.models["toy"][0]
    object.__setattr__(first, "pipeline", object())
    days = [live(trying, 1), live(trying, 1)]
    records = score.run_days(trying.case, days, trying.adapters, run="again")

    assert [each.rows for each in records] == [150, 150]
    assert all("AttributeError" in each.shadow_missing for each in records)
    assert not trying.adapters.lake.has_day("shadow/toy", days[0])
    assert "version 1 does not score in the shadow, so the probation of version 2 stands still" in caplog.text


def test_a_former_champion_that_is_gone_holds_nothing_up(trying: World, monkeypatch: pytest.MonkeyPatch):
    """Somebody has cleaned up in MLflow."""
    registry = trying.adapters.registry
    load = registry.load

    def gone(model: str, version: str) -> object:
        if version == "1":
            raise RegistryError("no artifact")
        return load(model, version)

    monkeypatch.setattr(registry, "load", gone)
    today = live(trying, 1)

    assert trying.adapters.lake.has_day("predictions/toy", today)
    assert not trying.adapters.lake.has_day("shadow/toy", today)


def test_a_former_champion_that_lacks_a_feature_holds_nothing_up(trying: World):
    """The spec has dropped what only it needs."""
    new = trying.adapters.registry.models["toy"][1]
    object.__setattr__(new, "manifest", {**new.manifest, "features": {"numeric": ["recency"], "categorical": []}})
    object.__setattr__(new, "pipeline", _Recency())
    features = {"sql": "features.sql", "lookback_days": 30, "numeric": ["recency"]}
    baselines = [{"name": "dummy", "estimator": "sklearn.dummy.DummyClassifier"}]
    trying.case = make_case(
        label=LABEL, gates=GATES, probation=RULES, features=features, training={"baselines": baselines}
    )
    live(trying, 1)
    record = score.run(trying.case, trying.today, trying.adapters, run="again")

    assert record.rows == 150
    assert "Former champion version 1 of toy needs spend, visits, town" in record.shadow_missing


class _Recency:
    """A classifier that looks at one feature."""

    classes_ = (0, 1)

    def predict_proba(self, frame: object) -> object:
        """Return the chances of 0 and 1."""
        import numpy as np

        chance = np.clip(frame["recency"].to_numpy() / 20, 0, 1)  # type: ignore[index]
        return np.column_stack([1 - chance, chance])
