"""The rows behind a champion's reference, column by column: read only where its counts leave a question open."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.core.splits import Split
from perennial.errors import DataError, LakeError, RegistryError, SpecError
from perennial.io.lake import DAY
from perennial.io.registry import SCORES, RegisteredModel
from perennial.spec import UseCase

if TYPE_CHECKING:
    from perennial.adapters import Adapters

GONE = (DataError, LakeError, SpecError, RegistryError, pa.ArrowException)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReferenceRows:
    """What a champion was trained on: features out of the lake at the pinned version, holdout scores out of its run."""

    case: UseCase
    champion: RegisteredModel
    adapters: Adapters
    _labelled: pa.Table | None = field(default=None, init=False)

    def feature(self, name: str) -> pa.ChunkedArray | None:
        """Return a feature of all parts of the training; None where rows are gone, and the log says why."""
        try:
            found = self._feature(name)
        except GONE as error:
            self._gone(name, str(error))
            return None
        trained_on = sum(self.champion.manifest["rows"].values())
        if len(found) != trained_on:
            self._gone(name, f"it was trained on {trained_on} rows, the lake has {len(found)}")
            return None
        return found

    def score(self, name: str) -> pa.ChunkedArray | None:
        """Return the scores of the holdout; None where its run has none, and the log says why."""
        try:
            kept = self.adapters.registry.file(self.case.name, self.champion.version, SCORES)
        except RegistryError as error:
            self._gone(name, str(error))
            return None
        return pq.read_table(io.BytesIO(kept))[name]

    def _gone(self, name: str, why: str) -> None:
        log.warning("%s version %s: no reference rows of %s: %s", self.case.name, self.champion.version, name, why)

    def _feature(self, name: str) -> pa.ChunkedArray:
        manifest, case = self.champion.manifest, self.case
        split, pins = Split.from_json(manifest["split"]), dict(manifest["data_versions"])
        if case.label.missing == "drop":
            if self._labelled is None:  # which rows have a label, the label's SQL says
                self._labelled = self.adapters.warehouse.labelled(case, split.all_days, pins=pins)
            return self._labelled[name]
        table, version = case.features_table, pins.get(case.features_table)
        rows = self.adapters.lake.read(table, split.window, version=version, columns=[DAY, name])
        return rows.filter(pc.is_in(rows[DAY], pa.array(split.all_days, pa.date32())))[name]
