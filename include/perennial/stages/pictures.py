"""The pictures that a training keeps with its run: what the winner and the baselines do on the holdout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perennial.core import metrics
from perennial.core.metrics import FloatArray, Scored
from perennial.core.tasks import Task
from perennial.io import plots
from perennial.io.plots import Curve, Labels
from perennial.spec import UseCase, Value

IMPORTANCE = "plots/feature_importance.png"
MOST_DOTS = 2000
ERROR_BINS = 60
ERRORS_SHOWN = 0.99


def of_training(case: UseCase, shown: Mapping[str, Scored], *, share: float | None) -> dict[str, bytes]:
    """Return the pictures by file name.

    Args:
        case: what kind of label it is, and whether there is money in it.
        shown: holdout scores by name, the winner's first.
        share: the share of households to contact, which the profit's picture marks.
    """
    drawn = _of_numbers(case, shown) if case.label.kind == "number" else _of_classes(shown)
    if case.value is not None:
        drawn["profit"] = _profit(shown, value=case.value, share=share)
    return {f"plots/{name}.png": picture for name, picture in drawn.items()}


def importance(lost: Mapping[str, float], task: Task) -> bytes:
    """Return the picture of what each feature adds."""
    return plots.bars(lost, Labels("Feature importance, validation", task.importance, ""))


def _of_classes(shown: Mapping[str, Scored]) -> dict[str, bytes]:
    """Return ranking and calibration."""
    roc = [Curve(name, *metrics.roc_curve(it.label, it.score)) for name, it in shown.items()]
    recall = [Curve(name, *metrics.precision_recall_curve(it.label, it.score)) for name, it in shown.items()]
    return {
        "roc": plots.lines(roc, Labels("ROC, holdout", "false-positive rate", "true-positive rate"), diagonal=True),
        "precision_recall": plots.lines(recall, Labels("Precision and recall, holdout", "recall", "precision")),
        "calibration": _calibration(shown, Labels("Calibration, holdout", "mean score", "observed rate")),
    }


def _of_numbers(case: UseCase, shown: Mapping[str, Scored]) -> dict[str, bytes]:
    """Return predictions beside labels, their means bin by bin, and how the errors are spread."""
    unit = case.label.column.replace("_", " ")
    beside = Labels("Predicted and actual, holdout", f"predicted {unit}", f"actual {unit}")
    means = Labels("Calibration, holdout", f"mean predicted {unit}", f"mean actual {unit}")
    return {
        "predicted_actual": plots.dots([_winner(shown)], beside),
        "calibration": _calibration(shown, means),
        "residuals": _residuals(shown, Labels("Errors, holdout", f"predicted less actual {unit}", "share of rows")),
    }


def _winner(shown: Mapping[str, Scored]) -> Curve:
    """Return at most two thousand rows of the winner: every so many, in their order."""
    name, scored = next(iter(shown.items()))
    every = -(-scored.label.size // MOST_DOTS)
    return Curve(name, scored.score[::every], scored.label[::every])


def _calibration(shown: Mapping[str, Scored], labels: Labels) -> bytes:
    """Return mean label against mean score in bins of equal rows."""
    bins = [Curve(name, *metrics.calibration_curve(it.label, it.score)[:2]) for name, it in shown.items()]
    return plots.lines(bins, labels, diagonal=True)


def _residuals(shown: Mapping[str, Scored], labels: Labels) -> bytes:
    """Return the distribution of the errors; the one percent farthest away is left out of the picture."""
    errors = {name: it.score - it.label for name, it in shown.items()}
    widest = max(float(np.quantile(np.abs(each), ERRORS_SHOWN)) for each in errors.values())
    edges = np.linspace(-widest, widest, ERROR_BINS + 1) if widest > 0 else np.linspace(-0.5, 0.5, ERROR_BINS + 1)
    return plots.lines([Curve(name, *_shares(each, edges)) for name, each in errors.items()], labels)


def _shares(errors: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the middle of each bin and the share of all errors that lie in it."""
    counts, _ = np.histogram(errors, edges)
    return (edges[:-1] + edges[1:]) / 2, counts / errors.size


def _profit(shown: Mapping[str, Scored], *, value: Value, share: float | None) -> bytes:
    """Return the profit at each share of households contacted."""
    curves = [Curve(name, *metrics.profit_curve(it, value=value)) for name, it in shown.items()]
    unit = f"{value.currency} per 1,000 households and day"
    labels = Labels("Expected profit, holdout", "share of households contacted", unit)
    return plots.lines(curves, labels, mark=share)
