"""Builders for the unit ring: a shop on disk, and adapters over a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toy
from perennial.adapters import Adapters
from perennial.spec import UseCase


@pytest.fixture
def shop(tmp_path: Path) -> UseCase:
    """Return a valid use case with 60 days of orders."""
    return toy.shop(tmp_path / "use_cases")


@pytest.fixture
def make_shop(tmp_path: Path) -> Any:
    """Return a builder of shops; a test names only what it is about."""

    def make(**arguments: Any) -> UseCase:
        return toy.shop(tmp_path / "use_cases", **arguments)

    return make


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    """Return adapters whose state lies in the test's own folder."""
    return toy.adapters(tmp_path / "home")
