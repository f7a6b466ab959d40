"""What a day's measures amount to, and the incident that grows out of it; one incident has one thread of mails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

from perennial.records import Measure, Record

Severity = Literal["info", "warning", "critical"]
DayKind = Literal["feed broken", "labels late", "world changed", "model decayed"]
Kind = Literal[DayKind, "run failed", "challenger held back", "deadline missed", "aliases moved"]
Verdict = Literal[DayKind, "nothing to do"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
DAY_KINDS: tuple[DayKind, ...] = get_args(DayKind)
KINDS: tuple[Kind, ...] = (*DAY_KINDS, "run failed", "challenger held back", "deadline missed", "aliases moved")

# How serious each kind is when it opens, unless the use case says otherwise.
OPENS_AS: Mapping[Kind, Severity] = {
    "feed broken": "warning",
    "labels late": "warning",
    "world changed": "warning",
    "model decayed": "critical",
    "run failed": "warning",
    "challenger held back": "info",
    "deadline missed": "warning",
    "aliases moved": "critical",
}


def rank(severity: Severity) -> int:
    """Return how serious a severity is: 0 for info, 1 for warning, 2 for critical."""
    return SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True)
class Triage(Record):
    """What a day's measures amount to, why, and which of them say so.

    `hurts` tells that it has reached the model's results: its metric, measured or estimated, or its money.
    """

    verdict: Verdict
    reason: str
    measures: tuple[Measure, ...] = ()
    hurts: bool = False


@dataclass(frozen=True, slots=True)
class Incident(Record):
    """One incident as the ledger's entries about it add up; `id` is that of the entry that opened it.

    Attributes:
        id: of the opening entry.
        case: use case it was opened for.
        about: what tells it from others that are open: the kind, or the kind and its cause.
        kind: what it is; the runbook has a section for each.
        severity: as it is now; it never falls.
        since: the first day of it.
        opened_at: when it was opened.
        reason: why it was opened, or got worse.
        version: the champion then.
        parts: what has failed and not recovered, as `dag.task`; for runs that fail, of all use cases it hit.
        cases: use cases it has hit.
        acknowledged_by: who is at work on it.
        snoozed_until: no mail about it before this day, but for its end.
        closed_at: when it was over, None where it is open.
        closed_because: why.
    """

    id: int
    case: str
    about: str
    kind: Kind
    severity: Severity
    since: date
    opened_at: datetime
    reason: str
    version: str | None = None
    parts: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    acknowledged_by: str | None = None
    snoozed_until: date | None = None
    closed_at: datetime | None = None
    closed_because: str = ""

    @property
    def is_open(self) -> bool:
        """Tell whether it is not over."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class Step(Record):
    """What a day does to the incidents of a use case.

    `opens` has no incident yet; `gets worse` and `ends` are about one that is open.
    """

    action: Literal["opens", "gets worse", "ends"]
    kind: DayKind
    severity: Severity
    since: date
    reason: str
