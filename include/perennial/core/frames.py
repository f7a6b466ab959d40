"""From Arrow rows to what estimators, measures and fingerprints take."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.core.metrics import FloatArray, IntArray, Scored
from perennial.spec import LabelKind

if TYPE_CHECKING:
    import pandas as pd

NULL_TEXT = b"\x00"
TEXT_END = b"\x1f"


def model_frame(rows: pa.Table, *, numeric: Sequence[str], categorical: Sequence[str]) -> pd.DataFrame:
    """Return the features as a frame: numbers as float64, texts as text, in the order of the names.

    Whole numbers become float64 too, since a null would otherwise break the model's signature. Infinite
    numbers become missing: no estimator takes them, and the expectation suite is where they are refused.
    """
    import pandas as pd

    columns: dict[str, Any] = {name: finite(rows[name]) for name in numeric}
    columns |= {name: pd.Series(texts(rows[name]), dtype="str") for name in categorical}
    return pd.DataFrame(columns, index=pd.RangeIndex(rows.num_rows))


def numbers(column: pa.ChunkedArray) -> FloatArray:
    """Return a numeric or boolean column as float64, null as NaN; whole numbers beyond 2**53 are rounded."""
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def finite(column: pa.ChunkedArray) -> FloatArray:
    """Return a numeric column as float64, null and infinite as NaN."""
    values = numbers(column).copy()
    values[np.isinf(values)] = np.nan
    return values


def texts(column: pa.ChunkedArray) -> list[str | None]:
    """Return a column as texts, null as None."""
    return list(pc.cast(column, pa.string()).to_pylist())


def codes(column: pa.ChunkedArray) -> IntArray:
    """Return a whole number a row, equal where the values are equal."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def day_numbers(column: pa.ChunkedArray) -> IntArray:
    """Return a column of dates as days since 1970, so that differences are days."""
    return np.asarray(pc.cast(column, pa.int32()).to_numpy(), dtype=np.int64)


def is_numeric(column: pa.ChunkedArray) -> bool:
    """Tell whether a column holds numbers; booleans are 0 and 1, and a column of nulls alone is numbers."""
    kind = column.type
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def scored(
    rows: pa.Table, *, label: NDArray[Any], score: FloatArray, entity: str, kind: LabelKind = "binary"
) -> Scored:
    """Return scores beside labels for rows with the columns `day` and `entity`."""
    return Scored(
        label=np.asarray(label, dtype=np.float64),
        score=np.asarray(score, dtype=np.float64),
        day=day_numbers(rows["day"]),
        entity=codes(rows[entity]),
        kind=kind,
    )


def fingerprint(rows: pa.Table) -> str:
    """Return the sha256 of all values, column by column in the order of their names, rows in their order.

    Numbers are hashed as float64 (null as NaN) and everything else as text, so that the same rows have the
    same fingerprint whatever their Arrow types, chunks and padding are.
    """
    digest = hashlib.sha256()
    for name in sorted(rows.column_names):
        digest.update(name.encode() + TEXT_END)
        column = rows[name]
        if is_numeric(column):
            values = numbers(column) + 0.0  # -0.0 becomes 0.0
            values[np.isnan(values)] = np.nan
            digest.update(values.tobytes())
        else:
            digest.update(TEXT_END.join(NULL_TEXT if text is None else text.encode() for text in texts(column)))
    return digest.hexdigest()
