"""Fills the templates of mails and pages; every value is escaped unless a template says otherwise.

The sole importer of jinja2.
"""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perennial.records import Record

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

ABSENT = "—"
IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {sign: f"\\{sign}" for sign in "\\`*[]|"})


def number(value: float | None) -> str:
    """Return a figure as people read it: thousands by comma, else three decimals; a dash where there is none."""
    if value is None or math.isnan(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def figure(value: float | None) -> str:
    """Return a figure to four digits, so that a small one is not shown as 0; what is below a millionth is 0.

    >>> figure(-0.0001), figure(0.83654), figure(12345.6), figure(1e-9), figure(None)
    ('-0.0001', '0.8365', '12,346', '0', '—')
    """
    if value is None or math.isnan(value):
        return ABSENT
    if abs(value) < 1e-6:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def moment(value: datetime | date | None) -> str:
    """Return a UTC time to the minute, a day as it is, a dash where there is none."""
    if value is None:
        return ABSENT
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else f"{value:%Y-%m-%d}"


def days(value: float) -> str:
    """Return a number of days in words.

    >>> days(1.0), days(0.5), days(7)
    ('1 day', '0.5 days', '7 days')
    """
    return f"{value:g} {'day' if value == 1 else 'days'}"


def address(airflow_url: str, page: str) -> str:
    """Return where Airflow shows a page, given by its path below the folder of pages.

    >>> address("http://airflow/", "drift/toy/a b.html")
    'http://airflow/perennial/pages/drift/toy/a%20b.html'
    """
    return f"{airflow_url.rstrip('/')}/perennial/pages/{quote(page)}"


def duration(seconds: float) -> str:
    """Return a length of time in the unit that people would take.

    >>> duration(4.2), duration(300), duration(9000)
    ('4.2 s', '5.0 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def cell(value: object) -> str:
    r"""Return a text as Markdown shows it, on one line: nothing of it is a tag, a link, a picture or another column.

    >>> cell("a|b <script> [c](d)")
    'a\\|b &lt;script&gt; \\[c\\](d)'
    """
    return " ".join(str(value).split()).translate(ESCAPED)


def words(name: str) -> str:
    """Return a metric's name for people: `roc_auc` is "ROC AUC"."""
    spelled = {"roc": "ROC", "auc": "AUC", "psi": "PSI", "mae": "MAE", "rmse": "RMSE", "r2": "R²"}
    return " ".join(spelled.get(word, word) for word in name.split("_"))


def embedded(record: Record) -> Markup:
    r"""Return a record as JSON that may stand within a `<script>` that is data: no value of it can end the element."""
    from markupsafe import Markup

    text = json.dumps(record.to_json(), allow_nan=False)
    return Markup(text.translate(IN_SCRIPT))  # noqa: S704  what HTML reads in a script is written as JSON's escapes


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("perennial", "templates"),
        autoescape=select_autoescape(enabled_extensions=("html", "css"), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number, "figure": figure, "moment": moment, "words": words, "days": days, "cell": cell,
        "duration": duration, "address": address, "json": embedded,
    }  # fmt: skip
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template of `perennial/templates` filled with `values`; an unknown name in it is an error."""
    return _environment().get_template(template).render(**values)
