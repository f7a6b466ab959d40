"""Commands of approvers and auditors: the ledger, and who was champion when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from perennial.adapters import Adapters
from perennial.commands.printing import columns, show_json
from perennial.errors import DataError, TamperedError
from perennial.io.entries import Entry
from perennial.io.pages import moment
from perennial.stages import audit, reigns
from perennial.stages.reigns import Reign

app = typer.Typer(help=__doc__)
ledger_commands = typer.Typer(no_args_is_help=True, help="Show the ledger, and verify that nobody has changed it.")
app.add_typer(ledger_commands, name="ledger")
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@ledger_commands.command("show")
def show_entries(
    case: Annotated[str | None, typer.Argument(help="default: every use case, also a deleted one")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest first")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List the newest decisions: what, which version, who, and why."""
    found = Adapters.from_env().ledger.history(case, limit=limit)
    if as_json:
        show_json(found)
        return
    table = columns("entry", "at", "case", "what", "version", "who", "reason")
    for each in found:
        table.add_row(
            str(each.id), moment(each.at), each.case, each.action, _versions(each), each.who,
            each.reason.partition("\n")[0],
        )  # fmt: skip
    Console().print(table if found else f"The ledger has no entry{f' about {case}' if case else ''}.")


@ledger_commands.command("verify")
def verify_entries(
    expect: Annotated[
        list[str] | None, typer.Option(help="an entry that was kept elsewhere, as ID:HASH; may be repeated")
    ] = None,
) -> None:
    """Find any edited, removed or reordered entry; exit 1 where there is one, each named."""
    found = audit.run(Adapters.from_env(), expect=expect or ())
    for note in found.notes:
        typer.echo(note, err=True)
    if found.faults:
        faults = "\n".join(f"  {fault}" for fault in found.faults)
        raise TamperedError(f"The ledger is not as it was written, {len(found.faults)} fault(s):\n{faults}")
    typer.echo(f"{found.entries} entries, each as it was written and in its place.")
    if found.newest:
        typer.echo(f"Keep the newest elsewhere: {found.newest}")


@app.command("champion")
def show_champion(
    case: Annotated[str, typer.Argument(help="name of a use case, also of a deleted one")],
    at: Annotated[
        str | None, typer.Option(help="such as 2026-03-01 or 2026-03-01T12:00; UTC unless it says otherwise")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say who is champion, or was at a moment: since when, why, by whom, and by which gates."""
    asked = _moment(at) if at else datetime.now(UTC)
    found = reigns.at(case, asked, Adapters.from_env().ledger)
    if as_json:
        show_json(found)
        return
    typer.echo(_told(found) if found else f"{case} had no champion at {moment(asked)}.")


def _told(reign: Reign) -> str:
    lines = [
        f"{reign.case} version {reign.version}",
        f"since   {moment(reign.since)}",
        f"until   {_end(reign)}",
        f"how     {reign.by.action} by {reign.by.who}, entry {reign.by.id}, run {reign.by.run}",
        f"why     {reign.by.reason}",
    ]
    if reign.by.from_version:
        lines.append(f"before  version {reign.by.from_version}")
    if reign.evaluation:
        lines.append(f"gates   {reign.evaluation.reason}, entry {reign.evaluation.id}, {moment(reign.evaluation.at)}")
    return "\n".join(lines)


def _end(reign: Reign) -> str:
    ended = reign.ended_by
    if ended is None:
        return "now"
    return f"{moment(ended.at)}, when version {ended.to_version} was {ended.action} by {ended.who}, entry {ended.id}"


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"--at {text!r} is no time. Write it as 2026-03-01 or 2026-03-01T12:00.") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _versions(entry: Entry) -> str:
    return " → ".join(filter(None, [entry.from_version, entry.to_version]))
