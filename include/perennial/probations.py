"""The probation that is running: what was declared when it began, as the ledger keeps it, and how far it has come.

The terms lie in the promotion's own entry, so that neither a spec that is changed later nor a task that is killed
behind the promotion changes them. Any later promotion or rollback ends a probation, and so does surviving it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from pydantic import TypeAdapter

from perennial.core.estimation import Expected
from perennial.core.probation import ProbationRecord, Terms
from perennial.io.entries import Action, Entry
from perennial.records import Json, Record
from perennial.spec import UseCase, Value

PROBATION = "probation"  # in the report of a promotion: the terms
WHO = "probation"  # rolls back by itself


class LedgerReader(Protocol):
    """What is asked of the ledger."""

    def latest_promotion(self, case: str) -> Entry | None:
        """Return the entry that made the champion."""

    def latest(self, case: str, action: Action) -> Entry | None:
        """Return the newest entry of an action."""


class LedgerWriter(LedgerReader, Protocol):
    """What the ledger is told."""

    def add(self, entry: Entry, *, once: str | None = None) -> Entry:
        """Append an entry; the one of the same `once`, where there is one."""


@dataclass(frozen=True, slots=True)
class Declared(Record):
    """What a promotion's entry keeps of the spec of its day.

    Attributes:
        metric: whose loss is compared.
        terms: what the probation is held to.
        start: the first day that can count: later than every day the training knew or the former champion has scored.
        value: money, as it was declared; None where there is none.
    """

    metric: str
    terms: Terms
    start: date
    value: Value | None = None

    def to_json(self) -> Json:
        """Return it as plain data."""
        value = None if self.value is None else self.value.model_dump(mode="json")
        return {
            "metric": self.metric, "terms": self.terms.to_json(), "start": self.start.isoformat(), "value": value,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """A probation that is not over: `crowning` is the promotion that began it."""

    crowning: Entry
    declared: Declared

    @property
    def new(self) -> str:
        """Return the version on probation."""
        return str(self.crowning.to_version)

    @property
    def former(self) -> str:
        """Return the version that scores in the shadow."""
        return str(self.crowning.from_version)

    @property
    def length(self) -> str:
        """Return what ends it, in words."""
        terms = self.declared.terms
        return f"{terms.days} days with labels" if terms.days is not None else f"{terms.labels:,} labels"

    def told(self, shadow: Sequence[date], *, newest: date | None) -> str:
        """Return in a line how far it has come.

        Args:
            shadow: the days that the former champion has scored.
            newest: the newest day of which there are features; labels up to it are known.
        """
        start, terms = self.declared.start, self.declared.terms
        through = start if newest is None else newest - timedelta(days=terms.horizon_days)
        known = sum(start <= day <= through for day in shadow)
        since = f"on probation against version {self.former}"
        if terms.days is None:
            return f"{since}: {known} days of labels, until {self.length}"
        missed = max((through - start).days + 1, 0) - known if newest is not None else 0
        last = start + timedelta(days=terms.days - 1 + max(missed, 0) + terms.horizon_days)
        return f"{since}: {min(known, terms.days)} of {self.length}, until {last} at the earliest"


@dataclass(frozen=True, slots=True)
class ProbationLook(Record):
    """How a probation stands on a day.

    Attributes:
        case: name of the use case.
        day: the look's day; labels up to it are known.
        new: the version on probation.
        former: the version that scores in the shadow, and would be champion again.
        crowning: number of the entry that began it.
        metric: whose loss is compared.
        start: the first day that counts.
        length: what ends it, in words.
        verdict: "decayed" by matured labels or by the estimate, "survived" once it is over, else "going on".
        by: what a decay was found by; None where there is none.
        reason: the verdict in words.
        labels: the look at the matured labels.
        estimates: the metric that is expected of the new and of the former champion on the newest day; None where it
            cannot be told.
        missing_since: the first day that the new champion has scored and the former one has not; None where none is.
        notes: what could not be looked at, and why.
    """

    case: str
    day: date
    new: str
    former: str
    crowning: int
    metric: str
    start: date
    length: str
    verdict: str
    by: str | None
    reason: str
    labels: ProbationRecord
    estimates: tuple[Expected, Expected] | None
    missing_since: date | None
    notes: tuple[str, ...] = ()


def declared(case: UseCase, *, trained: date | None, scored: Sequence[date]) -> Declared | None:
    """Return the terms of a probation that begins now, None where the use case has none.

    Args:
        case: whose.
        trained: the day as of which the new champion was trained.
        scored: the days that have scores already, oldest first.
    """
    if case.probation is None:
        return None
    rules = case.probation
    terms = Terms(rules.loss, case.label.horizon_days, days=rules.days, labels=rules.labels, alpha=rules.alpha)
    known = [day for day in (trained, *scored[-1:]) if day is not None]
    start = max(known, default=date.min) + timedelta(days=1)
    return Declared(rules.metric, terms, start, case.value if rules.metric == "expected_profit" else None)


def of(crowning: Entry | None) -> Running | None:
    """Return the probation that an entry began, None where it began none: a rollback, or the very first champion."""
    if crowning is None or crowning.action != "promoted" or crowning.from_version is None:
        return None
    kept = crowning.report.get(PROBATION)
    return None if kept is None else Running(crowning, TypeAdapter(Declared).validate_python(kept))


def running(case: str, ledger: LedgerReader) -> Running | None:
    """Return the probation that is on, None where there is none."""
    found = of(ledger.latest_promotion(case))
    if found is None:
        return None
    over = ledger.latest(case, "probation survived")
    return None if over is not None and over.id > found.crowning.id else found


def begin(crowning: Entry, ledger: LedgerWriter, *, run: str) -> Entry | None:
    """Enter that the probation of a promotion has begun, once; None where the promotion began none."""
    found = of(crowning)
    if found is None:
        return None
    reason = (
        f"version {found.new} against version {found.former}, which scores in the shadow: {found.declared.metric} "
        f"worse by {found.declared.terms.loss:g} a row, for {found.length} from {found.declared.start} on"
    )
    entry = Entry(
        crowning.case, crowning.at, "probation begun", crowning.who, reason, run, found.former, found.new,
        day=found.declared.start, report={**found.declared.to_json(), "promotion": crowning.id},
    )  # fmt: skip
    return ledger.add(entry, once=f"probation of entry {crowning.id}")


def survive(found: Running, ledger: LedgerWriter, *, day: date, reason: str, now: datetime, run: str) -> Entry:
    """Enter that a probation is over and nothing was found, once."""
    entry = Entry(
        found.crowning.case, now, "probation survived", WHO, reason, run, found.former, found.new, day=day,
        report={"promotion": found.crowning.id},
    )  # fmt: skip
    return ledger.add(entry, once=f"end of the probation of entry {found.crowning.id}")
