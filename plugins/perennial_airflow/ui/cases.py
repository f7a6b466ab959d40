"""The use case that an address names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, Path
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters


def declared(case: Annotated[str, Path()]) -> UseCase:
    """Return the use case.

    Raises:
        HTTPException: 404, with what is wrong, where there is none of that name or its files cannot be loaded.
    """
    from perennial.catalog import load_use_case
    from perennial.errors import PerennialError

    try:
        return load_use_case(case)
    except PerennialError as error:
        raise HTTPException(404, detail=str(error)[:2000]) from error


def world() -> Adapters:
    """Return ledger, lake, registry and the rest."""
    from perennial.adapters import Adapters

    return Adapters.from_env()


CASE, WORLD = Depends(declared), Depends(world)
Case = Annotated[UseCase, CASE]
World = Annotated[Any, WORLD]
