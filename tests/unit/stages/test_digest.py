"""The weekly digest: on Mondays, once, where it is declared, and all of it text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from fakes import make_case
from incidents import finding
from perennial import raising
from perennial.alerting import Alerts
from perennial.raising import By, Raised
from perennial.stages import digest
from worlds import World

MONDAY = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
BAD = "<script>alert(1)</script>"


def weekly(**fields: object):
    """Return a use case that wants the digest."""
    return make_case(alerts=Alerts.model_validate({"to": ["ops@example.org"], "digest": "weekly"}), **fields)


@pytest.mark.parametrize(
    ("hours", "goes"), [(-1, False), (0, True), (23, True), (24, False), (72, False), (167, False), (168, True)]
)
def test_it_is_written_on_mondays(reigning: World, hours: int, goes: bool):  # noqa: FBT001  a parameter
    """UTC; no minute of another day."""
    mail = digest.run(weekly(), reigning.adapters, now=MONDAY + timedelta(hours=hours))

    assert (mail is not None) is goes


def test_it_is_written_once_a_monday(reigning: World):
    """However often the outbox is looked at; a week later there is another one."""
    for quarter in range(4 * 24):
        digest.run(weekly(), reigning.adapters, now=MONDAY + timedelta(minutes=15 * quarter))
    digest.run(weekly(), reigning.adapters, now=MONDAY + timedelta(days=7))

    topics = [each.topic for each in reigning.adapters.outbox.waiting()]
    assert topics == ["digest 2026-03-02", "digest 2026-03-09"]


def test_each_use_case_has_its_own(reigning: World):
    """The second one on the same Monday too."""
    for name in ("toy", "shop"):
        digest.run(weekly(name=name), reigning.adapters, now=MONDAY)

    assert [each.case for each in reigning.adapters.outbox.waiting()] == ["toy", "shop"]


def test_nobody_gets_it_who_has_not_asked(reigning: World):
    """By default there is none."""
    assert digest.run(make_case(), reigning.adapters, now=MONDAY) is None
    assert reigning.adapters.outbox.waiting() == ()


def test_it_tells_the_week_and_nothing_in_it_is_markup(reigning: World):
    """Reasons, names and findings come from data; text and HTML say the same."""
    adapters, day = reigning.adapters, date(2026, 2, 27)
    adapters.ledger.add_monitor(finding(day, "feed", name=BAD), at=MONDAY, run="run 1")
    raised = Raised("toy", "feed broken", "feed broken", "warning", day, f"no rows {BAD}")
    raising.raise_incident(raised, adapters, by=By(BAD, "run 1", MONDAY), after=0)
    mail = digest.run(weekly(title=BAD), adapters, now=MONDAY)

    assert mail is not None
    assert mail.subject == "[Perennial] toy: the week until 2026-03-02"
    assert "<script>" not in mail.html
    assert "no rows &lt;script&gt;" in mail.html
    for part in ("feed broken (warning) since 2026-02-27: no rows", "2026-02-27: drifted", "Champion version 1"):
        assert part in mail.text
