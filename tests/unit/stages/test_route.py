"""From a day's finding to an incident and its mails: one when it opens, one when it gets worse, one when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from fakes import make_case
from incidents import FIRST, Watch
from perennial.alerting import Alerts, QuietHours
from perennial.errors import RefusedError
from perennial.io.mails import compose
from perennial.stages import handle, route, tell
from worlds import World

CALM: tuple[()] = ()
FEED = ("feed",)
MOVED = ("inputs", "scores")
HURT = ("inputs", "estimate")


@pytest.fixture
def watch(reigning: World) -> Watch:
    """Return a world with a champion, and nothing mailed yet."""
    watch = Watch(reigning)
    watch.mail()
    watch.server.inbox.clear()
    return watch


def declared(watch: Watch, **alerts: object) -> None:
    """Declare alerts."""
    watch.world.case = make_case(alerts=Alerts.model_validate({"to": ["ops@example.org"], **alerts}))


def test_an_incident_has_one_mail_when_it_opens_and_one_when_it_is_over(watch: Watch):
    """Five bad days in between send nothing."""
    watch.live(CALM, FEED, FEED, FEED, FEED, FEED, CALM, CALM, CALM)

    assert watch.subjects == ["feed broken since 2026-02-02", "Re: feed broken since 2026-02-02"]
    (incident,) = watch.incidents
    assert (incident.kind, incident.severity, incident.is_open) == ("feed broken", "warning", False)


def test_all_mails_of_an_incident_are_one_thread(watch: Watch):
    """The later ones name the first one's Message-ID, which is the ledger's own and stays when sent again."""
    watch.live(CALM, *[MOVED] * 2, HURT, CALM, CALM)
    first, worse, over = (compose(mail, sender="p@example.org") for mail in watch.server.inbox)

    assert first["Message-ID"] == worse["In-Reply-To"] == over["References"]
    assert len({mail["Message-ID"] for mail in (first, worse, over)}) == 3
    assert first["In-Reply-To"] is None
    assert worse["Subject"] == over["Subject"] == f"Re: {first['Subject']}"


def test_the_mail_says_what_since_when_how_bad_what_was_done_and_what_to_do(watch: Watch):
    """In both parts; with links to run, report, page and the runbook's section."""
    watch.live(CALM, HURT, HURT)
    (mail,) = watch.server.inbox

    for part in (mail.text, mail.html):
        for expected in (
            "estimate of spend is over. inputs of spend is over.", "Since 2026-02-02", "critical", "estimated spend",
            "0.6 (0.5 to 0.7)", "limit 0.75", "Nothing yet. The champion goes on scoring.",
            "http://airflow/perennial/runbook#world-changed", "http://airflow/dags/x/runs/y",
            "http://airflow/perennial/pages/drift/toy/x.html", "http://airflow/plugin/models",
        ):  # fmt: skip
            assert expected in part


def test_the_mail_shows_the_features_that_moved_most(watch: Watch):
    """Their distributions as pictures inside the mail, named as the page asks for them."""
    day = watch.world.today
    watch.look(day - timedelta(days=1), *HURT)
    watch.look(day, *HURT)
    (mail,) = watch.server.inbox

    assert mail.pictures["mover0"].startswith(b"\x89PNG")
    assert 'src="cid:mover0"' in mail.html
    assert "drifted: PSI 0.61, limit 0.25" in mail.text


def test_drift_without_consequence_mails_nobody(watch: Watch):
    """However long it lasts: features have moved, scores and results have not."""
    watch.live(*[("inputs",)] * 30)

    assert watch.subjects == []
    assert watch.incidents == []


def test_what_was_looked_at_late_changes_nothing(watch: Watch):
    """A day of before the newest one neither opens an incident nor ends one."""
    watch.live(CALM, CALM, FEED)
    watch.look(FIRST, *FEED)
    ledger = watch.world.adapters.ledger

    assert len(watch.incidents) == 1
    assert route.run(watch.world.case, FIRST, watch.world.adapters, by=watch.by()) == ()
    assert ledger.monitor("toy", FIRST).measures[0].over


def test_the_same_day_again_mails_nothing_more(watch: Watch):
    """A task that is cleared, or two that run at once."""
    watch.live(CALM, FEED)
    for _ in range(3):
        watch.look(FIRST + timedelta(days=1), *FEED)

    assert len(watch.subjects) == 1


def test_a_server_that_is_down_loses_no_mail_and_doubles_none(watch: Watch):
    """Both mails wait in the outbox, and go out later, in their order, once."""
    watch.server.is_down = True
    watch.live(CALM, FEED, CALM, CALM)
    assert watch.subjects == []
    assert len(watch.world.adapters.outbox.waiting()) == 2

    watch.server.is_down = False
    for _ in range(3):
        watch.mail()
    assert [subject.startswith("Re:") for subject in watch.subjects] == [False, True]
    assert watch.world.adapters.outbox.waiting() == ()


def test_quiet_hours_hold_a_warning_back_until_they_end(watch: Watch):
    """Nobody is woken for it; it is mailed in the morning."""
    declared(watch, quiet_hours=QuietHours(start=time(22), end=time(7)))
    watch.now = datetime(2026, 2, 2, 23, 30, tzinfo=UTC)
    watch.live(CALM, FEED)
    assert watch.subjects == []

    watch.now = datetime(2026, 2, 3, 6, 59, tzinfo=UTC)
    watch.mail()
    assert watch.subjects == []
    watch.now = datetime(2026, 2, 3, 7, 0, tzinfo=UTC)
    watch.mail()
    assert len(watch.subjects) == 1


def test_a_critical_incident_does_not_wait_for_the_morning(watch: Watch):
    """That is what the severity is for."""
    declared(watch, quiet_hours=QuietHours(start=time(22), end=time(7)), severity={"feed broken": "critical"})
    watch.now = datetime(2026, 2, 2, 23, 30, tzinfo=UTC)
    watch.live(CALM, FEED)

    assert len(watch.subjects) == 1


def test_who_is_told_goes_by_the_severity(watch: Watch):
    """A warning goes to one list, what has become critical to the other, and its end to all who were told."""
    declared(watch, recipients={"warning": ["data@example.org"], "critical": ["boss@example.org"]})
    watch.live(CALM, MOVED, MOVED, HURT, CALM, CALM)

    assert [mail.to for mail in watch.server.inbox] == [
        ("data@example.org",), ("boss@example.org",), ("data@example.org", "boss@example.org"),
    ]  # fmt: skip


def test_of_an_incident_that_nobody_is_told_of_the_end_is_not_told_either(watch: Watch):
    """An info is on the page, and in nobody's inbox."""
    declared(watch, severity={"feed broken": "info"})
    watch.live(CALM, FEED, CALM, CALM)

    assert watch.subjects == []
    assert len(watch.incidents) == 1


def test_a_snoozed_incident_mails_only_its_end(watch: Watch):
    """That it got worse is told after the snooze, where it is still open; here it is over before."""
    watch.live(CALM, MOVED, MOVED)
    handle.snooze(watch.incidents[0].id, watch.world.adapters, days=3, reason="campaign", by=watch.by("ann"))
    watch.live(CALM, MOVED, MOVED, HURT, CALM, CALM)

    assert [subject.startswith("Re:") for subject in watch.subjects] == [False, True]
    assert "is over" in watch.server.inbox[1].text


def test_a_snooze_that_ends_tells_what_got_worse(watch: Watch):
    """On the day that was named, not the day before."""
    watch.live(CALM, MOVED, MOVED)
    handle.snooze(watch.incidents[0].id, watch.world.adapters, days=2, reason="campaign", by=watch.by("ann"))
    watch.live(CALM, MOVED, MOVED, HURT)
    watch.now += timedelta(days=1)
    watch.mail()
    assert len(watch.subjects) == 1

    watch.now += timedelta(days=1)
    watch.mail()
    assert "has become worse" in watch.server.inbox[1].text


def test_people_say_what_becomes_of_an_incident(watch: Watch):
    """Each with a name and a reason, in the ledger."""
    watch.live(CALM, FEED)
    (incident,) = watch.incidents
    handle.acknowledge(incident.id, watch.world.adapters, reason=" asked the shop ", by=watch.by("ann"))

    assert watch.incidents[0].acknowledged_by == "ann"
    entry = watch.world.adapters.ledger.history("toy", actions=("incident acknowledged",))[0]
    assert (entry.who, entry.reason, entry.report["opened"]) == ("ann", "asked the shop", incident.id)


@pytest.mark.parametrize(
    ("number", "days", "reason", "message"),
    [
        (9_999, 3, "why", "There is no incident 9999"),
        (None, 0, "why", "choose 1 to 30"),
        (None, 31, "why", "choose 1 to 30"),
        (None, 3, "  ", "without a reason"),
    ],
)
def test_what_cannot_be_snoozed_says_why(watch: Watch, number: int | None, days: int, reason: str, message: str):
    """And nothing is written."""
    watch.live(CALM, FEED)
    before = watch.world.adapters.ledger.history()

    with pytest.raises(RefusedError, match=message):
        handle.snooze(number or watch.incidents[0].id, watch.world.adapters, days=days, reason=reason, by=watch.by())
    assert watch.world.adapters.ledger.history() == before


def test_an_incident_that_is_over_is_not_acknowledged(watch: Watch):
    """It says since when."""
    watch.live(CALM, FEED, CALM, CALM)

    with pytest.raises(RefusedError, match="is over since 2026-03-01 12:00 UTC"):
        handle.acknowledge(watch.incidents[0].id, watch.world.adapters, reason="late", by=watch.by())


def test_a_new_incident_of_a_kind_is_a_new_thread(watch: Watch):
    """After the first one is over."""
    watch.live(CALM, FEED, CALM, CALM, FEED)

    assert len(watch.incidents) == 2
    assert [mail.thread is None for mail in watch.server.inbox] == [True, False, True]


def test_a_process_that_dies_between_entry_and_mail_loses_nothing(watch: Watch):
    """Entry, outbox, delivery: whatever runs next goes on where it broke off."""
    ledger = watch.world.adapters.ledger
    from incidents import finding

    for place, over in enumerate((CALM, FEED)):
        day = FIRST + timedelta(days=place)
        ledger.add_monitor(finding(day, *over), at=watch.now, run="run 1")
        route.run(watch.world.case, day, watch.world.adapters, by=watch.by())
    tell.run(watch.world.case, watch.world.adapters, now=watch.now)
    assert watch.subjects == []

    watch.mail()
    watch.mail()
    assert len(watch.subjects) == 1


def test_the_champions_card_says_that_an_incident_is_open(watch: Watch):
    """Until it is over."""
    watch.live(CALM, FEED)
    card = watch.world.adapters.settings.pages_root / "cards" / "toy" / "version-1.md"
    assert "An incident is open" in card.read_text()

    watch.live(CALM, FEED, CALM, CALM)
    assert "An incident is open" not in card.read_text()
