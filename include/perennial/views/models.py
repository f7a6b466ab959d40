"""Models of the registry that are at hand, with the rows that their scores are explained against.

The API server is no place for machine learning's libraries as long as nobody asks for a score: they take seconds and
some hundred megabytes, so everything here that needs them imports them when it is called.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.core import frames
from perennial.io.registry import SAMPLE, RegisteredModel
from perennial.views.references import told_briefly
from perennial.views.shelf import Shelf

if TYPE_CHECKING:
    import pandas as pd

    from perennial.adapters import Adapters

BACKGROUND_ROWS = 100


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that can score, and the sample of its training's rows."""

    model: RegisteredModel
    sample: pa.Table

    @classmethod
    def fetch(cls, case: str, version: str, adapters: Adapters) -> Loaded:
        """Return a version.

        Raises:
            RegistryError: MLflow does not answer, or the version or its sample is gone.
        """
        with told_briefly(f"version {version}"):
            model = adapters.registry.load(case, version)
            return cls(model, pq.read_table(io.BytesIO(adapters.registry.file(case, version, SAMPLE))))

    @property
    def features(self) -> tuple[str, ...]:
        """Return the features in the order that the model knows them."""
        return (*self.model.numeric, *self.model.categorical)

    def lacking(self, rows: pa.Table) -> tuple[str, ...]:
        """Return the features that some rows do not have, or have as text where the model learnt numbers."""
        gone = [name for name in self.features if name not in rows.column_names]
        texts = [name for name in self.model.numeric if name not in gone and not frames.is_numeric(rows[name])]
        return (*gone, *texts)

    def frame(self, rows: pa.Table) -> pd.DataFrame:
        """Return rows as the model takes them."""
        return frames.model_frame(rows, numeric=self.model.numeric, categorical=self.model.categorical)

    def background(self) -> pd.DataFrame:
        """Return a hundred rows of its training, evenly through the sample and so through the days: always the same."""
        size = self.sample.num_rows
        places = np.unique(np.linspace(0, size - 1, min(BACKGROUND_ROWS, size)).astype(np.int64))
        return self.frame(self.sample.take(places))

    def usual(self, name: str) -> Any:
        """Return a feature's median in the sample, of texts the most frequent one; None where it has none."""
        column = self.sample[name]
        if name in self.model.numeric:
            values = frames.finite(column)
            return None if np.isnan(values).all() else float(np.nanmedian(values))
        counted = pc.value_counts(column.drop_null().combine_chunks()).to_pylist()
        return min(counted, key=lambda each: (-each["counts"], each["values"]))["values"] if counted else None


Models = Shelf[Loaded]
