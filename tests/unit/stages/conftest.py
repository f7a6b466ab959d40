"""Worlds for the model stages: without a model, and with a champion; trained once, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import World


@pytest.fixture(scope="session")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `world` copies."""
    world = World.of_fifty_days(tmp_path_factory.mktemp("world"))
    world.adapters.ledger.upgrade()
    return world


@pytest.fixture(scope="session")
def reigning_world(first_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `reigning` copies."""
    world = first_world.copy(tmp_path_factory.mktemp("reigning"))
    world.train()
    world.evaluate()
    world.promote("1")
    return world


@pytest.fixture(scope="session")
def second_world(reigning_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the world that `second` copies."""
    world = reigning_world.copy(tmp_path_factory.mktemp("second"))
    world.train()
    world.evaluate()
    world.promote("2")
    world.train()
    return world


@pytest.fixture
def world(first_world: World, tmp_path: Path) -> World:
    """Return a world of 50 days without any model."""
    return first_world.copy(tmp_path)


@pytest.fixture
def reigning(reigning_world: World, tmp_path: Path) -> World:
    """Return a world whose champion is version 1."""
    return reigning_world.copy(tmp_path)


@pytest.fixture
def second(second_world: World, tmp_path: Path) -> World:
    """Return a world whose champion is version 2 after 1; version 3 is trained, and never was champion."""
    return second_world.copy(tmp_path)
