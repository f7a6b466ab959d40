"""Settings as the environment gives them."""

from __future__ import annotations

import pytest
from perennial.settings import Settings


@pytest.mark.parametrize(("text", "rate"), [("", None), ("0.05", 0.05)])
def test_an_empty_setting_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, text: str, rate: float | None
) -> None:
    """Compose hands on every setting, also those that nobody has set."""
    monkeypatch.setenv("PERENNIAL_COMPUTE_RATE", text)

    assert Settings().compute_rate == rate
