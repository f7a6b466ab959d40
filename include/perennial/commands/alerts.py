"""The benchmark of the alerts: what would be found and mailed on real days, as they are and with faults."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from perennial import catalog
from perennial.alertbench import bench
from perennial.alertbench.bench import BenchRecord, FaultRecord, Plan
from perennial.commands.printing import columns, progress_bars
from perennial.settings import load_settings

app = typer.Typer()


@app.command("alertbench")
def alertbench(
    case: Annotated[str, typer.Argument(help="name of a folder under include/use_cases")],
    start: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first calm day, of the real history")
    ],
    days: Annotated[int, typer.Option(min=2, help="calm days; the faults begin in their middle")] = 60,
    fault: Annotated[list[str] | None, typer.Option(help="only this one; may be repeated")] = None,
    seed: Annotated[int, typer.Option(help="of what is drawn; the same seed gives the same table")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="homes of the worlds; default: alertbench in the home folder")
    ] = None,
    *,
    peer: Annotated[bool, typer.Option(help="ask Evidently's default preset on the same days")] = True,
) -> None:
    """Live a use case's real days with the real monitor, calm and with faults; exit 1 where a bar is missed."""
    spec, settings = catalog.load_use_case(case), load_settings()
    plan = Plan(start.date(), days, days // 2, tuple(fault or ()), seed, with_peer=peer)
    place = (folder or settings.home / "alertbench") / f"{case}-{plan.start}-{seed}"
    with progress_bars() as told:
        found = bench.run(spec, settings, plan, folder=place, progress=told)
    _print(found)
    if not found.passes:
        raise typer.Exit(1)


def _print(found: BenchRecord) -> None:
    console = Console()
    table = columns(
        "fault", "found", "day", "triage", "right", "mails", "opening", "closing", "Evidently: day", "mails"
    )
    for each in found.faults:
        table.add_row(*_row(each))
    console.print(table)
    calm = found.calm
    console.print(
        f"{found.found} of {len(found.faults)} faults found. {calm.days} calm days from {found.start} on: {calm.mails} "
        f"mails, the peer (Evidently's default preset) {calm.peer_mails}. Seed {found.seed}."
    )
    for incident in calm.incidents:
        console.print(f"  on calm days: {incident}")


def _row(each: FaultRecord) -> list[str]:
    yes = {True: "yes", False: "no"}
    closing = str(each.closed) if each.is_over else f"{each.closed} (open)"
    return [
        each.name, yes[each.found], "" if each.days is None else str(each.days), each.triage, yes[each.is_right],
        str(each.mails), str(each.opened), closing if each.found else "",
        "" if each.peer_days is None else str(each.peer_days), str(each.peer_mails),
    ]  # fmt: skip
