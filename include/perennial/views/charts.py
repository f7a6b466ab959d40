"""A chart as plain data: a script draws it, a table says the same without one, and the JSON endpoints hand it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from perennial.io.pages import figure
from perennial.records import Record

Axis = Literal["day", "number", "name"]
Tone = Literal["main", "other", "third", "good", "warn", "bad", "dim"]
Place = str | float


@dataclass(frozen=True, slots=True)
class Trace(Record):
    """One line, row of bars or cloud of points.

    Attributes:
        name: in the legend.
        x: places on the axis, shape (n,): ISO days, numbers or names, as the chart's `axis` says.
        y: values, shape (n,); None is a gap.
        kind: how it is drawn.
        low: lower ends of an interval, shape (n,) or empty.
        high: upper ends, the same.
        texts: what is told of each point, shape (n,) or empty.
        tone: its colour.
    """

    name: str
    x: tuple[Place, ...]
    y: tuple[float | None, ...]
    kind: Literal["line", "bar", "points"] = "line"
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    texts: tuple[str, ...] = ()
    tone: Tone = "main"


@dataclass(frozen=True, slots=True)
class Panel(Record):
    """Traces on one value axis; `limit` is a line across it."""

    title: str
    traces: tuple[Trace, ...]
    unit: str = ""
    limit: float | None = None
    limit_name: str = "limit"


@dataclass(frozen=True, slots=True)
class Mark(Record):
    """Something that happened on a day, in a lane below the panels; `until` where it took longer.

    A mark of the lane named in `Chart.across` is a line across all panels too.
    """

    day: str
    lane: str
    text: str
    tone: Tone = "main"
    until: str | None = None
    href: str = ""


@dataclass(frozen=True, slots=True)
class Chart(Record):
    """Panels above each other on one axis, and what happened along it."""

    id: str
    title: str
    axis: Axis
    panels: tuple[Panel, ...]
    marks: tuple[Mark, ...] = ()
    across: str = ""
    axis_title: str = ""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to draw."""
        return not self.marks and not any(value is not None for trace in self.traces for value in trace.y)

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Return the traces of all panels."""
        return tuple(trace for panel in self.panels for trace in panel.traces)

    @property
    def heads(self) -> tuple[str, ...]:
        """Return the heads of the table: the axis, then each trace, with its panel where there are several."""
        first = self.axis_title or {"day": "Day", "number": "Value", "name": "Name"}[self.axis]
        many = len(self.panels) > 1
        names = ((panel.title, trace.name) for panel in self.panels for trace in panel.traces)
        return (first, *(f"{panel}: {name}" if many and panel != name else name for panel, name in names))

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows of the table: a place on the axis, then what each trace has there; days the newest first."""
        places = list(dict.fromkeys(x for trace in self.traces for x in trace.x))
        if self.axis != "name":
            places.sort(reverse=self.axis == "day")
        columns = [_cells(trace) for trace in self.traces]
        return tuple(
            (place if isinstance(place, str) else figure(place), *(cells.get(place, "") for cells in columns))
            for place in places
        )


def _cells(trace: Trace) -> dict[Place, str]:
    """Return what the table says of a trace, by place: its value, its interval where it has one, and its text."""
    low, high = trace.low or (None,) * len(trace.x), trace.high or (None,) * len(trace.x)
    texts = trace.texts or ("",) * len(trace.x)
    found = {}
    for x, y, least, most, text in zip(trace.x, trace.y, low, high, texts, strict=True):
        interval = "" if least is None or most is None else f" ({figure(least)} to {figure(most)})"
        found[x] = " ".join(filter(None, [f"{figure(y)}{interval}", text]))
    return found


WIDTH, HEIGHT = 120.0, 28.0  # of a sparkline, in the units of its `viewBox`
Values = tuple[float | None, ...]


def spark(values: Values, *, among: Values = (), width: float = WIDTH, height: float = HEIGHT) -> str:
    """Return the `d` of an SVG path through the values, evenly spaced; a gap breaks it, without values it is empty.

    Args:
        values: shape (n,); None is a gap.
        among: other values that have to find room on the same scale.
        width: of the drawing.
        height: of the drawing.

    >>> spark((0.0, None, 1.0, 2.0), width=30, height=10)
    'M0.0 10.0 M20.0 5.0 L30.0 0.0'
    """
    places = _places(values, (*values, *among), width, height)
    parts, pen = [], "M"
    for place in places:
        parts.append("" if place is None else f"{pen}{place[0]:.1f} {place[1]:.1f}")
        pen = "M" if place is None else "L"
    return " ".join(filter(None, parts))


def band(low: Values, high: Values, *, among: Values = (), width: float = WIDTH, height: float = HEIGHT) -> str:
    """Return the `d` of the area between two lines, evenly spaced; places without both ends are left out.

    >>> band((0.0, 0.0), (1.0, 2.0), width=10, height=10)
    'M0.0 5.0 L10.0 0.0 L10.0 10.0 L0.0 10.0 Z'
    """
    both = [least is not None and most is not None for least, most in zip(low, high, strict=True)]
    scale = (*low, *high, *among)
    ends = [_places(side, scale, width, height) for side in (high, low)]
    upper, lower = ([place for place, known in zip(side, both, strict=True) if known and place] for side in ends)
    corners = [*upper, *reversed(lower)]
    return f"M{' L'.join(f'{x:.1f} {y:.1f}' for x, y in corners)} Z" if corners else ""


def _places(values: Values, scale: Values, width: float, height: float) -> list[tuple[float, float] | None]:
    """Return where each value stands in a drawing whose height holds the scale's values; all in its middle if equal."""
    known = [value for value in scale if value is not None]
    if not known:
        return []
    least, span = min(known), max(known) - min(known)
    step = width / max(len(values) - 1, 1)

    def place(at: int, value: float | None) -> tuple[float, float] | None:
        if value is None:
            return None
        return at * step, height / 2 if span == 0 else height * (1 - (value - least) / span)

    return [place(at, value) for at, value in enumerate(values)]
