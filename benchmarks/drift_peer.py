"""The peer of the drift check: Evidently, given the same columns, told the same two measures and the same limit."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd  # noqa: TID253
import pyarrow as pa
import pyarrow.compute as pc
from perennial.core import frames

from benchmarks.drift_corpus import LIMIT, Kind, Pair

METHODS = {"numeric": "wasserstein", "categorical": "jensenshannon"}


def judged(
    reference: pd.DataFrame, current: pd.DataFrame, kinds: dict[str, Kind], method: str = ""
) -> dict[str, float]:
    """Return Evidently's measure of each column, by `ValueDrift`, its cheapest way; at the limit it drifted."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    names: dict[str, list[str]] = {kind: [name for name, each in kinds.items() if each == kind] for kind in METHODS}
    definition = DataDefinition(numerical_columns=names["numeric"], categorical_columns=names["categorical"])
    metrics = [ValueDrift(column=name, method=method or METHODS[kind], threshold=LIMIT) for name, kind in kinds.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = Report(metrics).run(
            Dataset.from_pandas(current, data_definition=definition),
            Dataset.from_pandas(reference, data_definition=definition),
        )
    return {name: float(found["value"]) for name, found in zip(kinds, done.dict()["metrics"], strict=True)}


def preset(reference: pd.DataFrame, current: pd.DataFrame, kinds: dict[str, Kind]) -> None:
    """Judge all columns by the preset that Evidently's guides show."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names: dict[str, list[str]] = {kind: [name for name, each in kinds.items() if each == kind] for kind in METHODS}
    definition = DataDefinition(numerical_columns=names["numeric"], categorical_columns=names["categorical"])
    told = DataDriftPreset(
        num_method=METHODS["numeric"], cat_method=METHODS["categorical"], num_threshold=LIMIT, cat_threshold=LIMIT
    )
    Report([told]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )


def of_pair(pair: Pair, method: str = "") -> float:
    """Return Evidently's measure of a pair."""
    sides = [as_frame(pa.table({"x": each}), {"x": pair.kind}) for each in (pair.reference, pair.current)]
    return judged(sides[0], sides[1], {"x": pair.kind}, method)["x"]


def as_frame(rows: pa.Table, kinds: dict[str, Kind]) -> pd.DataFrame:
    """Return the rows as Evidently takes them: numbers as they are where pandas has them, else as float64; texts."""
    columns: dict[str, Any] = {}
    for name, kind in kinds.items():
        column = rows[name]
        if kind == "categorical":
            columns[name] = pd.Series(pc.cast(column, pa.string()).to_pylist(), dtype="object")
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            columns[name] = column.to_pandas()
        else:
            columns[name] = frames.numbers(column)
    return pd.DataFrame(columns)
