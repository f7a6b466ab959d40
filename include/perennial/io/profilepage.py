"""The page of a profile: one file without scripts or outside links, in light and in dark."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perennial.io.pages import render

WIDTH, HEIGHT = 220, 56
MOST_CORRELATED = 20
NOTABLE = 0.3  # rank correlations below it are left out


def page(*, title: str, label: str, record: Mapping[str, Any]) -> str:
    """Return the page of a profile.

    Args:
        title: of the use case.
        label: its name.
        record: the profile as plain data.
    """
    tables = [dict(table) | {"columns": [_drawn(column) for column in table["columns"]]} for table in record["tables"]]
    for table in tables:
        pairs = [pair for pair in table["correlations"] if abs(pair[2]) >= NOTABLE]
        table["correlations"] = pairs[:MOST_CORRELATED]
    return render("profile.html", title=title, label=label, record=record, tables=tables, width=WIDTH, height=HEIGHT)


def replaced(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _drawn(column: Mapping[str, Any]) -> dict[str, Any]:
    """Return a column with what its pictures are drawn from: rectangles and points in the picture's own measure."""
    days = column["by_day"]
    change = "mean" if column["kind"] == "number" else "top"
    groups = (column["label"] or {}).get("groups", [])
    return dict(column) | {
        "bars": bars(column["histogram"]["counts"]) if column["histogram"] else [],
        "missing_by_day": points([day["missing"] for day in days]),
        "change": points([day[change] for day in days]),
        "change_name": "mean" if change == "mean" else "share of the most frequent value",
        "label_bars": bars([group["label"] for group in groups]),
    }


def bars(values: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """Return x, y, width and height of a bar for each value, the largest as high as the picture.

    >>> bars([1, 2])[1]
    (110.0, 0.0, 109.0, 56.0)
    """
    if not values:
        return []
    width, most = WIDTH / len(values), max(max(values), 1e-12)
    heights = [max(value, 0) / most * HEIGHT for value in values]
    return [
        (round(at * width, 1), round(HEIGHT - height, 1), round(max(width - 1, 0.5), 1), round(height, 1))
        for at, height in enumerate(heights)
    ]


def points(values: Sequence[float | None]) -> str:
    """Return the points of a line from the least to the greatest value; days without one are left out.

    >>> points([0.0, None, 1.0])
    '0.0,54.0 220.0,2.0'
    """
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return ""
    least, most = min(value for _, value in known), max(value for _, value in known)
    step, span = WIDTH / (len(values) - 1), (most - least) or 1.0
    inner = HEIGHT - 4
    return " ".join(f"{at * step:.1f},{HEIGHT - 2 - (value - least) / span * inner:.1f}" for at, value in known)
