"""Commands of approvers and auditors: the ledger, and who was champion when."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from perennial.adapters import Adapters
from perennial.commands.printing import columns, show_json
from perennial.errors import TamperedError
from perennial.io.entries import Entry
from perennial.io.pages import moment
from perennial.stages import audit

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


def _versions(entry: Entry) -> str:
    return " → ".join(filter(None, [entry.from_version, entry.to_version]))
