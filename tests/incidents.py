"""Days with findings, a mail server in memory, and an inbox: for tests of what becomes of incidents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from perennial.errors import MailError
from perennial.incidents import Incident
from perennial.io.incidents import incidents
from perennial.io.mails import Mail
from perennial.raising import By
from perennial.records import ColumnDrift, Concern, Measure, MonitorRecord
from perennial.stages import route, send, tell
from worlds import NOW, World

FIRST = date(2026, 2, 1)


def finding(day: date, *over: Concern, version: str = "1", name: str = "spend") -> MonitorRecord:
    """Return a day on which these measures were past their limits."""
    measures = tuple(
        Measure(about, name, "it", 0.6, 0.5, 0.7, limit=0.75, over=True, detail=f"{about} of {name} is over.")
        for about in over
    )
    score = ColumnDrift("score", "stable", 0.02, 0.01, "wasserstein", limit=0.25)
    spend = ColumnDrift("spend", "drifted", 0.61, 0.4, "wasserstein", limit=0.25)
    return MonitorRecord(
        case="toy", day=day, model_version=version, verdict="drifted" if over else "stable", reason="All is calm.",
        drifted_share=0.4, score=score, columns=(spend,), performance={}, performance_window=None, since=None,
        report="drift/toy/x.html", measures=measures,
    )  # fmt: skip


@dataclass
class Server:
    """A mail server: keeps what it takes, refuses while it is down."""

    inbox: list[Mail] = field(default_factory=list)
    is_down: bool = False

    def deliver(self, mail: Mail) -> None:
        """Take a mail."""
        if self.is_down:
            raise MailError(f"The mail {mail.subject!r} was not delivered: refused.")
        self.inbox.append(mail)


@dataclass
class Watch:
    """A world whose days are looked at, one after the other, and what its people are mailed."""

    world: World
    server: Server = field(default_factory=Server)
    now: datetime = NOW

    def by(self, who: str = "airflow") -> By:
        """Return who enters something now."""
        return By(who, "run 1", self.now, "http://airflow/dags/x/runs/y")

    def live(self, *days: tuple[Concern, ...] | None) -> None:
        """Let days pass from the first of February on, each with what was over; None is a day nobody looks at."""
        for place, over in enumerate(days):
            if over is not None:
                self.look(FIRST + timedelta(days=place), *over)

    def look(self, day: date, *over: Concern) -> None:
        """Keep a day's finding, let it lead where it leads, and mail what is due."""
        ledger = self.world.adapters.ledger
        ledger.add_monitor(finding(day, *over), at=self.now, run="run 1")
        route.run(self.world.case, day, self.world.adapters, by=self.by())
        self.mail()

    def mail(self) -> None:
        """Write and send what is due."""
        tell.run(self.world.case, self.world.adapters, now=self.now)
        send.run(self.world.adapters, deliver=self.server.deliver, now=self.now)

    @property
    def incidents(self) -> list[Incident]:
        """Return all incidents, oldest first."""
        return list(reversed(incidents(self.world.adapters.ledger)))

    @property
    def subjects(self) -> list[str]:
        """Return the subjects of all mails, without what they share."""
        return [mail.subject.replace("[Perennial] toy: ", "") for mail in self.server.inbox]
