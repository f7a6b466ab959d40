"""Audit: is the ledger still what was written? Its own chain says so, and hashes that were kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.errors import RegistryError
from perennial.io.registry import FOLLOWED, NEWEST
from perennial.records import LedgerCheck

if TYPE_CHECKING:
    from perennial.adapters import Adapters


def run(adapters: Adapters, *, expect: Sequence[str] = ()) -> LedgerCheck:
    """Return what is wrong with the ledger: breaks of its chain, and kept hashes that it does not hold any more.

    The chain cannot show that its newest entries were taken away; what was kept elsewhere can.

    Args:
        adapters: ledger and registry; where MLflow does not answer, a note says so.
        expect: entries that somebody kept, as `ID:HASH` or the hash alone.

    Raises:
        LedgerError: the ledger does not answer.
    """
    found = adapters.ledger.check()
    faults = [f"{kept} was kept as an entry of this ledger, and is gone" for kept in expect if not found.knows(kept)]
    notes: tuple[str, ...] = ()
    try:
        faults += _gone(adapters, found)
    except RegistryError as error:
        notes = (f"Not held against what MLflow noted: {error}",)
    return replace(found, faults=(*found.faults, *faults), notes=notes)


def _gone(adapters: Adapters, found: LedgerCheck) -> Iterator[str]:
    for name in (NEWEST, FOLLOWED):
        for model, kept in sorted(adapters.registry.noted(name).items()):
            if not found.knows(kept):
                yield f"{kept} is what MLflow has noted of {model} as {name}, and is gone from the ledger"
