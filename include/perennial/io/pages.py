"""Fills the templates of mails and pages; every value is escaped unless a template says otherwise.

The sole importer of jinja2.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment

ABSENT = "—"


def number(value: float | None) -> str:
    """Return a figure as people read it: thousands by comma, else three decimals; a dash where there is none."""
    if value is None or math.isnan(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def moment(value: datetime | date | None) -> str:
    """Return a UTC time to the minute, a day as it is, a dash where there is none."""
    if value is None:
        return ABSENT
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else f"{value:%Y-%m-%d}"


def address(airflow_url: str, page: str) -> str:
    """Return where Airflow shows a page, given by its path below the folder of pages.

    >>> address("http://airflow/", "drift/toy/a b.html")
    'http://airflow/perennial/pages/drift/toy/a%20b.html'
    """
    return f"{airflow_url.rstrip('/')}/perennial/pages/{quote(page)}"


def words(name: str) -> str:
    """Return a metric's name for people: `roc_auc` is "ROC AUC"."""
    spelled = {"roc": "ROC", "auc": "AUC", "psi": "PSI", "mae": "MAE", "rmse": "RMSE", "r2": "R²"}
    return " ".join(spelled.get(word, word) for word in name.split("_"))


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
    environment.filters |= {"number": number, "moment": moment, "words": words}
    return environment


def render(template: str, **values: Any) -> str:
    """Return a template of `perennial/templates` filled with `values`; an unknown name in it is an error."""
    return _environment().get_template(template).render(**values)
