"""Probes of a model's answers: each finds the fault it is for, and passes a model without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from contenders import measured
from perennial.core import behaviour
from perennial.core.evidence import Evidence, Rows
from perennial.spec import BehaviourGate

if TYPE_CHECKING:
    import pandas as pd

Answers = Callable[["pd.DataFrame"], np.ndarray]


def asked(answers: Answers) -> Evidence:
    """Return evidence of a model that answers so, on fifty rows with a gap."""
    import pandas as pd

    age = np.where(np.arange(50) == 7, np.nan, np.arange(50.0))
    town = pd.Series(["north", "south", None, "west", "east"] * 10, dtype="str")
    frame = pd.DataFrame({"age": age, "spend": np.arange(50.0)[::-1], "town": town})
    return replace(measured("roc_auc", 0.7), rows=Rows(frame, ("age", "spend"), ("town",), answers))


def sound(frame: pd.DataFrame) -> np.ndarray:
    """Rise with age, take no notice of the rest, and know what to do about gaps."""
    return 1 / (1 + np.exp(-np.clip(frame["age"].fillna(25.0).to_numpy(dtype=float), -500, 500) / 50))


def scaled(frame: pd.DataFrame) -> np.ndarray:
    """Take fifty for the greatest age, and know what to do about gaps."""
    return frame["age"].fillna(0.0).to_numpy() / 50


def surprised(frame: pd.DataFrame) -> np.ndarray:
    """Know every town but one."""
    return np.where(frame["town"].str.startswith("a text"), np.inf, 0.5)


def test_a_sound_model_passes_every_probe():
    """Eight probes of oddities, two of order, one that rises, two that must not matter."""
    gate = BehaviourGate(rising=("age",), invariant=("spend", "town"), rows=50)
    found = behaviour.behaves(gate, asked(sound))

    assert (found.passed, found.value) == (True, 0.0)
    assert (found.parts, found.detail) == ((), f"{1 + 3 + 1 + 2 + 2 + 3} probes hold")


@pytest.mark.parametrize(
    ("answers", "gate", "broken"),
    [
        (lambda frame: frame["age"].to_numpy() / 50, {"behaviour": ("missing",)}, "age missing"),
        (scaled, {"behaviour": ("extreme",)}, "1e+12"),
        (surprised, {"behaviour": ("unseen",)}, "unseen"),
        (lambda frame: np.linspace(0, 1, len(frame)), {"behaviour": ("permuted",)}, "permuted"),
        (lambda frame: sound(frame) / len(frame), {"behaviour": ("single",)}, "single rows"),
        (lambda frame: 1 - sound(frame), {"rising": ("age",), "behaviour": ("permuted",)}, "age rising"),
        (sound, {"falling": ("age",), "behaviour": ("permuted",)}, "age falling"),
        (sound, {"invariant": ("age",), "behaviour": ("permuted",)}, "age invariant"),
    ],
)  # fmt: skip
def test_each_probe_finds_its_fault(answers: Answers, gate: dict[str, object], broken: str):
    """And says which probe, and for how many rows."""
    found = behaviour.behaves(BehaviourGate(rows=50, **gate), asked(answers))

    assert not found.passed
    assert broken in found.detail
    assert found.parts[0].value > 0


def test_a_model_that_refuses_odd_rows_is_reported_with_its_reason():
    """An estimator's own refusal is a finding, not a crash of the evaluation."""

    def refuses(frame: pd.DataFrame) -> np.ndarray:
        if frame["town"].isna().all():
            raise ValueError("Found unknown categories\nand more")
        return sound(frame)

    found = behaviour.behaves(BehaviourGate(behaviour=("missing",), rows=50), asked(refuses))

    assert "town missing: refused: Found unknown categories for 50 of 50 rows" in found.detail
