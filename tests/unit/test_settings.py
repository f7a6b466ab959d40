"""Settings as the environment gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from perennial.settings import Settings


@pytest.mark.parametrize(("text", "rate"), [("", None), ("0.05", 0.05)])
def test_an_empty_setting_is_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, text: str, rate: float | None
) -> None:
    """Compose hands on the price of a CPU hour also where nobody has set one."""
    monkeypatch.setenv("PERENNIAL_COMPUTE_RATE", text)

    assert Settings().compute_rate == rate


def test_an_empty_variable_wins_over_the_stacks_own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So one command can read files though the stack reads a live connection."""
    (tmp_path / "stack.env").write_text("PERENNIAL_LIVE='clickstream'\n")
    monkeypatch.setenv("PERENNIAL_LIVE", "")

    assert Settings(_env_file=tmp_path / "stack.env").live == ""
