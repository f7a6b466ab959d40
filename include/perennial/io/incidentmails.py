"""The mails of an incident: one when it opens, one when it gets worse, one when it is over; all in one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from perennial.incidents import Incident
from perennial.io.entries import Entry
from perennial.io.mails import DOMAIN, Links, Mail, one_line
from perennial.io.pages import figure, render, words
from perennial.records import Measure, MonitorRecord
from perennial.spec import UseCase

SUBJECTS: Mapping[str, str] = {"run failed": "runs fail", "deadline missed": "a run is late"}
MONEY = "value"
RESULTS = ("value", "performance", "estimate", "calibration")


@dataclass(frozen=True, slots=True)
class Mover:
    """A feature that has moved, in words and as a picture; without one where there is nothing to draw from."""

    name: str
    detail: str
    picture: bytes | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a mail says beside the incident itself.

    Attributes:
        record: what the day's monitor found, None where the incident is about no day.
        movers: the features that moved most, the most important first.
        done: what has been done since it opened, without anybody asking.
        error: what a run failed with.
    """

    record: MonitorRecord | None = None
    movers: Sequence[Mover] = ()
    done: Sequence[str] = field(default_factory=tuple)
    error: str = ""

    @property
    def results(self) -> list[Measure]:
        """Return the results that have a limit, and money whether it has one or not; money first."""
        measures = self.record.measures if self.record else ()
        known = [each for each in measures if each.about in RESULTS and each.value is not None]
        found = [each for each in known if each.limit is not None or each.about == MONEY]
        return sorted(found, key=lambda measure: RESULTS.index(measure.about))


def message_id(opening: Entry, entry: Entry) -> str:
    """Return the Message-ID of the mail about an entry of the incident; the hash makes it this ledger's own.

    That about the opening entry is the thread.
    """
    return f"<incident-{opening.id}-{entry.id}.{entry.hash[:16]}@{DOMAIN}>"


def title_of(incident: Incident) -> str:
    """Return what the incident is and since when; all of its mails have it as their subject."""
    return f"{SUBJECTS.get(incident.kind, incident.kind)} since {incident.since}"


def incident_mail(
    case: UseCase, incident: Incident, *, opening: Entry, entry: Entry, facts: Facts, links: Links, to: Sequence[str]
) -> Mail:
    """Return the mail about an incident as it was when `entry` was written.

    Args:
        case: whose incident, or one of those that it hit.
        incident: as it was then.
        opening: the entry that opened it.
        entry: opened, worse, grew or closed.
        facts: what is known of the day.
        links: run, report, page and runbook.
        to: who gets it.
    """
    title = title_of(incident)
    pictures = {f"mover{place}": mover.picture for place, mover in enumerate(facts.movers) if mover.picture}
    values = {
        "case": case, "incident": incident, "entry": entry, "facts": facts, "links": links, "title": title,
        "state": _state(entry), "days": (_day(entry) - incident.since).days + 1, "results": _results(case, facts),
        "is_over": entry.action == "incident closed",
    }  # fmt: skip
    first = entry.id == opening.id
    return Mail(
        to=tuple(to),
        subject=one_line(f"{'' if first else 'Re: '}[Perennial] {case.name}: {title}"),
        html=render("incident_mail.html", **values),
        text=render("incident_mail.txt", **values),
        pictures=pictures,
        message_id=message_id(opening, entry),
        thread=None if first else message_id(opening, opening),
    )


def _day(entry: Entry) -> date:
    return entry.day or entry.at.date()


def _state(entry: Entry) -> str:
    states = {
        "incident worse": "has become worse",
        "incident closed": "is over",
        "incident grew": "reaches this use case",
    }
    return states.get(entry.action, "has begun")


def _results(case: UseCase, facts: Facts) -> list[tuple[str, str, str]]:
    """Return name, value with interval, and limit of each result."""
    rows = []
    for measure in facts.results:
        span = ""
        if measure.low is not None and measure.high is not None:
            span = f" ({figure(measure.low)} to {figure(measure.high)})"
        rows.append((_name(case, measure), f"{figure(measure.value)}{span}", figure(measure.limit)))
    return rows


def _name(case: UseCase, measure: Measure) -> str:
    """Return what a result is, in the business's own unit where it is money."""
    if measure.about == "estimate":
        return f"estimated {words(measure.name)}"
    if measure.about == MONEY:
        money = measure.name == "expected_profit" and case.value is not None
        what = f"{case.value.currency} per 1,000 {case.entity}" if money and case.value else words(measure.name)
        return f"{what}, {measure.measure}"
    return words(measure.name) if measure.about == "performance" else f"{words(measure.name)}, {measure.measure}"
