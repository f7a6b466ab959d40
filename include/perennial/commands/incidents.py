"""Commands about incidents: list them, let a day open, follow or end them, say that somebody is at work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from perennial import catalog
from perennial.adapters import Adapters
from perennial.commands.printing import columns, show_json, who
from perennial.errors import MailError, SetupError
from perennial.incidents import Incident
from perennial.io.incidents import incidents
from perennial.io.post import deliver
from perennial.raising import By
from perennial.settings import connection
from perennial.spec import UseCase
from perennial.stages import handle, route, send, tell

app = typer.Typer(no_args_is_help=True, help="What is wrong now, and who is at work on it.")
RUN = "command line"
Number = Annotated[int, typer.Argument(help="of the incident, as mails and the Models page say it")]
Reason = Annotated[str, typer.Option(help="kept in the ledger, read by the others")]


@app.command("list")
def show(
    case: Annotated[str | None, typer.Argument(help="default: every use case")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="also those that are over")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the open incidents, the newest first."""
    found = [each for each in incidents(Adapters.from_env().ledger, case) if everything or each.is_open]
    if as_json:
        show_json(found)
        return
    table = columns("incident", "case", "what", "severity", "since", "until", "at work", "reason")
    for each in found:
        table.add_row(
            str(each.id), ", ".join(each.cases), each.kind, each.severity, str(each.since), _until(each),
            each.acknowledged_by or "", each.reason.partition("\n")[0],
        )  # fmt: skip
    Console().print(table if found else f"No incident is open{f' for {case}' if case else ''}.")


@app.command("follow")
def follow(
    case: Annotated[str, typer.Argument(help="name of a folder under include/use_cases")],
    day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="UTC day that was monitored")],
) -> None:
    """Let a day's finding open, follow or end incidents, as the daily run does, and mail what is due."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    show_json(route.run(spec, day.date(), adapters, by=_by()))
    mail(spec, adapters)


@app.command("acknowledge")
def acknowledge(number: Number, reason: Reason) -> None:
    """Say that you are at work on an incident; that it gets worse, and its end, are mailed nevertheless."""
    show_json(handle.acknowledge(number, Adapters.from_env(), reason=reason, by=_by()))


@app.command("snooze")
def snooze(number: Number, days: Annotated[int, typer.Option(help="1 to 30, from today on")], reason: Reason) -> None:
    """Mail nobody about an incident for some days, but for its end."""
    show_json(handle.snooze(number, Adapters.from_env(), days=days, reason=reason, by=_by()))


def mail(case: UseCase, adapters: Adapters) -> None:
    """Mail what is due through the connection `smtp_default`; where that cannot be, it waits in the outbox."""
    now = datetime.now(UTC)
    tell.run(case, adapters, now=now)
    try:
        address = connection("smtp_default")
        send.run(adapters, deliver=lambda each: deliver(each, address), now=now, case=case.name).raise_if_refused()
    except (SetupError, MailError) as error:
        typer.echo(f"Nobody was mailed yet, perennial__mail will: {error}", err=True)


def _by() -> By:
    return By(who(), RUN, datetime.now(UTC))


def _until(incident: Incident) -> str:
    if incident.closed_at is not None:
        return f"{incident.closed_at:%Y-%m-%d %H:%M}"
    return f"snoozed until {incident.snoozed_until}" if incident.snoozed_until else "open"
