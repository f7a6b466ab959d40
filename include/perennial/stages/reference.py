"""What a training keeps of its rows for the daily check: counts, counts by day, and a sample for the page."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.core import drift, frames
from perennial.core.contest import Finished
from perennial.core.limits import BY_DAY
from perennial.io import counts
from perennial.records import Json
from perennial.spec import UseCase


def profile(case: UseCase, table: pa.Table, final: Finished) -> Json:
    """Return the counts that later days are held against: features of all parts, scores of the holdout; also by day."""
    rows = table.select(list(case.features.columns))
    scores = pa.table({"score": final.scored.score})
    features = counts.profiles(rows, categorical=case.features.categorical)
    score = counts.profiles(scores, categorical=())
    days = counts.by_day(rows, features, day=frames.day_numbers(table["day"]))
    scored = counts.by_day(scores, score, day=final.scored.day)
    return {
        "features": drift.to_json(features),
        "score": drift.to_json(score),
        BY_DAY: {"features": days.to_json(), "score": scored.to_json()},
    }


def scores(final: Finished) -> bytes:
    """Return the scores of the holdout in ascending order, so that none can be told to be somebody's, as Parquet."""
    return parquet(pa.table({"score": np.sort(final.scored.score)}))


def sample(case: UseCase, table: pa.Table, final: Finished) -> bytes:
    """Return a sample of the reference rows as Parquet.

    Scores are drawn from the holdout, independently of the features: scores of fitted rows would look too
    sure, and the report compares one column at a time.
    """
    generator = np.random.default_rng(case.training.seed)
    size = min(case.monitoring.report_rows, table.num_rows)
    chosen = table.take(np.sort(generator.choice(table.num_rows, size, replace=False)))
    score = generator.choice(final.scored.score, size, replace=size > final.scored.score.size)
    return parquet(chosen.select(list(case.features.columns)).append_column("score", pa.array(score)))


def parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
