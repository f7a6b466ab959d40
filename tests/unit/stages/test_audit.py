"""The audit: what its own chain cannot show, hashes that were kept elsewhere do."""

from __future__ import annotations

import pytest
from perennial.io.ledger import Entry
from perennial.io.registry import NEWEST
from perennial.stages import audit
from worlds import NOW, World


def kept(world: World) -> str:
    """Write an entry and return what to keep of it."""
    return world.adapters.ledger.add(Entry("toy", NOW, "promoted", "ada", "so", "manual", to_version="1")).anchor


def test_what_was_kept_and_is_there_is_no_fault(world: World):
    """As `ID:HASH`, or as the hash alone."""
    anchor = kept(world)
    found = audit.run(world.adapters, expect=[anchor, anchor.partition(":")[2]])

    assert (found.entries, found.faults, found.notes, found.newest) == (1, (), (), anchor)


@pytest.mark.parametrize("expected", ["1:beef", "beef", "2:{}"])
def test_what_was_kept_and_is_gone_is_named(world: World, expected: str):
    """Another hash, and the right one with another number."""
    expected = expected.format(kept(world).partition(":")[2])

    assert audit.run(world.adapters, expect=[expected]).faults == (
        f"{expected} was kept as an entry of this ledger, and is gone",
    )


def test_what_mlflow_has_noted_is_asked_without_being_told(world: World):
    """So that cutting the newest entries takes two systems."""
    world.adapters.registry.note("toy", {NEWEST: kept(world)})
    assert audit.run(world.adapters).faults == ()
    world.adapters.registry.note("toy", {NEWEST: "7:beef"})

    (fault,) = audit.run(world.adapters).faults
    assert fault == "7:beef is what MLflow has noted of toy as ledger.newest, and is gone from the ledger"


def test_a_registry_that_is_down_is_said(world: World):
    """The chain is verified all the same."""
    kept(world)
    world.adapters.registry.down = {"noted"}
    found = audit.run(world.adapters)

    assert found.faults == ()
    assert "MLflow at memory could not noted" in found.notes[0]
