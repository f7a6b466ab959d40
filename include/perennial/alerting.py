"""Who hears of incidents, when, and how serious each kind is, as a use case declares it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from perennial.contracts import Strict
from perennial.errors import nearest
from perennial.incidents import OPENS_AS, SEVERITIES, Kind, Severity

DEFAULT_CONFIRM = 2


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"unknown time zone {name!r}. {nearest(name, available_timezones())}")
    return name


def _one_address(address: str) -> str:
    if address.count("@") != 1 or any(character.isspace() or character in ",;<>" for character in address):
        raise ValueError(f"{address!r} is no mail address: write one such as ml-operations@example.org.")
    return address


Address = Annotated[str, AfterValidator(_one_address)]


class QuietHours(Strict):
    """Hours of every day in which only critical mails go out; the others wait for their end.

    `start` is quiet, `end` is not; a start after the end goes over midnight.
    """

    start: time
    end: time
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"

    @model_validator(mode="after")
    def _some_of_the_day(self) -> Self:
        if self.start == self.end:
            raise ValueError(
                f"quiet_hours begin and end at {self.start:%H:%M}: that is never, or always. Leave them out."
            )
        return self

    def wait_until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours that `now` lies in are over, None where it lies in none."""
        local = now.astimezone(ZoneInfo(self.timezone))
        clock, over_midnight = local.time(), self.start > self.end
        inside = clock >= self.start or clock < self.end if over_midnight else self.start <= clock < self.end
        if not inside:
            return None
        tomorrow = over_midnight and clock >= self.start
        end = datetime.combine(local.date() + timedelta(days=tomorrow), self.end, tzinfo=local.tzinfo)
        return end.astimezone(now.tzinfo)


class Recipients(Strict):
    """Who hears of incidents of a severity instead of `alerts.to`; an empty list is nobody."""

    critical: tuple[Address, ...] | None = None
    warning: tuple[Address, ...] | None = None
    info: tuple[Address, ...] | None = Field(
        (), description="null: as warnings; default: nobody, only pages and digest"
    )


class Alerts(Strict):
    """Who is mailed when something has a consequence, and what counts as how serious."""

    to: Annotated[tuple[Address, ...], Field(min_length=1)]
    recipients: Recipients = Recipients()
    severity: Mapping[Kind, Severity] = Field({}, description="how serious a kind is as it opens, where not as usual")
    critical_after_days: Annotated[int, Field(ge=1, description="what is open for so many days is critical")] = 7
    confirm_days: Annotated[int, Field(ge=1, description="days in a row before drift or decay is an incident")] = (
        DEFAULT_CONFIRM
    )
    cool_down_days: Annotated[int, Field(ge=1, description="calm days in a row that end an incident")] = 2
    quiet_hours: QuietHours | None = None
    digest: Literal["never", "weekly"] = "never"
    deadline_hours: Annotated[float, Field(gt=0, le=72, description="by when a daily run has to be done")] = 6

    @property
    def unused(self) -> set[str]:
        """Return the keys that are as usual: a spec of before they were there keeps its fingerprint."""
        return {name for name, field in type(self).model_fields.items() if getattr(self, name) == field.get_default()}

    def opens_as(self, kind: Kind) -> Severity:
        """Return how serious a kind is when it opens."""
        return self.severity.get(kind, OPENS_AS[kind])

    def of(self, severity: Severity) -> tuple[str, ...]:
        """Return who hears of incidents of a severity; nobody for info, unless declared."""
        chosen: tuple[str, ...] | None = getattr(self.recipients, severity)
        if chosen is None and severity == "info":
            return self.of("warning")
        return self.to if chosen is None else chosen

    @property
    def everyone(self) -> tuple[str, ...]:
        """Return all who hear of anything, each once."""
        return tuple(dict.fromkeys((*self.to, *(each for severity in SEVERITIES for each in self.of(severity)))))
