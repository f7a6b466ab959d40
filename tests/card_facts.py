"""Builders of what a model card is made of; a test names only what it is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from fakes import make_case
from perennial.cards import Card, Facts, Rate, card, declared
from perennial.io.entries import Entry
from perennial.records import Window
from perennial.verdicts import GateReport, GateResult

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 2, 19)
WORDS = {
    "owner": "Marketing analytics, marketing@example.org",
    "purpose": "Says who comes back.",
    "intended_use": "Mailings.",
    "limits": ["Knows one town only."],
}
CASE = make_case(card=WORDS)
COST = {"compute_seconds": 7200.0, "wall_seconds": 90.0, "rows": 2250}


def manifest(**fields: Any) -> dict[str, Any]:
    """Return the manifest of a training."""
    windows = {"fit": ("2026-01-06", "2026-01-24"), "validation": ("2026-01-29", "2026-02-04")}
    windows["holdout"] = ("2026-02-09", "2026-02-15")
    plain: dict[str, Any] = {
        "case": "toy", "as_of": DAY.isoformat(), "declared": declared(CASE), "label_kind": "binary",
        "spec": "5" * 64, "data_versions": {"features/toy": 49}, "seed": 7, "metric": "roc_auc", "code": "abc123",
        "split": {name: {"start": start, "end": end} for name, (start, end) in windows.items()},
        "rows": {"fit": 1350, "holdout": 450, "validation": 450}, "contacted_share": 0.6,
        "features": {"numeric": ["recency"], "categorical": ["town"]},
        "winner": {"name": "linear", "estimator": "sklearn.L", "params": {"C": 0.5}, "searched": {"trials": 4}},
        "validation": {"roc_auc": 0.85}, "holdout": {"roc_auc": 0.8, "log_loss": 0.4, "base_rate": 0.2},
        "baselines": {"dummy": {"roc_auc": 0.5, "log_loss": 0.6}}, "libraries": {"numpy": "2"},
        "baseline_recipes": {"dummy": {"estimator": "sklearn.D", "params": {}, "features": []}},
    }  # fmt: skip
    return plain | fields


def entry(action: Any, number: int, version: str = "2", *, hours: int = 0, **fields: Any) -> Entry:
    """Return an entry about the case `toy`, by its number."""
    plain: dict[str, Any] = {
        "case": "toy",
        "who": "ada",
        "reason": "because",
        "run": "manual",
        "hash": f"{number:064x}",
    }
    return Entry(action=action, at=NOW + timedelta(hours=hours), to_version=version, id=number, **plain | fields)


def report(*results: GateResult, **fields: Any) -> GateReport:
    """Return the gate report of version 2 against champion 1."""
    measured = {"challenger": {"roc_auc": 0.8, "expected_calibration_error": 0.03, "rows": 450.0},
                "champion": {"roc_auc": 0.81}, "dummy": {"roc_auc": 0.5}}  # fmt: skip
    plain: dict[str, Any] = {"champion": "1", "metrics": measured, "page": "gates/toy/version-2-against-1.html"}
    results = results or (GateResult("roc_auc at least", 0.8, 0.7, 0.1, low=0.77, high=0.83),)
    return GateReport("toy", "2", as_of=DAY, results=results, holdout=Window.of_day(DAY), rows=450, **plain | fields)


def evaluated(*results: GateResult, number: int = 2, **fields: Any) -> Entry:
    """Return the entry of that report."""
    kept = report(*results, **fields).to_json() | {"artifact": "f" * 64, "cost": COST | {"rows": 450}}
    return entry("evaluated", number, from_version="1", report=kept)


def made(*entries: Entry, **fields: Any) -> Card:
    """Return the card of version 2 that these entries are about; the newest trained version is 2."""
    plain: dict[str, Any] = {
        "case": "toy", "version": "2", "today": CASE, "manifest": manifest(), "entries": entries,
        "reigns": [each for each in entries if each.action in {"promoted", "rolled back"}], "newest": "2",
        "rate": Rate(None, "USD"),
    }  # fmt: skip
    return card(Facts(**plain | fields))
