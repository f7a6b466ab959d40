"""Pictures for the registry, as PNG; the sole user of matplotlib, and without its global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]
SIZE = (6.4, 4.4)
SMALL = (2.8, 1.9)  # three beside each other in a mail
DOTS = 110
MOST_FEATURES = 20


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a picture."""

    name: str
    x: FloatArray
    y: FloatArray


@dataclass(frozen=True, slots=True)
class Labels:
    """What a picture says about itself; units included."""

    title: str
    x: str
    y: str


def lines(curves: Sequence[Curve], labels: Labels, *, diagonal: bool = False, mark: float | None = None) -> bytes:
    """Return a picture of curves.

    Args:
        curves: drawn in their order, one colour each.
        labels: title and axes.
        diagonal: also draw the line of equal x and y, from (0, 0) to (1, 1) or as far as the curves go: a guess, or
            a perfect calibration.
        mark: an x to mark, such as the chosen share of contacts.
    """
    with _Picture(labels) as picture:
        for curve in curves:
            picture.axes.plot(curve.x, curve.y, marker="o" if len(curve.x) <= MOST_FEATURES else None, label=curve.name)
        if diagonal:
            _diagonal(picture.axes, [curve.x for curve in curves])
        if mark is not None:
            picture.axes.axvline(mark, color="grey", linestyle="--", label=f"chosen: {mark:.0%}")
        picture.axes.legend()
    return picture.png


def dots(curves: Sequence[Curve], labels: Labels) -> bytes:
    """Return a picture of points, such as labels beside predictions, with the line of equal x and y."""
    with _Picture(labels) as picture:
        for curve in curves:
            picture.axes.scatter(curve.x, curve.y, s=6, alpha=0.35, linewidths=0, label=curve.name)
        _diagonal(picture.axes, [curve.x for curve in curves])
        picture.axes.legend()
    return picture.png


def bars(values: Mapping[str, float], labels: Labels) -> bytes:
    """Return a picture of the first twenty values, the first on top."""
    names = list(values)[:MOST_FEATURES]
    with _Picture(labels) as picture:
        picture.axes.barh(names[::-1], [values[name] for name in names[::-1]])
        picture.axes.tick_params(axis="y", labelsize=7)
    return picture.png


def histograms(reference: FloatArray, current: FloatArray, *, name: str, most: int = 20) -> bytes:
    """Return a small picture of a number's distribution: the reference as an area, the day as a line.

    Bins are equally wide between the 1st and the 99th percentile of both; what lies outside is in the outer ones.
    """
    both = np.concatenate([reference, current])
    low, high = np.quantile(both, (0.01, 0.99)) if both.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, most + 1)
    sides = (reference, current)
    shares = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0] / max(side.size, 1) for side in sides]
    with _Picture(Labels(name, "", "share of rows"), size=SMALL) as picture:
        picture.axes.stairs(shares[0], edges, fill=True, color="#cbd5e1", label="reference")
        picture.axes.stairs(shares[1], edges, color="#1d4ed8", linewidth=1.8, label="this day")
        picture.axes.legend(fontsize=7)
    return picture.png


def categories(reference: Mapping[str, float], current: Mapping[str, float], *, name: str, most: int = 8) -> bytes:
    """Return a small picture of the most frequent categories: shares in the reference and on the day, side by side."""
    highest = {each: max(reference.get(each, 0.0), current.get(each, 0.0)) for each in {*reference, *current}}
    names = sorted(highest, key=lambda each: (-highest[each], each))[:most]
    places = np.arange(len(names))
    with _Picture(Labels(name, "", "share of rows"), size=SMALL) as picture:
        for side, shift, color, label in (
            (reference, -0.2, "#cbd5e1", "reference"),
            (current, 0.2, "#1d4ed8", "this day"),
        ):
            picture.axes.bar(places + shift, [side.get(each, 0.0) for each in names], 0.4, color=color, label=label)
        picture.axes.set_xticks(places, [each[:12] for each in names], rotation=30, fontsize=7)
        picture.axes.legend(fontsize=7)
    return picture.png


def _diagonal(axes: Axes, x: Sequence[FloatArray]) -> None:
    """Draw the line of equal x and y over the unit interval, or over all of x where that is wider."""
    span = [min(0.0, *(float(each.min()) for each in x)), max(1.0, *(float(each.max()) for each in x))]
    axes.plot(span, span, color="grey", linestyle=":")


class _Picture:
    """A figure that is drawn in a `with` block and is PNG bytes after it."""

    axes: Axes
    png: bytes

    def __init__(self, labels: Labels, *, size: tuple[float, float] = SIZE) -> None:
        self._labels = labels
        self._size = size

    def __enter__(self) -> _Picture:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._figure = Figure(figsize=self._size, dpi=DOTS, layout="constrained")
        FigureCanvasAgg(self._figure)
        self.axes = self._figure.add_subplot()
        self.axes.grid(visible=True, alpha=0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self.axes.set(title=self._labels.title, xlabel=self._labels.x, ylabel=self._labels.y)
        buffer = io.BytesIO()
        # Without a date in the file, equal curves give equal bytes.
        self._figure.savefig(buffer, format="png", metadata={"Software": None})
        self.png = buffer.getvalue()
