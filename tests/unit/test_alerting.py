"""Who hears of what, and when nobody is woken."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.alerting import Alerts, QuietHours
from pydantic import ValidationError

NIGHT = QuietHours(start=time(22), end=time(7), timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (datetime(2026, 1, 10, 20, 59, tzinfo=UTC), None),
        (datetime(2026, 1, 10, 21, 0, tzinfo=UTC), datetime(2026, 1, 11, 6, 0, tzinfo=UTC)),
        (datetime(2026, 1, 11, 5, 59, tzinfo=UTC), datetime(2026, 1, 11, 6, 0, tzinfo=UTC)),
        (datetime(2026, 1, 11, 6, 0, tzinfo=UTC), None),
        (datetime(2026, 7, 10, 20, 0, tzinfo=UTC), datetime(2026, 7, 11, 5, 0, tzinfo=UTC)),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), datetime(2026, 3, 29, 5, 0, tzinfo=UTC)),
    ],
)
def test_the_night_is_quiet_in_the_time_of_the_place(now: datetime, until: datetime | None):
    """From its start on, until its end; over midnight, in summer and in the night when the clocks change."""
    assert NIGHT.wait_until(now) == until


@pytest.mark.parametrize(("hour", "quiet"), [(11, False), (12, True), (13, True), (14, False)])
def test_quiet_hours_may_lie_within_a_day(hour: int, *, quiet: bool):
    """The start is quiet, the end is not."""
    found = QuietHours(start=time(12), end=time(14)).wait_until(datetime(2026, 3, 1, hour, tzinfo=UTC))

    assert found == (datetime(2026, 3, 1, 14, tzinfo=UTC) if quiet else None)


@given(st.times(), st.times(), st.integers(0, 10**9).map(lambda seconds: datetime.fromtimestamp(10**9 + seconds, UTC)))
def test_waiting_ends_within_a_day_and_outside_the_quiet_hours(start: time, end: time, now: datetime):
    """Whatever the hours: a mail goes out after them, once."""
    if start.replace(microsecond=0) == end.replace(microsecond=0) or start == end:
        return
    quiet = QuietHours(start=start, end=end)
    until = quiet.wait_until(now)
    if until is not None:
        assert 0 < (until - now).total_seconds() <= 86_400
        assert quiet.wait_until(until) is None


def test_quiet_hours_that_are_never_or_always_are_refused():
    """Nobody means that."""
    with pytest.raises(ValidationError, match="never, or always"):
        QuietHours(start=time(7), end=time(7))


def test_recipients_go_by_severity():
    """Without a word everyone in `to` hears of warnings and worse, and nobody of infos."""
    plain = Alerts(to=("ops@example.org",))
    chosen = Alerts.model_validate(
        {"to": ["ops@example.org"], "recipients": {"critical": ["boss@example.org"], "info": None}}
    )

    assert [plain.of(severity) for severity in ("info", "warning", "critical")] == [(), plain.to, plain.to]
    assert [chosen.of(severity) for severity in ("info", "warning", "critical")] == [
        plain.to,
        plain.to,
        ("boss@example.org",),
    ]
    assert chosen.everyone == ("ops@example.org", "boss@example.org")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("to", ["ops"], "no mail address"),
        ("to", ["a@example.org, b@example.org"], "no mail address"),
        ("to", ["Ops <a@example.org>"], "no mail address"),
        ("severity", {"feed brokn": "critical"}, "feed broken"),
        ("severity", {"feed broken": "fatal"}, "critical"),
        ("quiet_hours", {"start": "22:00", "end": "07:00", "timezone": "Europe/Berln"}, "Europe/Berlin"),
        ("cool_down_days", 0, "greater than or equal to 1"),
    ],
)
def test_a_wrong_declaration_says_what_is_right(field: str, value: object, message: str):
    """Names the closest thing that would do."""
    with pytest.raises(ValidationError, match=message):
        Alerts.model_validate({"to": ["ops@example.org"], field: value})


def test_what_is_as_usual_is_not_part_of_the_fingerprint():
    """A model that was trained before these keys existed was not trained on another use case."""
    assert Alerts(to=("ops@example.org",)).unused == set(Alerts.model_fields) - {"to"}
    assert "digest" not in Alerts(to=("ops@example.org",), digest="weekly").unused
