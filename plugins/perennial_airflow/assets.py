"""The assets of a use case: lineage, and the three events that start something.

`challenger` starts model_promotion; `retrain_request` starts continuous_training where its event has no partition key,
so drift_monitoring, whose runs have one, starts it by a task; the others carry lineage only.
"""

from __future__ import annotations

from airflow.sdk import Asset
from perennial.spec import UseCase


def _asset(case: UseCase, name: str) -> Asset:
    return Asset(f"{case.name}/{name}", uri=f"perennial://{case.name}/{name}", group="perennial")


def features(case: UseCase) -> Asset:
    """Return the asset of the daily feature snapshots."""
    return _asset(case, "features")


def challenger(case: UseCase) -> Asset:
    """Return the asset of a freshly trained model; its events carry the version."""
    return _asset(case, "challenger")


def champion(case: UseCase) -> Asset:
    """Return the asset of the model in production; its events carry the version and who promoted it."""
    return _asset(case, "champion")


def predictions(case: UseCase) -> Asset:
    """Return the asset of the daily scores."""
    return _asset(case, "predictions")


def retrain_request(case: UseCase) -> Asset:
    """Return the asset whose events ask for a new model; each carries its reason."""
    return _asset(case, "retrain_request")
