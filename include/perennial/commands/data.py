"""Commands of data engineers: stale days, backfills with a plan, the quarantine, and entities to forget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from perennial import catalog, chunks
from perennial.adapters import Adapters
from perennial.changes import Product, Wanted
from perennial.commands.plans import describe
from perennial.commands.printing import columns, progress_bars, show_json, who
from perennial.errors import DataError
from perennial.records import Window
from perennial.stages import backfill, forget, ingest, maintain, quarantine
from perennial.stages.quarantine import Chosen, Decision

app = typer.Typer(no_args_is_help=True)
quarantine_commands = typer.Typer(no_args_is_help=True, help="List, show, re-drive and discard refused rows.")
backfill_commands = typer.Typer(no_args_is_help=True, help="Say what a long range would touch, then build it.")
app.add_typer(quarantine_commands, name="quarantine")
app.add_typer(backfill_commands, name="backfill")

RUN = "command line"
Case = Annotated[str, typer.Argument(help="name of a folder under include/use_cases")]
First = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first snapshot day")]
Last = Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last snapshot day")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
SourceName = Annotated[str | None, typer.Option("--source", help="one source; default: all of them")]
OneDay = Annotated[
    datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="one day; 1970-01-01 holds rows of no day")
]
Rows = Annotated[list[str] | None, typer.Option("--row", help="id of a row, as `show` prints it; may be repeated")]
Because = Annotated[str | None, typer.Option("--because", help="only rows with this text in one of their reasons")]
Why = Annotated[str, typer.Option("--reason", help="why; kept with the rows, or in the ledger")]


@quarantine_commands.command("list")
def list_rows(
    case: Case, source: SourceName = None, day: OneDay = None, because: Because = None, *, as_json: AsJson = False
) -> None:
    """Count the rows in quarantine by source, day and reasons."""
    found = quarantine.listed(catalog.load_use_case(case), Adapters.from_env(), _chosen(source, day, None, because))
    if as_json:
        show_json(found)
        return
    table = columns("source", "day", "rows", "reasons", "suite")
    for each in found:
        table.add_row(each.source, str(each.day), str(each.rows), "; ".join(each.reasons), each.suite)
    _show(table, empty=f"No row of {case} is in quarantine.", rows=len(found))


@quarantine_commands.command("show")
def show_rows(
    case: Case,
    source: SourceName = None,
    day: OneDay = None,
    because: Because = None,
    limit: Annotated[int, typer.Option(help="at most so many rows")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """Print rows in quarantine whole, with the ids that `redrive` and `discard` take."""
    chosen = _chosen(source, day, None, because)
    found = quarantine.shown(catalog.load_use_case(case), Adapters.from_env(), chosen, limit=limit)
    if as_json:
        show_json(found)
        return
    table = columns("id", "source", "day", "reasons", "row")
    for each in found:
        table.add_row(each["id"], each["source"], each["day"], "; ".join(each["reasons"]), _one_line(each["row"]))
    _show(table, empty=f"No row of {case} is in quarantine.", rows=len(found))


@quarantine_commands.command("redrive")
def redrive_rows(
    case: Case,
    source: SourceName = None,
    day: OneDay = None,
    row: Rows = None,
    because: Because = None,
    reason: Why = "re-driven by hand",
    *,
    read_again: Annotated[
        bool, typer.Option("--read-source-again", help="the source was corrected: read those days from it again")
    ] = False,
) -> None:
    """Publish the rows that pass the suite as it is now; each leaves the quarantine once, with a trace."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    chosen = _chosen(source, day, row, because)
    if read_again:
        with progress_bars() as told:
            for name, days in quarantine.days_to_read_again(spec, adapters, chosen).items():
                ingest.run_days(spec, name, days, adapters, run=RUN, progress=told)
    show_json(quarantine.redrive(spec, adapters, chosen, _decision(reason)))


@quarantine_commands.command("discard")
def discard_rows(
    case: Case,
    reason: Why,
    source: SourceName = None,
    day: OneDay = None,
    row: Rows = None,
    because: Because = None,
) -> None:
    """Take rows out of the quarantine for good; they stay in the lake with the reason."""
    spec = catalog.load_use_case(case)
    show_json(quarantine.discard(spec, Adapters.from_env(), _chosen(source, day, row, because), _decision(reason)))


@app.command("stale")
def show_stale(case: Case, start: First, end: Last, *, as_json: AsJson = False) -> None:
    """Say which snapshots and scores of a range are missing, or disagree with what they were made from."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    days = tuple(_window(start, end).days())
    states = {"snapshot": adapters.lineage.features(spec, days), "scores": adapters.lineage.predictions(spec, days)}
    if as_json:
        show_json({name: [state.to_json() for state in found] for name, found in states.items()})
        return
    table = columns("day", "what", "state", "reason")
    rows = [(state, name) for name, found in states.items() for state in found if state.state != "fresh"]
    for state, name in rows:
        table.add_row(str(state.day), name, state.state, state.reason)
    _show(table, empty=f"Every day of {case} from {days[0]} to {days[-1]} is fresh.", rows=len(rows))


@backfill_commands.command("plan")
def plan_backfill(
    case: Case,
    start: First,
    end: Last,
    what: Annotated[list[str] | None, typer.Option(help="raw, features, predictions; may be repeated")] = None,
    which: Annotated[str, typer.Option(help="missing, 'missing and stale', or all")] = "missing and stale",
    *,
    as_json: AsJson = False,
) -> None:
    """Print and store what a backfill would touch and cost; nothing is built."""
    spec = catalog.load_use_case(case)
    made = backfill.plan(
        spec,
        _window(start, end),
        Adapters.from_env(),
        products=_products(what or ["features"]),
        wanted=_wanted(which),
        who=who(),
        now=datetime.now(UTC),
    )
    if as_json:
        show_json(made)
        return
    Console().print(*describe(made), sep="\n")


@backfill_commands.command("apply")
def apply_backfill(
    case: Case, plan: Annotated[str | None, typer.Option(help="id of a plan; default: the newest")] = None
) -> None:
    """Do what a plan says; run it again after an interruption, and it goes on behind what is done."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    names = adapters.plans.names(case)
    if plan is None and not names:
        raise DataError(f"{case!r} has no backfill plan. Make one: `perennial backfill plan {case} --from … --to …`.")
    made = adapters.plans.load(case, plan or names[-1])
    with progress_bars() as told:
        done = [chunks.run(spec, made, chunk, adapters, run=f"plan {made.id}", progress=told) for chunk in made.chunks]
    record = backfill.summary(made, done)
    backfill.enter(record, adapters, who=who(), now=datetime.now(UTC), run=RUN)
    show_json(record)


@app.command("forget")
def forget_entity(
    case: Case,
    entity: Annotated[str, typer.Option(help="id of the entity")],
    reason: Why = "asked to be forgotten",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go and what it breaks")] = False,
) -> None:
    """Remove one entity from every version of the lake, and name the models that cannot be reproduced then."""
    spec = catalog.load_use_case(case)
    now = datetime.now(UTC)
    show_json(forget.run(spec, entity, Adapters.from_env(), who=who(), reason=reason, now=now, dry_run=dry_run))


@app.command("maintain")
def maintain_lake(
    case: Case,
    keep_days: Annotated[int, typer.Option(min=0, help="what was replaced later than that stays")] = maintain.KEEP_DAYS,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Delete files that no newest version holds and no champion needs, and say what that freed."""
    spec = catalog.load_use_case(case)
    show_json(maintain.run(spec, Adapters.from_env(), keep_days=keep_days, dry_run=dry_run))


def _chosen(source: str | None, day: datetime | None, rows: Sequence[str] | None, because: str | None) -> Chosen:
    days = Window.of_day(day.date()) if day else None
    return Chosen(source=source, days=days, rows=frozenset(rows) if rows else None, reason=because)


def _decision(reason: str) -> Decision:
    return Decision(who=who(), at=datetime.now(UTC), reason=reason, run=RUN)


def _window(start: datetime, end: datetime) -> Window:
    first, last = start.date(), end.date()
    if last < first:
        raise DataError(f"--from {first} is after --to {last}. Swap them.")
    return Window(first, last + timedelta(days=1))


def _products(names: Sequence[str]) -> tuple[Product, ...]:
    known: tuple[Product, ...] = ("raw", "features", "predictions")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(f"--what {unknown[0]!r} is none of {', '.join(known)}.")
    return tuple(product for product in known if product in names)


def _wanted(name: str) -> Wanted:
    known: tuple[Wanted, ...] = ("missing", "missing and stale", "all")
    for each in known:
        if each == name:
            return each
    raise DataError(f"--which {name!r} is none of {', '.join(map(repr, known))}.")


def _show(table: Table, *, empty: str, rows: int) -> None:
    Console().print(table if rows else empty)


def _one_line(row: Any) -> str:
    return row if isinstance(row, str) else ", ".join(f"{name}={value}" for name, value in row.items())
