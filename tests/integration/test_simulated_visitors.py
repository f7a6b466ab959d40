"""The simulated use case through the loop: learnable, and never better than the truth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import toy
from perennial.adapters import Adapters
from perennial.catalog import read_folder
from perennial.core.clickstream import World
from perennial.io import clickstreams
from perennial.records import Window
from perennial.spec import SimplerGate, UseCase
from perennial.stages import evaluate, features, ingest, train

pytestmark = pytest.mark.integration
NOW = datetime(2026, 4, 1, tzinfo=UTC)
FIRST, TODAY = date(2025, 12, 15), date(2026, 3, 20)
WORLD = World(events_per_day=6000)


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> tuple[UseCase, Adapters]:
    """Return three months of a small world, ingested, with the snapshots of a short training."""
    home = tmp_path_factory.mktemp("visitors")
    clickstreams.write_files(WORLD, clickstreams.Span(FIRST, TODAY + timedelta(days=1)), home / "data")
    whole = read_folder(Path(__file__).parents[2] / "include" / "use_cases" / "visitor_conversion")
    (boosting,) = (each for each in whole.training.candidates if each.name == "hist_gradient_boosting")
    short = {"candidates": (boosting.model_copy(update={"search": {}}),), "window_days": 48, "validation_days": 5,
             "holdout_days": 6}  # fmt: skip
    gates = tuple(gate for gate in whole.gates if not isinstance(gate, SimplerGate))  # of a candidate that is left out
    case = whole.model_copy(update={"training": whole.training.model_copy(update=short), "gates": gates})
    adapters = toy.adapters(home)
    adapters.ledger.upgrade()
    ingest.run_days(case, "simulated_events", list(Window(FIRST, TODAY + timedelta(days=1)).days()), adapters, run="t")
    first_snapshot = TODAY - timedelta(days=63)
    features.run_days(case, list(Window(first_snapshot, TODAY + timedelta(days=1)).days()), adapters, run="test")
    return case, adapters


def truth_auc(case: UseCase, adapters: Adapters, days: Sequence[date]) -> float:
    """Return the area under the curve of the probabilities that were true."""
    from sklearn.metrics import roc_auc_score

    chances: list[float] = []
    labels: list[int] = []
    for day in days:
        rows = adapters.warehouse.labelled(case, [day], pins=adapters.warehouse.pins(case))
        truth = clickstreams.truth(WORLD, adapters.settings.data_root, day)
        chance = dict(zip(*(column.to_pylist() for column in truth.columns), strict=True))
        # Who arrived more than 60 days ago has stopped coming.
        chances += [chance.get(visitor, 0.0) for visitor in rows["visitor_id"].to_pylist()]
        labels += rows[case.label.column].to_pylist()
    return float(roc_auc_score(labels, chances))


def test_a_model_beats_recency_and_not_the_truth(visitors):
    """Recency, 0.03 above it on the same holdout days the model, and above that what nobody can know, on all days."""
    case, adapters = visitors
    version = train.run(case, TODAY, adapters, run="test").version
    report = evaluate.run(case, adapters, version=version, now=NOW, who="ada", run="test")
    model, recency = (report.metrics[name]["roc_auc"] for name in ("challenger", "recency"))

    bound = truth_auc(case, adapters, list(report.holdout.days()))

    assert recency + 0.03 < model < bound
    assert bound > 0.95
