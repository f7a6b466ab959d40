"""Commands that look before anything is trusted: leaks, the rows behind a feature, portability, and profiles."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from perennial import catalog
from perennial.adapters import Adapters
from perennial.commands.printing import columns, progress_bars, show_json
from perennial.io import portability
from perennial.stages import explain, leaks, profile

app = typer.Typer(help=__doc__)
Case = Annotated[str, typer.Argument(help="name of a folder under include/use_cases")]
Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="UTC day, such as 2026-11-20")]
Json = Annotated[bool, typer.Option("--json", help="print the record as JSON")]
MOST_SHOWN = 8


@app.command("leaks")
def hunt_leaks(
    case: Case,
    days: Annotated[int, typer.Option(min=0, help="days to draw; 0 takes every day that has later rows")] = leaks.DAYS,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    *,
    as_json: Json = False,
) -> None:
    """Hunt for features that know what comes after their day; exit 2 where one does."""
    with progress_bars() as told:
        report = leaks.run(
            catalog.load_use_case(case), Adapters.from_env(), days=days or None, seed=seed, progress=told
        )
    if as_json:
        show_json(report)
    else:
        _say_what_was_hunted(report)
    report.raise_if_any()


def _say_what_was_hunted(report: leaks.LeakReport) -> None:
    span = f"{report.days[0]} to {report.days[-1]}" if report.days else "none"
    typer.echo(
        f"{report.case}: {len(report.features)} features on {len(report.days)} days ({span}, seed {report.seed}); "
        f"{report.matured_days} with matured labels, {report.corrected_days} with corrected rows; "
        f"{len(report.leaks) or 'no'} leaks."
    )
    for excused in report.excused:
        typer.echo(f"excused: {excused}")
    for note in report.notes:
        typer.echo(f"not judged: {note}")


@app.command("explain-row")
def explain_row(case: Case, entity: str, day: Day, *, as_json: Json = False) -> None:
    """List each feature of an entity on a day with the source rows behind it."""
    found = explain.run(catalog.load_use_case(case), entity, day.date(), Adapters.from_env())
    if as_json:
        show_json(found)
        return
    table = columns("feature", "value", "decided by", "also", "columns", "depends on")
    for each in found.features:
        table.add_row(
            each.feature, _value(each.value), _rows(each, "decides"), _rows(each, "enough", "counts"),
            "; ".join(f"{name}: {', '.join(listed)}" for name, listed in each.columns.items()),
            ", ".join([*each.references, *(["other entities"] if each.other_entities else [])]),
        )  # fmt: skip
    _console().print(f"{found.case}, {found.entity} on {found.day}", table, *found.notes, sep="\n")


def _value(value: Any) -> str:
    return "—" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)


def _rows(found: explain.FeatureExplained, *roles: str) -> str:
    rows = [row for row in found.rows if row.role in roles]
    shown = [f"{row.source} {row.day} {' '.join(map(str, row.keys.values()))}" for row in rows[-MOST_SHOWN:]]
    more = [f"and {len(rows) - MOST_SHOWN} more"] if len(rows) > MOST_SHOWN else []
    return "\n".join([*shown, *more])


@app.command("lint")
def lint_sql(
    case: Annotated[str | None, typer.Argument(help="default: every use case")] = None, *, as_json: Json = False
) -> None:
    """Warn of SQL that Spark would read otherwise; never an error."""
    cases = (catalog.load_use_case(case),) if case else catalog.use_cases()
    found = [each for one in cases for each in portability.findings(one)]
    if as_json:
        show_json(found)
        return
    for each in found:
        typer.echo(str(each))
    typer.echo(f"{len(found) or 'no'} warnings in {', '.join(one.name for one in cases)}.")


@app.command("profile")
def profile_case(
    case: Case,
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="last day, included")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Describe every source and the features: distributions, missing, cardinality, the label, change over time."""
    with progress_bars() as told:
        made = profile.run(
            catalog.load_use_case(case), Adapters.from_env(), first=start.date() if start else None,
            last=end.date() if end else None, progress=told,
        )  # fmt: skip
    if as_json:
        show_json(made)
        return
    table: Table = columns("table", "rows", "columns", "days")
    for each in made.tables:
        table.add_row(each.name, f"{each.rows:,}", str(len(each.columns)), str(each.days))
    _console().print(table, f"page: {Adapters.from_env().settings.pages_root / made.page}", sep="\n")


def _console() -> Console:
    """Return a console that folds nothing where the output is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 160)
