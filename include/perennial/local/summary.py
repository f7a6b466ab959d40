"""The table at the end of the demonstration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow.compute as pc
from rich.table import Table

from perennial.catalog import load_use_case
from perennial.incidents import Incident
from perennial.io.lake import Lake
from perennial.io.rows import PLACE, PUBLISHED, QUARANTINE
from perennial.local import stack
from perennial.local.demo import Outcome
from perennial.local.layout import Layout
from perennial.local.mailbox import mails
from perennial.local.steps import Steps
from perennial.settings import Settings
from perennial.spec import UseCase

SHOWN_METRICS = (
    "roc_auc",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
    "expected_profit",
    "return_on_ad_spend",
    "mae",
    "rmse",
    "bias",
    "r2",
)
SHOWN_MAILS = 6  # the newest


def show(outcome: Outcome, *, steps: Steps, settings: Settings, case: str) -> None:
    """Print what was built and found, how long each step took, and where to look."""
    layout = Layout.of(settings)
    found = load_use_case(case)
    table = Table(title=f"{found.title}", show_header=False, title_justify="left")
    for name, text in [*_data(found, Lake(settings.lake_root)), *_model(outcome), *_monitoring(outcome, layout)]:
        table.add_row(name, text)
    steps.console.print(table, _times(steps), stack.describe(layout), sep="\n")


def _data(case: UseCase, lake: Lake) -> Iterator[tuple[str, str]]:
    days = lake.days(case.features_table)
    yield "days built", f"{len(days)}, {days[0]} to {days[-1]}" if days else "none"
    yield "feature rows", f"{_rows(lake, case.features_table):,}"
    yield (
        "raw rows",
        ", ".join(f"{source.name} {_rows(lake, case.raw_table(source.name), PUBLISHED):,}" for source in case.sources),
    )
    refused = {source.name: _rows(lake, case.raw_table(source.name), QUARANTINE) for source in case.sources}
    yield "quarantined rows", ", ".join(f"{name} {rows:,}" for name, rows in refused.items() if rows) or "0"
    yield "scored days", str(len(lake.days(case.predictions_table)))


def _rows(lake: Lake, table: str, place: str | None = None) -> int:
    if lake.version(table) is None:
        return 0
    dataset = lake.dataset(table)
    if place is None:
        return int(dataset.count_rows())
    if PLACE not in dataset.schema.names:  # written before rows had places: all of them are published
        return int(dataset.count_rows()) if place == PUBLISHED else 0
    return int(dataset.count_rows(filter=pc.field(PLACE) == place))


def _model(outcome: Outcome) -> Iterator[tuple[str, str]]:
    report = outcome.champion
    yield "champion", f"version {report['version']} as of {report['as_of']}, {report['rows']:,} rows held out"
    names = {"challenger": f"version {report['version']}", "champion": f"version {report['champion']} before"}
    for name in SHOWN_METRICS:
        values = {names.get(who, who): found[name] for who, found in report["metrics"].items() if name in found}
        if values:
            yield f"  {name}", ", ".join(f"{who} {value:,.3f}" for who, value in values.items())
    passed = [gate["name"] for gate in report["results"] if gate["margin"] >= 0]
    told = [gate["name"] for gate in report["results"] if gate["name"] not in passed]
    yield "  gates passed", ", ".join(passed)
    if told:
        yield "  not passed, dry run", ", ".join(told)
    if outcome.approval:
        who, form = outcome.approval["responded_by_user"]["name"], outcome.approval["params_input"]
        yield "  approved by", f"{who}, over REST: {form['reason']}"


def _monitoring(outcome: Outcome, layout: Layout) -> Iterator[tuple[str, str]]:
    if outcome.change is not None:
        yield f"changed from {outcome.change.days[0]} on", outcome.change.what
    for what, record in (("quiet day", outcome.before), ("changed day", outcome.after), ("mended day", outcome.mended)):
        if record:
            yield f"drift, {what}", _finding(record)
    if outcome.incident is not None:
        yield f"incident {outcome.incident.id}", _incident(outcome.incident)
    caught = mails(layout.mail)
    yield "mails sent", f"{len(caught)}" + "".join(f"\n{mail.subject}" for mail in caught[-SHOWN_MAILS:])
    yield "retraining", outcome.retrained
    for day, near in outcome.nearness.items():
        yield (
            f"simulated truth, {day}",
            f"the scores go {near.share:.0%} of the way from a constant to the true probabilities "
            f"(expected log loss {near.constant:.4f}, {near.scores:.4f}, {near.truth:.4f})\n"
            f"ROC AUC {near.area:.3f}, of the true probabilities {near.area_of_truth:.3f}; {near.rows:,} visitors",
        )


def _incident(incident: Incident) -> str:
    """Return what it is and since when, why, who is at work on it, and whether it is over."""
    lines = [f"{incident.kind} ({incident.severity}) since {incident.since}", incident.reason]
    if incident.acknowledged_by:
        lines.append(f"acknowledged by {incident.acknowledged_by}, on the Models page")
    over = (
        f"over at {incident.closed_at:%Y-%m-%d %H:%M} UTC: {incident.closed_because}" if incident.closed_at else "open"
    )
    return "\n".join([*lines, over])


def _finding(record: Mapping[str, Any]) -> str:
    day = datetime.fromisoformat(str(record["day"])).date()
    return f"{day}: {record['verdict']}; {record['drifted_share']:.0%} of the features have drifted\n{record['reason']}"


def _times(steps: Steps) -> Table:
    table = Table(title="Time for each step", show_header=False, title_justify="left")
    for name, seconds in steps.seconds.items():
        table.add_row(name, f"{seconds:.0f} s")
    table.add_row("all steps", f"{sum(steps.seconds.values()):.0f} s")
    return table
