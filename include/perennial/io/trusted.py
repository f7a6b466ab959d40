"""Which types a model's file may hold, and models that hold others are not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.errors import RegistryError

# Reviewed: plain containers of numbers, without code of their own. A model that needs more is not registered.
TRUSTED = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def refuse_foreign(flavor: Mapping[str, Any], name: str) -> None:
    """Refuse a model whose file could run code when it is loaded."""
    unknown = sorted(set(flavor.get("skops_trusted_types") or ()) - set(TRUSTED))
    if flavor.get("serialization_format") != "skops" or unknown:
        form = str(flavor.get("serialization_format"))
        found = f"trusts {', '.join(unknown)}" if unknown else f"has the format {form!r}, not 'skops'"
        raise RegistryError(f"{name} is not loaded: its file {found}. Train it again with `perennial train`.")
