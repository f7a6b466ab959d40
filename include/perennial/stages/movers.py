"""The features that moved most on a day, in words and as pictures, for the mail about an incident."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from perennial.core import drift, frames, stakes
from perennial.io import plots
from perennial.io.incidentmails import Mover
from perennial.records import ColumnDrift, MonitorRecord, Window
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

SHOWN = 3


def movers(case: UseCase, record: MonitorRecord, adapters: Adapters) -> tuple[Mover, ...]:
    """Return the features that moved most, the most important first; none where nothing counts as drift.

    Raises:
        LakeError: the lake does not answer.
        RegistryError: MLflow does not answer.
    """
    moved = [column for column in record.columns if drift.counts_as_drift(column)]
    if not moved or not record.model_version:
        return ()
    champion = adapters.registry.load(case.name, record.model_version)
    weights = adapters.registry.profile(champion.run_id).get(stakes.IMPORTANCE) or {}
    strongest = sorted(moved, key=lambda column: _strength(column, weights), reverse=True)[:SHOWN]
    reference = adapters.registry.sample(champion.run_id)
    current = adapters.lake.read(case.features_table, Window.of_day(record.day))
    return tuple(
        Mover(each.column, _words(each), _picture(case, each.column, reference, current)) for each in strongest
    )


def _strength(column: ColumnDrift, weights: Mapping[str, float]) -> tuple[float, float]:
    """Return importance times drift, and the drift alone for features that have no importance."""
    psi = stakes.MOST if column.psi is None else column.psi
    return max(weights.get(column.column, 0.0), 0.0) * psi, psi


def _words(column: ColumnDrift) -> str:
    measured = "" if column.psi is None else f"PSI {column.psi:.2f}"
    limit = "" if column.limit is None else f", limit {column.limit:.2g}"
    detail = f"; {column.detail}" if column.detail else ""
    return f"{column.verdict}: {measured}{limit}{detail}" if measured else f"{column.verdict}{detail}"


def _picture(case: UseCase, name: str, reference: pa.Table, current: pa.Table) -> bytes | None:
    """Return the two distributions; None where a side does not have the column."""
    if name not in reference.column_names or name not in current.column_names:
        return None
    sides = [table[name] for table in (reference, current)]
    if name in case.features.categorical or not all(frames.is_numeric(side) for side in sides):
        return plots.categories(*(_shares(side) for side in sides), name=name)
    numbers = [frames.finite(side) for side in sides]
    known = [side[~np.isnan(side)] for side in numbers]
    return plots.histograms(known[0], known[1], name=name) if all(side.size for side in known) else None


def _shares(column: pa.ChunkedArray) -> dict[str, float]:
    counted = Counter("(none)" if text is None else text for text in frames.texts(column))
    rows = max(sum(counted.values()), 1)
    return {text: count / rows for text, count in counted.items()}
