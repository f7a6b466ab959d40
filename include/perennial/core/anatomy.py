"""The parts of a fitted pipeline, each with a fingerprint: two fits of the same rows have the same ones.

What is hashed is what pickling would keep, without what differs between two processes: places in memory, the padding
of records, the order of sets. Neither a pickle nor a skops file is the same twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

PROTOCOL = 4
SCALARS = (bool, int, float, complex, str, bytes, np.number, np.bool_)
LIBRARY = "_sklearn_version"  # the manifest has the libraries; the same numbers are the same model


def parts(pipeline: Pipeline) -> dict[str, str]:
    """Return the SHA-256 of each attribute of each step, such as `model.coef_`."""
    return {
        f"{name}.{attribute}": _digest(value)
        for name, step in pipeline.steps
        for attribute, value in sorted(vars(step).items())
    }


def _digest(value: Any) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(value, ()):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any, above: tuple[int, ...]) -> Iterable[bytes]:
    """Yield the bytes that stand for a value; `above` are the objects that it is a part of."""
    if value is None or isinstance(value, SCALARS):
        yield f"{type(value).__name__} {value!r};".encode()
    elif id(value) in above:
        yield f"above {above.index(id(value))};".encode()
    elif isinstance(value, np.ndarray):
        yield from _array(value, (*above, id(value)))
    elif isinstance(value, Mapping):
        yield from _mapping(value, (*above, id(value)))
    elif isinstance(value, (list, tuple)):
        yield from _sequence(value, (*above, id(value)))
    elif isinstance(value, (set, frozenset)):
        yield f"set {sorted(map(_digest, value))};".encode()
    elif callable(value) and hasattr(value, "__qualname__"):
        yield f"named {value.__module__}.{value.__qualname__};".encode()
    else:
        yield from _object(value, (*above, id(value)))


def _array(value: NDArray[Any], above: tuple[int, ...]) -> Iterable[bytes]:
    yield f"array {value.dtype.str} {value.shape};".encode()
    if value.dtype.names is not None:  # between the fields of a record lies whatever was there before
        for name in value.dtype.names:
            yield name.encode()
            yield from _array(value[name], above)
    elif value.dtype.hasobject:
        yield from _sequence(value.ravel().tolist(), above)
    else:
        yield np.ascontiguousarray(value).tobytes()


def _mapping(value: Mapping[Any, Any], above: tuple[int, ...]) -> Iterable[bytes]:
    yield f"mapping {len(value)};".encode()
    for key in sorted(value, key=repr):
        if key != LIBRARY:
            yield from _pieces(key, above)
            yield from _pieces(value[key], above)


def _sequence(value: list[Any] | tuple[Any, ...], above: tuple[int, ...]) -> Iterable[bytes]:
    yield f"sequence {len(value)};".encode()
    for each in value:
        yield from _pieces(each, above)


def _object(value: Any, above: tuple[int, ...]) -> Iterable[bytes]:
    reduced = value.__reduce_ex__(PROTOCOL)
    if isinstance(reduced, str):
        yield f"named {type(value).__module__}.{reduced};".encode()
        return
    for piece in reduced[:5]:
        iterated = hasattr(piece, "__next__")  # pickle's own iterators over the items of a list or a mapping
        yield from _pieces(list(piece) if iterated else piece, above)
