"""Every stage by hand, on the same code that Airflow runs; the only place that prints.

Exit codes: 0 done, 1 a gate failed, the ledger was changed or a model is not reproduced, 2 input or setup is wrong.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from perennial import catalog, chunks
from perennial.adapters import Adapters
from perennial.commands import alerts, checks, data, governance, incidents, reproduction, sources
from perennial.commands.printing import progress_bars, show_json, who
from perennial.errors import (
    DataError,
    GateFailedError,
    NotReproducedError,
    PerennialError,
    RefusedError,
    SpecError,
    TamperedError,
)
from perennial.local.commands import app as stack_commands
from perennial.records import Window
from perennial.spec import UseCase
from perennial.stages import backfill, evaluate, features, ingest, monitor, promote, retrain, score, train, validate

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help=__doc__)
app.add_typer(stack_commands)
app.add_typer(data.app)
app.add_typer(checks.app)
app.add_typer(sources.app)
app.add_typer(governance.app)
app.add_typer(reproduction.app)
app.add_typer(alerts.app)
app.add_typer(incidents.app, name="incidents")

Case = Annotated[str, typer.Argument(help="name of a folder under include/use_cases")]
Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="UTC day, such as 2026-11-20")]
Version = Annotated[str | None, typer.Option(help="registry version; default: the challenger")]
Reason = Annotated[str, typer.Option(help="kept in the ledger")]
RUN = "command line"


def main() -> None:
    """Run the command line; our own errors become one message on stderr and an exit code."""
    try:
        app()
    except (GateFailedError, NotReproducedError, TamperedError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except PerennialError as error:
        typer.echo(f"perennial: {error}", err=True)
        sys.exit(2)


@app.command("cases")
def show_cases(*, schema: Annotated[bool, typer.Option(help="print the JSON schema of use_case.yaml")] = False) -> None:
    """Check every use case, and the setting PERENNIAL_LIVE; the errors of the broken ones go to stderr."""
    if schema:
        typer.echo(json.dumps(UseCase.model_json_schema(), indent=2))
        return
    for case in catalog.use_cases():
        typer.echo(f"{case.name}: {case.title} ({len(case.sources)} sources, {len(case.features.columns)} features)")
    broken = catalog.broken_use_cases()
    for error in broken.values():
        typer.echo(str(error), err=True)
    catalog.check_live()
    if broken:
        raise SpecError(f"{len(broken)} of {len(catalog.names())} use cases cannot be loaded: {', '.join(broken)}.")


@app.command("validate")
def validate_day(case: Case, day: Day) -> None:
    """Hold a day's rows against their expectations; publish nothing."""
    show_json(validate.run(catalog.load_use_case(case), day.date(), Adapters.from_env()))


@app.command("ingest")
def ingest_day(case: Case, day: Day) -> None:
    """Read, validate and publish a day of every source, and the days that its features look back to."""
    with progress_bars() as told:
        show_json(ingest.run(catalog.load_use_case(case), day.date(), Adapters.from_env(), run=RUN, progress=told))


@app.command("features")
def build_features(case: Case, day: Day) -> None:
    """Build and publish the snapshot of a day."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    record = features.run(spec, day.date(), adapters, run=RUN)
    rebuilt = features.rebuild_stale(spec, day.date(), adapters, run=RUN)
    show_json([record, *rebuilt] if rebuilt else record)


@app.command("train")
def train_challenger(
    case: Case,
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="default: the newest published snapshot")
    ] = None,
    known_at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; read the tables as they were then"),
    ] = None,
    reason: Reason = "by hand",
) -> None:
    """Train, register and alias a challenger."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    day = as_of.date() if as_of else _newest_snapshot(spec, adapters)
    with progress_bars() as told:
        moment = known_at.replace(tzinfo=UTC) if known_at else None
        show_json(train.run(spec, day, adapters, run=RUN, reason=reason, known_at=moment, progress=told))


@app.command("evaluate")
def evaluate_challenger(case: Case, version: Version = None) -> None:
    """Hold a challenger against its gates; exit 1 where one fails."""
    adapters = Adapters.from_env()
    report = evaluate.run(catalog.load_use_case(case), adapters, version=version, now=_now(), who=who(), run=RUN)
    show_json(report)
    report.raise_if_failed()


@app.command("promote")
def promote_challenger(
    case: Case,
    version: Version = None,
    reason: Reason = "by hand",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen; change nothing")] = False,
) -> None:
    """Make an evaluated challenger the champion; refused where people approve: they are asked by a DAG."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    wanted = version or _challenger(spec, adapters)
    if dry_run:
        show_json(promote.preview(spec, wanted, adapters, now=_now()))
    else:
        show_json(promote.run(spec, wanted, adapters, who=who(), reason=reason, now=_now(), run=RUN))


@app.command("score")
def score_day(case: Case, day: Day) -> None:
    """Score a day's snapshot by the champion."""
    show_json(score.run(catalog.load_use_case(case), day.date(), Adapters.from_env(), run=RUN))


@app.command("monitor")
def monitor_day(case: Case, day: Day) -> None:
    """Compare a day with what the champion was trained on, and its matured predictions with their labels."""
    show_json(monitor.run(catalog.load_use_case(case), day.date(), Adapters.from_env(), run=RUN, now=_now()))


@app.command("retrain")
def decide_retraining(case: Case, day: Day) -> None:
    """Say whether the evidence of a day asks for a new model, and why."""
    show_json(retrain.run(catalog.load_use_case(case), day.date(), Adapters.from_env(), now=_now()))


@app.command("run")
def run_loop(
    case: Case,
    start: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first snapshot day")],
    end: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last snapshot day, and `as_of`")],
) -> None:
    """Run the whole loop without Airflow, from the days of the sources to the decision on a retraining."""
    spec, adapters = catalog.load_use_case(case), Adapters.from_env()
    by_gates = _with_nobody_to_ask(spec, adapters)
    adapters.ledger.upgrade()
    last = end.date()
    days = tuple(Window.ending(last, days=(last - start.date()).days + 1).days()) if start <= end else ()
    if not days:
        raise DataError(f"--from {start.date()} is after --to {last}. Swap them.")
    with progress_bars() as told:
        window = Window(days[0], last + timedelta(days=1))
        plan = backfill.plan(spec, window, adapters, products=["features"], who=who(), now=_now())
        done = [chunks.run(spec, plan, chunk, adapters, run=RUN, progress=told) for chunk in plan.chunks]
        backfill.enter(backfill.summary(plan, done), adapters, who=who(), now=_now(), run=RUN)
        trained = train.run(spec, last, adapters, run=RUN, reason="by hand", progress=told)
        report = evaluate.run(spec, adapters, version=trained.version, now=_now(), who=who(), run=RUN)
        report.raise_if_failed()
        promoted = promote.run(
            by_gates, trained.version, adapters, who=who(), reason="perennial run", now=_now(), run=RUN
        )
        scored = score.run(spec, last, adapters, run=RUN)
        found = monitor.run(spec, last, adapters, run=RUN, now=_now())
        decided = retrain.run(spec, last, adapters, now=_now())
    show_json((report, promoted, scored, found, decided))


def _with_nobody_to_ask(case: UseCase, adapters: Adapters) -> UseCase:
    """Return the use case as a home of its own walks it: a ledger that nobody shares decides nothing in production.

    Raises:
        RefusedError: people approve its promotions, and the ledger is one that others share.
    """
    if case.human_approval is None:
        return case
    if adapters.settings.ledger_url is not None:
        raise RefusedError(
            f"{case.name} is promoted with the approval of {', '.join(case.human_approval.approvers)} only, and this "
            f"ledger is one that others share: start {case.name}__continuous_training in Airflow, which leads to the "
            "question. By the gates alone the loop runs in a home of its own: PERENNIAL_HOME=trial perennial run."
        )
    return case.model_copy(update={"approval": "automatic"})


def _newest_snapshot(case: UseCase, adapters: Adapters) -> date:
    days = adapters.lake.days(case.features_table)
    if not days:
        raise DataError(f"{case.features_table} has no snapshot yet. Run `perennial run {case.name} --from … --to …`.")
    return days[-1]


def _challenger(case: UseCase, adapters: Adapters) -> str:
    return adapters.registry.required_version_of(case.name, "challenger")


def _now() -> datetime:
    return datetime.now(UTC)
