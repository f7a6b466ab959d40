"""The holdout that a training keeps beside its model: scores with labels, from which performance is estimated later."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.core import frames
from perennial.core.metrics import FloatArray, Scored
from perennial.spec import LabelKind

HOLDOUT = "holdout_labels.parquet"  # beside the scores alone, which the probation reads
FEATURE = "feature."


@dataclass(frozen=True, slots=True)
class Holdout:
    """A model's own scores with labels, of rows it was not trained on; features where the label is a number."""

    scored: Scored
    features: pa.Table


def kept(scored: Scored, rows: pa.Table, *, names: Sequence[str]) -> bytes:
    """Return the scores of a holdout as Parquet, entities as codes; with the features where the label is a number.

    Args:
        scored: of the winner.
        rows: of the holdout, in the same order.
        names: of the winner's features.
    """
    columns = {"score": scored.score, "label": scored.label, "day": scored.day, "entity": scored.entity}
    if scored.kind == "number":
        columns |= {f"{FEATURE}{name}": rows[name] for name in names}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def read(data: bytes, *, kind: LabelKind) -> Holdout:
    """Return what `kept` wrote."""
    rows = pq.read_table(pa.BufferReader(data))
    score, label = frames.numbers(rows["score"]), frames.numbers(rows["label"])
    day, entity = (rows[name].to_numpy() for name in ("day", "entity"))
    named = [name for name in rows.column_names if name.startswith(FEATURE)]
    features = rows.select(named).rename_columns([name.removeprefix(FEATURE) for name in named])
    return Holdout(Scored(label, score, day, entity, kind), features)


def numbered(
    today: pa.Table, holdout: pa.Table, *, numeric: Sequence[str], categorical: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Return the features of both as numbers, shape (rows, features): a text is its place among the holdout's texts.

    Infinite numbers, missing ones and texts that the holdout does not have are NaN.
    """
    sides: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for name in numeric:
        for side, rows in zip(sides, (today, holdout), strict=True):
            side.append(frames.finite(rows[name]))
    for name in categorical:
        known = sorted({text for text in frames.texts(holdout[name]) if text is not None})
        place = {text: float(at) for at, text in enumerate(known)}
        for side, rows in zip(sides, (today, holdout), strict=True):
            side.append(np.array([place.get(str(text), np.nan) for text in frames.texts(rows[name])]))
    return np.column_stack(sides[0]), np.column_stack(sides[1])
