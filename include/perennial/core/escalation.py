"""What a day does to the incidents of a use case: one opens, gets worse, ends, or nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from perennial.alerting import Alerts
from perennial.incidents import DAY_KINDS, DayKind, Incident, Severity, Step, Triage, rank

# A feed is broken on the day it is; that drift and decay are no whim of a day takes days.
AT_ONCE: tuple[DayKind, ...] = ("feed broken", "labels late")
# What is measured on a broken feed says nothing of the world or the model, neither for an incident nor against it.
HIDES: Mapping[DayKind, tuple[DayKind, ...]] = {
    "labels late": ("feed broken",),
    "world changed": ("feed broken",),
    "model decayed": ("feed broken", "labels late"),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A day and what it amounted to."""

    day: date
    triage: Triage


def steps(days: Sequence[Judged], opened: Mapping[DayKind, Incident], *, alerts: Alerts) -> tuple[Step, ...]:
    """Return what the newest day does, at most one step a kind; the same days give the same steps.

    | step | where |
    |---|---|
    | opens | none is open, and the newest `confirm_days` days that say anything of it are of it (feeds, labels: one) |
    | gets worse | the day is of it, and its severity is above that of the incident |
    | ends | it is open, and the newest `cool_down_days` days that say anything of it are not of it |

    Args:
        days: the newest first, without days that nobody has looked at; those before the champion of today count too.
        opened: the open incidents.
        alerts: what the use case declares.
    """
    return tuple(step for kind in DAY_KINDS if (step := _step(kind, days, opened.get(kind), alerts=alerts)))


def confirmed(days: Sequence[Judged], *, alerts: Alerts) -> Triage:
    """Return what the newest day amounts to; nothing yet where its kind takes more days in a row than there are.

    Args:
        days: the newest first, at least one.
        alerts: what the use case declares.
    """
    today = days[0].triage
    if today.verdict == "nothing to do" or today.verdict in AT_ONCE:
        return today
    telling = [judged for judged in days if judged.triage.verdict not in HIDES.get(today.verdict, ())]
    seen = len(_run(today.verdict, telling))
    if seen >= alerts.confirm_days:
        return today
    return Triage("nothing to do", f"{today.reason} Day {seen} of the {alerts.confirm_days} that confirm it.")


def severity_of(kind: DayKind, triage: Triage, *, days_open: int, alerts: Alerts) -> Severity:
    """Return how serious a day is: as declared; critical where it hurts results, or lasts `critical_after_days` days.

    A kind that is declared as info stays so.
    """
    declared = alerts.opens_as(kind)
    lasts = days_open >= alerts.critical_after_days
    return "critical" if declared != "info" and (triage.hurts or lasts) else declared


def _step(kind: DayKind, days: Sequence[Judged], incident: Incident | None, *, alerts: Alerts) -> Step | None:
    telling = [judged for judged in days if judged.triage.verdict not in HIDES.get(kind, ())]
    if not telling or telling[0].day != days[0].day:
        return None
    run = _run(kind, telling)
    if incident is None:
        return _opening(kind, run, alerts=alerts)
    if not run:
        return _ending(kind, telling, incident, alerts=alerts)
    today = telling[0]
    lasting = (today.day - incident.since).days + 1
    severity = severity_of(kind, today.triage, days_open=lasting, alerts=alerts)
    if rank(severity) <= rank(incident.severity):
        return None
    return Step("gets worse", kind, severity, incident.since, today.triage.reason)


def _run(kind: DayKind, telling: Sequence[Judged]) -> list[Judged]:
    """Return the newest days in a row that are of the kind, newest first."""
    calm = next((place for place, judged in enumerate(telling) if judged.triage.verdict != kind), len(telling))
    return list(telling[:calm])


def _opening(kind: DayKind, run: Sequence[Judged], *, alerts: Alerts) -> Step | None:
    needed = 1 if kind in AT_ONCE else alerts.confirm_days
    if len(run) < needed:
        return None
    since, today = run[-1].day, run[0]
    severity = severity_of(kind, today.triage, days_open=(today.day - since).days + 1, alerts=alerts)
    return Step("opens", kind, severity, since, today.triage.reason)


def _ending(kind: DayKind, telling: Sequence[Judged], incident: Incident, *, alerts: Alerts) -> Step | None:
    after = [judged for judged in telling if judged.day >= incident.since]
    calm = next((place for place, judged in enumerate(after) if judged.triage.verdict == kind), len(after))
    if calm < alerts.cool_down_days:
        return None
    first = after[calm - 1].day
    reason = f"Nothing of it since {first}. {telling[0].triage.reason}"
    return Step("ends", kind, incident.severity, first, reason)
