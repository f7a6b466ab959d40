"""Commands that prove where a model came from: rebuild it from its manifest in a clean process, and compare."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.console import Console

from perennial import carding, catalog
from perennial.adapters import Adapters
from perennial.commands.printing import columns, show_json, who
from perennial.io import checkouts, processes
from perennial.receipts import Rebuilt, Receipt
from perennial.settings import CHECKOUT, Settings
from perennial.stages import rebuild, reproduce

app = typer.Typer()
REBUILD = "include/perennial/stages/rebuild.py"
DIGITS = 12


class Definition(StrEnum):
    """Whether the use case of today has to be the one of then."""

    today = "today"
    recorded = "recorded"


class Code(StrEnum):
    """Which code rebuilds."""

    here = "here"
    recorded = "recorded"


@app.command("reproduce")
def reproduce_model(
    model: Annotated[str, typer.Argument(metavar="CASE[@VERSION]", help="or CASE@ALIAS; a case alone is its champion")],
    definition: Annotated[
        Definition, typer.Option(help="today: a changed spec or SQL file is a difference; recorded: do not compare")
    ] = Definition.today,
    code: Annotated[Code, typer.Option(help="recorded: run the commit that trained it, as a git worktree")] = Code.here,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="print the receipt as JSON")] = False,
) -> None:
    """Rebuild a model from its manifest in a clean process; exit 0 where every stage is equal, else 1 and the first."""
    adapters = Adapters.from_env()
    name, version = reproduce.asked(model, adapters)
    with tempfile.TemporaryDirectory() as folder, _code(code, name, version, adapters, Path(folder)) as found:
        commit, paths = found

        def in_a_clean_process(name: str, version: str) -> Rebuilt:
            return _rebuilt(name, version, definition, adapters.settings, Path(folder), paths)

        receipt = reproduce.run(
            name, version, adapters, rebuild=in_a_clean_process, code=commit, who=who(), now=datetime.now(UTC)
        )
    carding.keep(name, version, adapters, case=catalog.declared_today(name))
    if as_json:
        show_json(receipt)
    else:
        _show(receipt)
    receipt.raise_if_different()


@app.command("rebuild", hidden=True)
def rebuild_model(case: str, version: str, into: Path, definition: Definition) -> None:
    """Do the work of `reproduce` in the process of now, and write what came of it to a file."""
    today = catalog.load_use_case(case) if definition is Definition.today else None
    found = rebuild.run(case, version, Adapters.from_env(), today=today)
    into.write_text(json.dumps(found.to_json()))


def _rebuilt(
    name: str, version: str, definition: Definition, settings: Settings, folder: Path, paths: dict[str, str]
) -> Rebuilt:
    """Return what a process finds that reads this one's lake and registry, and writes below `folder`."""
    into = folder / "rebuilt.json"
    processes.run(
        ["rebuild", name, version, str(into), definition.value], environment=settings.elsewhere(folder / "home") | paths
    )
    return TypeAdapter(Rebuilt).validate_json(into.read_text())


@contextmanager
def _code(
    code: Code, name: str, version: str, adapters: Adapters, folder: Path
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the commit that rebuilds, and the environment in which Python finds it."""
    if code is Code.here:
        known = adapters.settings.code_version
        yield checkouts.describe(CHECKOUT) if known == reproduce.UNKNOWN else known, {}
        return
    recorded = str(adapters.registry.manifest(name, version).get("code", reproduce.UNKNOWN))
    with checkouts.at_commit(CHECKOUT, recorded, folder / "code", needs=REBUILD) as tree:
        yield recorded, {"PYTHONPATH": f"{tree / 'include'}:{tree / 'plugins'}"}


def _show(receipt: Receipt) -> None:
    table = columns("stage", "outcome", "recorded", "found")
    for each in receipt.outcomes:
        table.add_row(each.stage, each.state, each.recorded[:DIGITS], each.found[:DIGITS])
    console = Console()
    console.print(table)
    for note in receipt.notes:
        typer.echo(note)
    typer.echo(f"{receipt.case} version {receipt.version}: {receipt.reason} (ledger entry {receipt.entry})")
