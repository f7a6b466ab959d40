"""How the model answers rows as no holdout has them: missing, unseen, extreme, in another order, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perennial.core.deviations import FloatArray
from perennial.core.evidence import Evidence, Rows
from perennial.spec import BehaviourGate
from perennial.verdicts import GatePart, GateResult

if TYPE_CHECKING:
    import pandas as pd

EXTREMES = (-1e12, 1e12)
NEVER_SEEN = "a text that no training had"
STEPS = 9  # of a feature, between its smallest and its largest quantile
SINGLES = 20
TOLERANCE = 1e-9


def behaves(gate: BehaviourGate, evidence: Evidence) -> GateResult:
    """Return whether all probes hold; the value is how many do not, the parts are those, the worst first."""
    rows = evidence.features()
    generator = np.random.default_rng(evidence.seed)
    frame = rows.frame[list(rows.features)]
    chosen = np.sort(generator.choice(len(frame), min(gate.rows, len(frame)), replace=False))
    sample = frame.iloc[chosen].reset_index(drop=True)
    probable = evidence.challenger.scored.kind == "binary"
    parts = [part for probe in gate.behaviour for part in PROBES[probe](rows, sample, probable, generator)]
    parts += [_follows(rows, sample, name, sign=1.0) for name in gate.rising if name in rows.features]
    parts += [_follows(rows, sample, name, sign=-1.0) for name in gate.falling if name in rows.features]
    parts += [_ignores(rows, sample, name, generator) for name in gate.invariant if name in rows.features]
    broken = [part for part in parts if part.value > 0]
    told = "; ".join(f"{part.name}: {part.detail}" for part in broken) or f"{len(parts)} probes hold"
    return GateResult(
        name="behaviour",
        value=float(len(broken)),
        limit=0.0,
        margin=float(-len(broken)),
        detail=told,
        mode=gate.mode,
        parts=tuple(sorted(broken, key=lambda part: -part.value)),
    )


def _missing(rows: Rows, sample: pd.DataFrame, probable: bool, _: np.random.Generator) -> Iterator[GatePart]:  # noqa: FBT001
    """Yield the answers to rows without any value, and to rows without one feature at a time."""
    yield _finite(rows, _with_nothing(rows, sample, rows.features), "all missing", probable=probable)
    for name in rows.features:
        yield _finite(rows, _with_nothing(rows, sample, (name,)), f"{name} missing", probable=probable)


def _unseen(rows: Rows, sample: pd.DataFrame, probable: bool, _: np.random.Generator) -> Iterator[GatePart]:  # noqa: FBT001
    """Yield the answer to rows with texts that no training had."""
    if rows.categorical:
        odd = sample.assign(**dict.fromkeys(rows.categorical, NEVER_SEEN))
        yield _finite(rows, odd.astype(sample.dtypes.to_dict()), "unseen texts", probable=probable)


def _extreme(rows: Rows, sample: pd.DataFrame, probable: bool, _: np.random.Generator) -> Iterator[GatePart]:  # noqa: FBT001
    """Yield the answers to rows with numbers far outside."""
    for extreme in EXTREMES:
        far = sample.assign(**dict.fromkeys(rows.numeric, extreme))
        yield _finite(rows, far, f"numbers of {extreme:g}", probable=probable)


def _permuted(rows: Rows, sample: pd.DataFrame, _: bool, generator: np.random.Generator) -> Iterator[GatePart]:  # noqa: FBT001
    """Yield whether rows in another order get the same predictions."""
    order = generator.permutation(len(sample))
    yield _same(
        rows.predict(sample)[order], lambda: rows.predict(sample.iloc[order].reset_index(drop=True)), "permuted"
    )


def _single(rows: Rows, sample: pd.DataFrame, _: bool, __: np.random.Generator) -> Iterator[GatePart]:  # noqa: FBT001
    """Yield whether rows alone get the predictions that they get among others."""
    few = sample.iloc[:SINGLES]

    def alone() -> FloatArray:
        return np.concatenate([rows.predict(few.iloc[[place]].reset_index(drop=True)) for place in range(len(few))])

    yield _same(rows.predict(sample)[:SINGLES], alone, "single rows")


Probe = Callable[[Rows, "pd.DataFrame", bool, np.random.Generator], Iterator[GatePart]]
PROBES: dict[str, Probe] = {
    "missing": _missing,
    "unseen": _unseen,
    "extreme": _extreme,
    "permuted": _permuted,
    "single": _single,
}


def _follows(rows: Rows, sample: pd.DataFrame, name: str, *, sign: float) -> GatePart:
    """Return how many rows' predictions turn back while one feature rises over its quantiles, all else as it is."""
    values = sample[name].to_numpy(dtype=np.float64)
    steps = np.unique(np.nanquantile(values, np.linspace(0, 1, STEPS)))
    answers = np.stack([rows.predict(sample.assign(**{name: step})) for step in steps])
    turning = np.asarray((sign * np.diff(answers, axis=0) < -TOLERANCE).any(axis=0))
    word = "rising" if sign > 0 else "falling"
    return _counted(f"{name} {word}", turning, f"turns back while {name} rises")


def _ignores(rows: Rows, sample: pd.DataFrame, name: str, generator: np.random.Generator) -> GatePart:
    """Return how many rows' predictions change with a feature that must not matter."""
    other = sample.assign(**{name: sample[name].to_numpy()[generator.permutation(len(sample))]})
    moved = np.abs(rows.predict(other.astype(sample.dtypes.to_dict())) - rows.predict(sample)) > TOLERANCE
    return _counted(f"{name} invariant", moved, f"changes with {name}")


def _finite(rows: Rows, frame: pd.DataFrame, name: str, *, probable: bool) -> GatePart:
    """Return how many rows get no finite prediction, or no probability."""
    try:
        answer = rows.predict(frame)
    except (ValueError, TypeError) as error:  # scikit-learn's own kinds for rows it does not take
        return _counted(name, np.ones(len(frame), dtype=bool), f"refused: {str(error).partition(chr(10))[0]}")
    good = np.isfinite(answer)
    if probable:
        good &= (answer >= 0) & (answer <= 1)
    return _counted(name, ~good, "no probability" if probable else "not finite")


def _same(expected: FloatArray, ask: Callable[[], FloatArray], name: str) -> GatePart:
    """Return how many rows get another prediction than expected."""
    apart = np.abs(ask() - expected) > TOLERANCE * np.maximum(1.0, np.abs(expected))
    return _counted(name, apart, "another prediction")


def _counted(name: str, broken: NDArray[np.bool_], what: str) -> GatePart:
    """Return a probe's outcome: for how many of its rows it does not hold."""
    count = int(broken.sum())
    return GatePart(
        name, float(count), rows=broken.size, detail=f"{what} for {count} of {broken.size} rows" if count else ""
    )


def _with_nothing(rows: Rows, sample: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows with some features missing, in the types that a snapshot has."""
    empty = {name: np.nan if name in rows.numeric else None for name in names}
    return sample.assign(**empty).astype(sample.dtypes.to_dict())
