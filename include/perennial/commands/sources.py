"""Commands about sources: a simulated clickstream to try things on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perennial.commands.printing import progress_bars, show_json
from perennial.core.clickstream import Dials, World
from perennial.errors import SpecError
from perennial.io import clickstreams, feeds
from perennial.settings import connection as address_of
from perennial.settings import load_settings

app = typer.Typer(no_args_is_help=True)
ON_DAY = ["%Y-%m-%d"]


class SchemaChange(StrEnum):
    """How the events' columns change."""

    none = "none"
    new = "new"
    missing = "missing"
    retyped = "retyped"


class Leak(StrEnum):
    """What a column knows of the future."""

    none = "none"
    label = "label"
    status = "status"


@app.command()
def simulate(  # noqa: PLR0913, PLR0917 (each is an option of the command line)
    days: Annotated[int, typer.Option(min=1, help="how many days to write")] = 139,
    last: Annotated[datetime | None, typer.Option(formats=ON_DAY, help="the last of them; default: yesterday")] = None,
    events_per_day: Annotated[float, typer.Option(min=1, help="in the mean; RetailRocket had 19,828")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same events for the same day")] = 20150503,
    to: Annotated[Path | None, typer.Option(help="folder; default: the data folder")] = None,
    connection: Annotated[str | None, typer.Option(help="write the table to this PostgreSQL instead")] = None,
    known_at: Annotated[datetime | None, typer.Option(formats=ON_DAY, help="leave out what came later")] = None,
    drift_from: Annotated[datetime | None, typer.Option(formats=ON_DAY, help="first day of other behaviour")] = None,
    drift_views: Annotated[float, typer.Option(min=0, help="factor on further views of a visit, from then on")] = 2.0,
    drift_carts: Annotated[float, typer.Option(min=0, help="factor on the chance of a cart, from then on")] = 0.5,
    drift_visitors: Annotated[float, typer.Option(min=0, help="factor on who arrives a day, from then on")] = 1.0,
    outage: Annotated[datetime | None, typer.Option(formats=ON_DAY, help="a day without half of its events")] = None,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="share of events delivered twice")] = 0.0,
    late: Annotated[float, typer.Option(min=0, max=1, help="share of events received days later")] = 0.0,
    late_days: Annotated[int, typer.Option(min=1, help="how many days later at most")] = 3,
    schema_change: Annotated[SchemaChange, typer.Option(help="of item_id, or a column more")] = SchemaChange.none,
    schema_from: Annotated[datetime | None, typer.Option(formats=ON_DAY, help="first day of that change")] = None,
    leak: Annotated[Leak, typer.Option(help="plant a column that knows the future")] = Leak.none,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="go on with each event as it is received, until stopped")
    ] = False,
) -> None:
    """Write a SIMULATED clickstream of visitors, whose true probabilities to buy are kept beside."""
    if schema_change != SchemaChange.none and schema_from is None:
        raise SpecError("--schema-change needs --schema-from, the first day of the change.")
    if follow and (connection is None or last or known_at or to):
        raise SpecError("--follow needs --connection, and goes on from now: leave --last, --known-at and --to out.")
    if late and known_at is None and not follow:
        raise SpecError(
            "--late needs --known-at, the day up to which events have been received: it leaves out the rest."
        )
    dials = Dials(
        drift_from=_day(drift_from), drift_views=drift_views, drift_carts=drift_carts,
        drift_visitors=drift_visitors, outage=_day(outage), duplicates=duplicates, late=late, late_days=late_days,
        schema_change=schema_change.value, schema_from=_day(schema_from), leak=leak.value,
    )  # fmt: skip
    world = World(seed=seed, events_per_day=events_per_day, dials=dials)
    end = (_day(last) or datetime.now(UTC).date() - timedelta(days=1)) + timedelta(days=1)
    span = clickstreams.Span(end - timedelta(days=days), end, _day(known_at))
    with progress_bars() as progress:
        if follow:
            with feeds.stopped_by_signals() as stop:
                feeds.follow(world, span.start, address_of(str(connection)), stop=stop, progress=progress)
            return
        if connection is not None:
            written = feeds.write_table(world, span, address_of(connection), progress=progress)
        else:
            written = clickstreams.write_files(world, span, to or load_settings().data_root, progress=progress)
    show_json({"simulated": "yes", **{name: str(getattr(written, name)) for name in written.__slots__}})


def _day(at: datetime | None) -> date | None:
    return None if at is None else at.date()
