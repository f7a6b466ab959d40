"""The simulated shop of the embedded stack: its database, its roles, and the program that writes its events.

Run as `python -m perennial.local.feed`, which goes on with the world that `feed.json` describes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import numpy as np
from pydantic import TypeAdapter

from perennial.catalog import read_folder
from perennial.core.clickstream import Dials, World
from perennial.core.nearness import Nearness, nearness
from perennial.io import feeds
from perennial.io.lake import Lake
from perennial.io.shoptables import HIDDEN_SCHEMA
from perennial.local import credentials, postgres
from perennial.local.injection import Injection
from perennial.local.layout import CLICKSTREAM, DATABASES, Layout
from perennial.local.steps import Steps
from perennial.records import Window
from perennial.settings import Settings, load_settings
from perennial.spec import UseCase

# The connection's name is that of the database.
CONNECTION = CLICKSTREAM
WRITER, READER = credentials.CLICKSTREAM_ROLES
# With 2,000 a day a holdout has about a hundred buyers, and chance decides the gate against the champion.
EVENTS_PER_DAY = 5000
CHANGED = Dials(drift_views=2.0, drift_carts=0.5, drift_visitors=6.0)
WHAT = "six times as many visitors arrive, look at twice as many items and put half as many of them in the cart"
CAUGHT_UP_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Feed:
    """What the feed writes; made up once, so that every start goes on with the same world.

    Attributes:
        first: the first day with events.
        yesterday: the day before it was made up; the demonstration is about the days up to it.
        made_at: when that was.
        world: what is simulated; its drift begins among those days.
    """

    first: date
    yesterday: date
    made_at: datetime
    world: World

    @classmethod
    def beginning(cls, first: date, *, yesterday: date, changed: date) -> Feed:
        """Return a new feed whose visitors change on a day."""
        world = World(events_per_day=EVENTS_PER_DAY, dials=replace(CHANGED, drift_from=changed))
        return cls(first, yesterday, datetime.now(UTC), world)

    @property
    def change(self) -> Injection:
        """Return since when the visitors are others, up to the day that the demonstration is about."""
        changed = self.world.dials.drift_from or self.yesterday
        days = tuple(changed + timedelta(days=each) for each in range((self.yesterday - changed).days + 1))
        return Injection(days, self.made_at, f"simulated: {WHAT}", rows=0, rows_before=0)


KEPT = TypeAdapter(Feed)


def read(layout: Layout) -> Feed | None:
    """Return what this stack feeds, None where it has no feed."""
    return KEPT.validate_json(layout.feed.read_text()) if layout.feed.is_file() else None


def keep(layout: Layout, feed: Feed) -> None:
    """Write down what every start of the stack feeds from now on."""
    credentials.write_private(layout.feed, KEPT.dump_json(feed, indent=2).decode() + "\n")


def feeds_case(settings: Settings, case: str) -> bool:
    """Tell whether a use case can read what the feed writes."""
    sources = read_folder(settings.use_cases / case, live=[CONNECTION]).sources
    return any(source.database is not None and source.database.connection == CONNECTION for source in sources)


def address(layout: Layout, role: str) -> str:
    """Return how a role reaches the shop's database; the password is in it."""
    password = quote(credentials.keys(layout)[role], safe="")
    return f"postgresql://{role}:{password}@/{CLICKSTREAM}?host={quote(str(layout.sockets))}"


def prepare_database(layout: Layout) -> None:
    """Give the shop's database to its two roles: one writes its own tables, the other reads those of the shop.

    Neither gets into another database, and the reader sees nothing of what is hidden.
    """
    keys = credentials.keys(layout)
    for role in (WRITER, READER):
        known = _run(layout, "select 1 from pg_roles where rolname = %s", [role])
        verb = "alter" if known else "create"
        _run(layout, f"{verb} role {role} login nosuperuser nocreatedb nocreaterole password %s", [keys[role]])
    for database in ("postgres", *DATABASES):
        _run(layout, f'revoke all on database "{database}" from public')
    _run(layout, f"grant connect on database {CLICKSTREAM} to {WRITER}, {READER}")
    for statement in (
        f"grant usage, create on schema public to {WRITER}",
        f"grant usage on schema public to {READER}",
        f"create schema if not exists {HIDDEN_SCHEMA} authorization {WRITER}",
        f"alter default privileges for role {WRITER} in schema public grant select on tables to {READER}",
    ):
        _run(layout, statement, database=CLICKSTREAM)


def _run(layout: Layout, statement: str, values: Sequence[str] = (), *, database: str = "postgres") -> list[object]:
    with closing(postgres.connect(layout, database)) as connection:
        connection.autocommit = True
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []


class Fed:
    """The demonstration's shop whose events come by the feed; its visitors change by themselves."""

    def __init__(self, layout: Layout, feed: Feed) -> None:
        self.layout = layout
        self.feed = feed

    def prepare(self, steps: Steps) -> None:
        """Wait until everything that has happened is in the table."""
        last = feeds.last_due(self.feed.world, self.feed.first, datetime.now(UTC))
        total = (last.date() - self.feed.first).days + 1
        with steps.step("Write the simulated history", total=total) as bar:
            feeds.await_place(
                address(self.layout, READER), last, seconds=CAUGHT_UP_SECONDS,
                told=lambda place: bar.advance_to((place.date() - self.feed.first).days + 1, total=total),
            )  # fmt: skip

    def changed(self) -> Injection:
        """Return what has changed, and since when."""
        return self.feed.change

    def change(self, _days: Sequence[date]) -> Injection:
        """Return the same: the feed has written the changed days as it wrote all others."""
        return self.feed.change

    def mend(self) -> None:
        """Do nothing: what was written cannot be taken back, and those visitors have come."""

    def nearness(self, case: UseCase, lake: Lake, days: Sequence[date]) -> dict[date, Nearness]:
        """Hold each day's scores against the probabilities that were true."""
        found = {}
        for day in days:
            scores = lake.read_or_empty(case.predictions_table, Window.of_day(day), columns=[case.entity, "score"])
            truth = feeds.truth(address(self.layout, WRITER), day)
            # Who arrived longer ago than the truth reaches has stopped coming.
            known = dict(zip(*(column.to_pylist() for column in truth.columns), strict=True))
            chance = np.array([known.get(visitor, 0.0) for visitor in scores.column(case.entity).to_pylist()])
            found[day] = nearness(scores.column("score").to_numpy(), chance)
        return found

    def tell(self, change: Injection) -> str:
        """Say what has changed in a line."""
        return f"SIMULATED: from {change.days[0]} on {change.what.removeprefix('simulated: ')}."


def main() -> None:
    """Follow until SIGTERM or SIGINT."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    layout = Layout.of(load_settings())
    feed = read(layout)
    if feed is None:
        logging.getLogger(__name__).error("There is no %s: `perennial demo visitor_conversion` makes it.", layout.feed)
        return
    with feeds.stopped_by_signals() as stop:
        feeds.follow(feed.world, feed.first, address(layout, WRITER), stop=stop)


if __name__ == "__main__":
    main()
