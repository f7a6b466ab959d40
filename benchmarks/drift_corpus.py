"""Pairs of columns, a reference and a day, on which two judges of drift are compared; the seed fixes them all.

Each family is a way in which columns are hard: heavy tails, nulls, infinities, rare categories, dates as text, few
whole numbers, other types on one side. A day is drawn like its reference and then moved, by so much that the rows' own
distance comes to lie at a declared multiple of the limit: 0.9999 and 1.0001 are where a measure on counts would err.
What can only be moved row by row is moved until one row more would cross the limit, and by that row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from perennial.io.counts import measured

LIMIT = 0.1
REFERENCE, DAY = 10_000, 3_000
MULTIPLES = (0.0, 0.5, 0.95, 0.995, 0.9999, 1.0001, 1.005, 1.05, 3.0)
STEPS = 18  # halvings, so that the multiples next to 1 are met
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Any]
Kind = Literal["numeric", "categorical"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and a day of one column."""

    family: str
    kind: Kind
    reference: pa.ChunkedArray
    current: pa.ChunkedArray


def pairs(seed: int = 7) -> Iterator[Pair]:
    """Yield all pairs, the same ones for the same seed."""
    for number, (family, draw) in enumerate(CONTINUOUS.items()):
        yield from _moved(family, draw, np.random.default_rng([seed, 1, number]))
    for number, (family, draw) in enumerate(STEPWISE.items()):
        yield from _exchanged(family, draw, np.random.default_rng([seed, 2, number]))
    yield from _odd(np.random.default_rng([seed, 3]))


def _normal(generator: np.random.Generator, rows: int) -> Floats:
    return generator.normal(10, 3, rows)


def _pareto(generator: np.random.Generator, rows: int) -> Floats:
    return np.asarray(generator.pareto(1.3, rows))


def _bimodal(generator: np.random.Generator, rows: int) -> Floats:
    return np.where(generator.random(rows) < 0.3, generator.normal(-5, 0.2, rows), generator.normal(8, 2, rows))


def _zero_inflated(generator: np.random.Generator, rows: int) -> Floats:
    return np.where(generator.random(rows) < 0.7, 0.0, generator.lognormal(2, 1, rows))


def _with_nulls(generator: np.random.Generator, rows: int) -> Floats:
    return np.where(generator.random(rows) < 0.3, np.nan, generator.normal(0, 1, rows))


def _with_infinities(generator: np.random.Generator, rows: int) -> Floats:
    found = generator.standard_t(3, rows)
    found[generator.random(rows) < 0.002] = np.inf
    found[generator.random(rows) < 0.001] = -np.inf
    return np.asarray(found)


CONTINUOUS: dict[str, Draw] = {
    "normal": _normal,
    "uniform": lambda generator, rows: generator.random(rows),
    "exponential": lambda generator, rows: generator.exponential(5, rows),
    "lognormal, sigma 1": lambda generator, rows: generator.lognormal(0, 1, rows),
    "lognormal, sigma 2.5": lambda generator, rows: generator.lognormal(0, 2.5, rows),
    "pareto 1.3": _pareto,
    "cauchy": lambda generator, rows: generator.standard_cauchy(rows),
    "t of 3": lambda generator, rows: generator.standard_t(3, rows),
    "skewed to the left": lambda generator, rows: -generator.gamma(0.5, 10, rows),
    "two humps": _bimodal,
    "zeros and a tail": _zero_inflated,
    "nulls, 30 %": _with_nulls,
    "infinities": _with_infinities,
    "about a billion": lambda generator, rows: 1e9 + generator.normal(0, 1, rows),
    "a thousandth wide": lambda generator, rows: generator.normal(0.5, 0.0004, rows),
    "up to 1e30": lambda generator, rows: generator.normal(0, 1e30, rows),
}


def _words(count: int, power: float) -> Draw:
    """Return a draw of `count` words whose frequencies fall like a power of their rank."""
    words = np.array([f"word {place}" for place in range(count)], dtype=object)
    shares = 1 / np.arange(1, count + 1) ** power
    return lambda generator, rows: words[generator.choice(count, rows, p=shares / shares.sum())]


def _dates(generator: np.random.Generator, rows: int) -> NDArray[Any]:
    days = np.datetime64("2026-01-01") + generator.integers(0, 300, rows)
    return days.astype(str).astype(object)


def _texts_with_nulls(generator: np.random.Generator, rows: int) -> NDArray[Any]:
    found = _words(8, 1.0)(generator, rows)
    found[generator.random(rows) < 0.4] = None
    return np.asarray(found)


STEPWISE: dict[str, Draw] = {
    "flag": lambda generator, rows: (generator.random(rows) < 0.1).astype(np.int64),
    "truth": lambda generator, rows: generator.random(rows) < 0.6,
    "whole numbers 0 to 4": lambda generator, rows: generator.integers(0, 5, rows),
    "counts": lambda generator, rows: generator.poisson(3, rows),
    "prices": lambda generator, rows: np.round(generator.gamma(2, 20, rows) * 2) / 2 - 0.01,
    "beyond 2**53": lambda generator, rows: generator.integers(2**60, 2**62, rows),
    "two words": _words(2, 0.5),
    "ten words": _words(10, 1.0),
    "forty words, rare ones": _words(40, 2.5),
    "sixty words": _words(60, 1.2),
    "2,000 words": _words(2000, 1.0),
    "dates as text": _dates,
    "nulls, 40 %": _texts_with_nulls,
    "numbers as text": lambda generator, rows: generator.integers(0, 12, rows).astype(str).astype(object),
}


def _moved(family: str, draw: Draw, generator: np.random.Generator) -> Iterator[Pair]:
    """Yield days moved as a whole, and days some rows of which are stretched, at each multiple of the limit."""
    reference = pa.chunked_array([draw(generator, REFERENCE)])
    for multiple in MULTIPLES:
        rows = draw(generator, DAY)
        scale = float(np.nanstd(rows[np.isfinite(rows)])) or 1.0
        for way, by in (("moved", _shifted), ("stretched", _stretched)):
            if multiple == 0 and way == "stretched":
                continue
            change = partial(by, rows, scale)
            amount = _amount(reference, change, multiple)
            yield Pair(f"{family}, {way}", "numeric", reference, pa.chunked_array([change(amount)]))


def _shifted(rows: Floats, scale: float, amount: float) -> Floats:
    return rows + scale * amount


def _stretched(rows: Floats, scale: float, amount: float) -> Floats:
    """Return rows of which every fourth is moved, now up, now down."""
    found = rows.copy()
    found[::4] += scale * amount * np.where(np.arange(found[::4].size) % 2, 1.0, -1.0)
    return found


def _amount(reference: pa.ChunkedArray, change: Callable[[float], Floats], multiple: float) -> float:
    """Return by how much rows have to be changed to lie at a multiple of the limit; 0 where they already do."""
    if multiple == 0:
        return 0.0

    def reached(size: float) -> bool:
        found = measured(reference, pa.chunked_array([change(size)]), kind="numeric")
        return found is not None and found >= multiple * LIMIT

    low, high = 0.0, 0.5
    while not reached(high):
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _exchanged(family: str, draw: Draw, generator: np.random.Generator) -> Iterator[Pair]:
    """Yield days in which as many rows are exchanged as the limit allows, one more, and fewer and more than that."""
    reference = draw(generator, REFERENCE)
    kind: Kind = "categorical" if reference.dtype == object else "numeric"
    known = pa.chunked_array([reference])
    for place in range(3):
        rows, other = draw(generator, DAY), _others(draw(generator, DAY), kind, place)

        def day(count: int, rows: Any = rows, other: Any = other) -> pa.ChunkedArray:
            return pa.chunked_array([np.r_[other[:count], rows[count:]]])

        most = _count(known, day, kind)
        for count in sorted(
            {min(max(each, 0), DAY) for each in (0, most // 3, most - 2, most - 1, most, most + 1, DAY)}
        ):
            yield Pair(family, kind, known, day(count))


def _others(rows: Any, kind: Kind, place: int) -> Any:
    """Return the rows that come in: one value for all, one shuffled value beside, or words that were never there."""
    if kind == "categorical":
        return np.array([("new", rows[0], f"new {row % 30}")[place] for row in range(rows.size)], dtype=object)
    if rows.dtype == bool:
        return np.full(rows.size, place != 1)
    return np.full(rows.size, (rows.max(), rows.min(), rows[0])[place])


def _count(reference: pa.ChunkedArray, day: Callable[[int], pa.ChunkedArray], kind: Kind) -> int:
    """Return the fewest rows with which a day reaches the limit; all of them where none does."""
    low, high = 0, DAY
    while low < high:
        middle = (low + high) // 2
        found = measured(reference, day(middle), kind=kind)
        low, high = (low, middle) if found is not None and found >= LIMIT else (middle + 1, high)
    return high


def _odd(generator: np.random.Generator) -> Iterator[Pair]:
    """Yield constants, other types on one side, and few rows."""
    numbers = np.round(generator.normal(50, 10, REFERENCE))
    wider = np.round(generator.normal(50.9, 10, DAY))
    for name, cast in (
        ("whole numbers, then decimals", lambda rows: pa.array([Decimal(int(row)) + Decimal("0.25") for row in rows])),
        ("whole numbers, then float32", lambda rows: pa.array(rows.astype(np.float32))),
        ("whole numbers, then int16", lambda rows: pa.array(rows.astype(np.int16))),
    ):
        yield Pair(name, "numeric", pa.chunked_array([numbers.astype(np.int64)]), pa.chunked_array([cast(wider)]))
    words = _words(12, 1.0)
    coded = pa.chunked_array([pa.array(words(generator, DAY)).dictionary_encode()])
    yield Pair("text, then a dictionary", "categorical", pa.chunked_array([words(generator, REFERENCE)]), coded)
    yield Pair(
        "a number as category", "categorical", *(pa.chunked_array([each.astype(int)]) for each in (numbers, wider))
    )
    for value in (3.0, 3.00005, 3.0002, 4.0):
        for rows in (np.full(REFERENCE, 3.0), generator.normal(3, 0.01, REFERENCE)):
            yield Pair("constant", "numeric", pa.chunked_array([rows]), pa.chunked_array([np.full(DAY, value)]))
    for value in ("a", "b"):
        same = pa.chunked_array([np.full(REFERENCE, "a", dtype=object)])
        yield Pair("constant text", "categorical", same, pa.chunked_array([np.full(DAY, value, dtype=object)]))
    for rows in (30, 200, 1000):
        for shift in (0.0, 0.05, 0.1, 0.2):
            few = pa.chunked_array([generator.normal(shift, 1, rows)])
            yield Pair("few rows", "numeric", pa.chunked_array([generator.normal(0, 1, 1200)]), few)
