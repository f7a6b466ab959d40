"""What a champion was trained on, as its run keeps it: counts of features and scores, and what each feature adds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from textwrap import shorten
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from perennial.core import drift, stakes
from perennial.core.drift import Profile
from perennial.errors import LakeError, RegistryError
from perennial.io.registry import PROFILE
from perennial.records import Window
from perennial.views.shelf import Shelf

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.io.lake import Lake
    from perennial.spec import UseCase

SCORE = "score"
CAUSE = 160


@dataclass(frozen=True, slots=True)
class Reference:
    """A champion's reference.

    Attributes:
        version: whose.
        profiles: the counts of each feature, and those of `score`.
        shares: of the importance of all features, what each has; what adds nothing has 0. None where it is not known.
    """

    version: str
    profiles: Mapping[str, Profile]
    shares: Mapping[str, float] | None

    @classmethod
    def fetch(cls, case: str, version: str, adapters: Adapters) -> Reference:
        """Return the reference of a version.

        Raises:
            RegistryError: MLflow does not answer, or the run does not have it.
        """
        with told_briefly(f"what version {version} was trained on"):
            kept = json.loads(adapters.registry.file(case, version, PROFILE))
        profiles = drift.from_json(kept["features"]) | {SCORE: drift.from_json(kept["score"])[SCORE]}
        return cls(version, profiles, _shares(kept.get(stakes.IMPORTANCE)))


References = Shelf[Reference]


@contextmanager
def told_briefly(what: str) -> Iterator[None]:
    """Turn an error of the registry into one that a page has room for: what cannot be had, and the first of why."""
    try:
        yield
    except RegistryError as error:
        raise RegistryError(f"MLflow does not give {what}: {shorten(str(error), CAUSE, placeholder=' …')}") from error


def _shares(importance: Mapping[str, float] | None) -> dict[str, float] | None:
    adds = {name: max(value, 0.0) for name, value in (importance or {}).items()}
    whole = sum(adds.values())
    return {name: value / whole for name, value in adds.items()} if whole else None


def features_of(
    case: UseCase, day: date, lake: Lake, *, names: Sequence[str], version: int | None = None
) -> pa.Table:  # fmt: skip
    """Return some columns of a day's snapshot, without those that the table does not have.

    Raises:
        LakeError: there is no such table or version, or its files cannot be read.
    """
    return rows_of(case.features_table, day, lake, names=names, version=version)


def scores_of(case: UseCase, day: date, lake: Lake, *, version: str) -> pa.Table:
    """Return the scores of a day that a model's version made.

    Raises:
        LakeError: there are no predictions yet, or their files cannot be read.
    """
    rows = rows_of(case.predictions_table, day, lake, names=[SCORE, "model_version"])
    return rows.filter(pc.equal(rows["model_version"], version)).select([SCORE])


def rows_of(
    table: str, day: date, lake: Lake, *, names: Sequence[str] | None = None, version: int | None = None
) -> pa.Table:  # fmt: skip
    """Return some columns of a day, those that the table has; all of them without `names`.

    Raises:
        LakeError: there is no such table or version, or its files cannot be read.
    """
    try:
        known = lake.dataset(table, version=version).schema.names
        kept = None if names is None else [name for name in names if name in known]
        return lake.read(table, Window.of_day(day), version=version, columns=kept)
    except (OSError, pa.ArrowException) as error:
        first_line = str(error).partition("\n")[0]
        raise LakeError(f"{table} of {day} cannot be read: {first_line}") from error
