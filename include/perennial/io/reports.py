"""Pages for people: Evidently's drift report on a sample; the sole importer of evidently.

What is on the page decides nothing: the verdicts come from `core.drift` on all rows. Evidently gives up a
whole page for one column it cannot draw, so columns that would break it are left out and named at the page's
head.
"""

from __future__ import annotations

import html
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.spec import UseCase

if TYPE_CHECKING:
    import pandas as pd

SCORE = "score"
DEFAULT_SHARE = 0.5  # of the columns, in Evidently's preset
HEAD = (
    '<div style="font-family: sans-serif; padding: 1em 2em; background: #eef2f7">'
    "<h2>{title}: {day} against the training of version {version}</h2>"
    "<p>A sample of {rows} rows a side; the limit of the PSI is {limit:g}. The verdicts that count are in the daily "
    "finding, which looks at all rows{limits}.</p>{left_out}</div>"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is about.

    `left_out` gives the verdict on each column that is not shown, `limits` says how the finding's limits came about: on
    the page's sample they would mean nothing, so it draws a fixed one.
    """

    case: str
    title: str
    day: date
    model_version: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    left_out: Mapping[str, str]
    psi_limit: float
    drifted_share_limit: float
    rows: int
    limits: str = ""


class Reports:
    """Writes pages below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, page: Page, *, current: pa.Table, reference: pa.Table) -> str | None:
        """Write the page and return its path below the root, or None where Evidently cannot draw any column.

        The path is `drift/<case>/<day>/version-<n>.html`; writing it again replaces it.
        """
        frames = _frames(page, current, reference)
        path = Path("drift") / page.case / page.day.isoformat() / f"version-{page.model_version}.html"
        try:
            text = _rendered(page, *frames)
        except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
            # A page that cannot be drawn must not cost the finding, which is what the day is about.
            log.warning("no page for %s of %s: %s: %s", page.case, page.day, type(error).__name__, error)
            return None
        _replace(self.root / path, text)
        return path.as_posix()


def default_preset(case: UseCase, *, current: pa.Table, reference: pa.Table) -> bool:
    """Tell whether Evidently's drift preset, with all of its defaults, says that a day's features have drifted.

    Its own choice of measure and limit for each column; the day has drifted where half of the columns have. It looks at
    as many rows as the page does.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    page = Page(
        case.name, case.title, date.min, "", case.features.numeric, case.features.categorical, {},
        psi_limit=0.0, drifted_share_limit=0.0, rows=case.monitoring.report_rows,
    )  # fmt: skip
    known = [name for name in case.features.columns if name in current.column_names and name in reference.column_names]
    sides = _frames(page, current.select(known), reference.select(known), names=known)
    numeric = [name for name in sides[0].columns if name not in case.features.categorical]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in sides[0].columns if name not in numeric]
    )
    before, today = (Dataset.from_pandas(side, data_definition=definition) for side in sides)
    found = Report([DataDriftPreset()]).run(today, before).dict()["metrics"]
    share = next(
        metric["value"]["share"] for metric in found if metric["metric_name"].startswith("DriftedColumnsCount")
    )
    return bool(share >= DEFAULT_SHARE)


def _frames(
    page: Page, current: pa.Table, reference: pa.Table, *, names: list[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return samples of both sides with the columns that both can show, by default all of the page."""
    names = [*page.numeric, *page.categorical] if names is None else names
    if SCORE in current.column_names and SCORE in reference.column_names:
        names.append(SCORE)
    sides = [_sample(table, page, names) for table in (reference, current)]
    shown = [name for name in names if all(side[name].notna().any() for side in sides)]
    return sides[0][shown], sides[1][shown]


def _sample(table: pa.Table, page: Page, names: list[str]) -> pd.DataFrame:
    """Return at most `page.rows` rows; infinite numbers are shown as missing."""
    import pandas as pd

    size = min(page.rows, table.num_rows)
    chosen = np.sort(np.random.default_rng(0).choice(table.num_rows, size, replace=False))
    rows = table.select(names).take(pa.array(chosen))
    columns: dict[str, Any] = {}
    for name in names:
        if name in page.categorical:
            columns[name] = pd.Series(pc.cast(rows[name], pa.string()).to_pylist(), dtype="object")
        else:
            values = np.array(pc.cast(rows[name], pa.float64()).to_numpy(), dtype=np.float64)
            values[np.isinf(values)] = np.nan
            columns[name] = values
    return pd.DataFrame(columns, index=pd.RangeIndex(size))


def _rendered(page: Page, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    """Return the page as HTML."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    categorical = [name for name in page.categorical if name in reference]
    numeric = [name for name in reference.columns if name not in categorical]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    # Evidently picks another measure by the number of rows unless it is told.
    preset = DataDriftPreset(method="psi", threshold=page.psi_limit, drift_share=page.drifted_share_limit)
    snapshot = Report([preset]).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    return _with_head(snapshot.get_html_str(as_iframe=False), page, rows=len(current))


def _with_head(text: str, page: Page, *, rows: int) -> str:
    """Return the page with what it is about on top."""
    named = "; ".join(f"{html.escape(name)} ({html.escape(verdict)})" for name, verdict in page.left_out.items())
    head = HEAD.format(
        title=html.escape(page.title),
        day=page.day,
        version=html.escape(page.model_version),
        rows=rows,
        limit=page.psi_limit,
        limits=f" ({html.escape(page.limits)})" if page.limits else "",
        left_out=f"<p>Left out: {named}.</p>" if named else "",
    )
    start, body, rest = text.partition("<body>")
    return f"{start}{body}{head}{rest}" if body else head + text


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
