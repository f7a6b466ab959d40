"""All use cases at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.records import Record


@dataclass(frozen=True, slots=True)
class Question(Record):
    """An approval that waits for an answer; `href` leads to Airflow's form."""

    case: str
    subject: str
    at: datetime
    href: str
