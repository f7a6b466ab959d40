"""Commands of operations, approvers and auditors: rollback, aliases, the ledger, and who was champion when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from perennial import carding, catalog, projection, supervising
from perennial.adapters import Adapters
from perennial.commands.incidents import mail
from perennial.commands.printing import columns, show_json, who
from perennial.errors import DataError, RefusedError, SetupError, TamperedError
from perennial.io.entries import Entry
from perennial.io.pages import moment
from perennial.stages import audit, probation, reigns, reproduce, rollback
from perennial.stages.reigns import Reign

app = typer.Typer(help=__doc__)
ledger_commands = typer.Typer(no_args_is_help=True, help="Show the ledger, and verify that nobody has changed it.")
app.add_typer(ledger_commands, name="ledger")
RUN = "command line"
Case = Annotated[str, typer.Argument(help="name of a folder under include/use_cases")]
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


@app.command("rollback")
def roll_back(
    case: Case,
    to: Annotated[str, typer.Option(help="a version that was champion before")],
    reason: Annotated[str, typer.Option(help="kept in the ledger, and mailed to everyone concerned")],
) -> None:
    """Make a former champion the champion again, at once; refused before anything changes where it cannot serve."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    record = rollback.run(spec, to, adapters, who=who(), reason=reason, now=datetime.now(UTC), run=RUN)
    show_json(record)
    mail(spec, adapters)


@app.command("aliases")
def check_aliases(
    case: Case,
    reason: Annotated[str, typer.Option(help="why an alias is put back; kept in the ledger")] = "",
    *,
    repair: Annotated[bool, typer.Option("--repair", help="put the aliases where the ledger says")] = False,
) -> None:
    """Hold MLflow's aliases against the ledger; exit 2 where somebody has moved one by hand."""
    spec, adapters, now = catalog.load_use_case(case), Adapters.from_env(), datetime.now(UTC)
    if repair:
        if not reason.strip():
            raise RefusedError(f"The aliases of {case} are not put back without a reason: add --reason.")
        found = projection.repair(case, adapters, reason=reason.strip(), now=now, who=who(), run=RUN)
        typer.echo(f"put back: {found.moved}" if found.moved else f"{case}: there was nothing to put back.")
    else:
        found = projection.watch(case, adapters, now=now, who=who(), run=RUN)
        if not found.moved:
            typer.echo(f"{case}: the aliases are where the ledger says, champion {found.champion or 'none'}.")
    mail(spec, adapters)
    if not repair:
        found.raise_if_moved()


@app.command("probation")
def watch_probation(
    case: Case,
    day: Annotated[
        datetime | None, typer.Argument(formats=["%Y-%m-%d"], help="UTC day; default: the newest that is scored")
    ] = None,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="do what follows: roll back, or enter that it is over")
    ] = False,
) -> None:
    """Say how a new champion does against the former one, by the labels that a day knows."""
    spec, adapters, now = catalog.load_use_case(case), Adapters.from_env(), datetime.now(UTC)
    scored = adapters.lake.days(spec.predictions_table)
    asked = day.date() if day else max(scored, default=now.date())
    if apply:
        watched = supervising.run(spec, asked, adapters, run=RUN, now=now)
        typer.echo(f"{case}: {watched.told()}")
        mail(spec, adapters)
        return
    found = probation.run(spec, asked, adapters, run=RUN, now=now, enters=False)
    if found is None:
        typer.echo(f"No version of {case} is on probation; `probation:` in use_case.yaml declares one.")
    else:
        show_json(found)


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


@app.command("card")
def write_card(
    model: Annotated[str, typer.Argument(metavar="CASE[@VERSION]", help="or CASE@ALIAS; a case alone is its champion")],
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="print the card instead of where it lies")] = False,
) -> None:
    """Write the card of a version anew, as a page and as Markdown, and say where the page lies."""
    adapters = Adapters.from_env()
    name, version = reproduce.asked(model, adapters)
    try:
        made = carding.write(name, version, adapters, case=catalog.declared_today(name))
    except OSError as error:
        raise SetupError(
            f"The card of {name} version {version} cannot be written: {error}. Check PERENNIAL_PAGES."
        ) from error
    typer.echo(made.markdown if markdown else made.html)


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
