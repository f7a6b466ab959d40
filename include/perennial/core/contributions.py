"""What each feature adds to one score: Shapley values against a background sample, from any model that gives scores.

The value v(S) of a set of features S is the mean score of the background rows once the features in S are those of the
row that is explained. A Shapley value is what a feature adds on average over all orders in which features are put into
place, so that all of them together explain `v(all) - v(none)`: the row's score less the mean score of the background.

Orders are drawn in pairs, each forwards and backwards. A pair is exact for every model without interactions of three
or more features, so few pairs suffice; the spread of the pairs says how far off the mean may still be.

The package `shap` does the same (`PermutationExplainer`). It is not used: with numba it is 214 MB and takes 3.5 s and
110 MB more in the API server to import, the NumPy 2.5 of our lock leaves it a numba of 2021, and it tells no error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.core import pipelines
from perennial.core.metrics import FloatArray
from perennial.core.pipelines import Model
from perennial.records import Record
from perennial.spec import LabelKind

if TYPE_CHECKING:
    import pandas as pd

Sets = NDArray[np.bool_]
Value = Callable[[Sets], FloatArray]
PAIRS = 10
PREDICTIONS = 200_000  # in all: some seconds at the most
AT_ONCE = 20_000  # rows that are held in memory together


@dataclass(frozen=True, slots=True)
class Contributions(Record):
    """What each feature adds to a score, in their order: `base` and all `values` are the `score`.

    `errors` are the standard errors of the values: how far other orders would have led; 0 where pairs do not differ.
    """

    base: float
    score: float
    values: tuple[float, ...]
    errors: tuple[float, ...]


def shapley(value: Value, features: int, *, pairs: int, seed: int) -> Contributions:
    """Return what each feature adds, as the mean over pairs of orders.

    `φⱼ = mean over orders of v(before j and j) - v(before j)`. In each order the terms telescope, so `Σ φ` is exactly
    `v(all) - v(none)`, whatever orders were drawn. A feature that the value never depends on has 0.

    Args:
        value: the value of each set, shape (sets, features) to (sets,); asked once, about sets that all differ.
        features: how many there are, 1 or more.
        pairs: of orders that are drawn, 2 or more.
        seed: of the draws; the same seed gives the same values.

    Source:
        Shapley (1953), in: Contributions to the Theory of Games II, 307-317; Štrumbelj and Kononenko (2014), Knowl.
        Inf. Syst. 41, 647-665, for the sampling; Mitchell, Cooper, Frank and Holmes (2022), J. Mach. Learn. Res. 23,
        43, for the pairs.
    """
    generator = np.random.default_rng(seed)
    forwards = [generator.permutation(features) for _ in range(pairs)]
    orders = np.stack([order for each in forwards for order in (each, each[::-1])])
    chains = _chains(orders)
    sets, places = np.unique(chains.reshape(-1, features), axis=0, return_inverse=True)
    values = value(sets)[places.reshape(chains.shape[:2])]
    added = np.empty(orders.shape)
    np.put_along_axis(added, orders, np.diff(values, axis=1), axis=1)
    by_pair = added.reshape(pairs, 2, features).mean(axis=1)
    error = by_pair.std(axis=0, ddof=1) / np.sqrt(pairs)
    return Contributions(
        float(values[0, 0]), float(values[0, -1]), tuple(by_pair.mean(axis=0).tolist()), tuple(error.tolist())
    )


def _chains(orders: NDArray[np.int64]) -> Sets:
    """Return the sets that each order passes through, from none to all: shape (orders, features + 1, features)."""
    features = orders.shape[1]
    place = np.argsort(orders, axis=1)  # when each feature comes
    return np.asarray(place[:, None, :] < np.arange(features + 1)[None, :, None])


def of_row(
    pipeline: Model, row: pd.DataFrame, background: pd.DataFrame, *, kind: LabelKind, seed: int
) -> Contributions:
    """Return what each feature of a row adds to its score, in the order of the columns.

    Args:
        pipeline: gives the scores.
        row: one row.
        background: what its features stand against, the same columns.
        kind: of the label.
        seed: of the orders that are drawn; as many as `PREDICTIONS` scores allow, at most `PAIRS` pairs.
    """
    features, rows = background.shape[1], background.shape[0]
    pairs = max(2, min(PAIRS, PREDICTIONS // (2 * features * rows)))

    def value(sets: Sets) -> FloatArray:
        parts = np.array_split(sets, -(-len(sets) * rows // AT_ONCE))
        found = [pipelines.scores(pipeline, _put(row, background, part), kind=kind) for part in parts]
        return np.concatenate([each.reshape(-1, rows).mean(axis=1) for each in found])

    return shapley(value, features, pairs=pairs, seed=seed)


def _put(row: pd.DataFrame, background: pd.DataFrame, sets: Sets) -> pd.DataFrame:
    """Return the background once for each set, with the set's features taken from the row."""
    import pandas as pd

    columns = {}
    for place, name in enumerate(background.columns):
        theirs = np.tile(background[name].to_numpy(), len(sets))
        mixed = np.where(np.repeat(sets[:, place], len(background)), row[name].to_numpy()[0], theirs)
        columns[name] = pd.Series(mixed, dtype=background[name].dtype)
    return pd.DataFrame(columns)
