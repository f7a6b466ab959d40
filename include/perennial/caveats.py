"""What a reader of a model card has to know before trusting the model, told by the data alone; the worst first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from perennial.io.entries import COST, CROWNING, Entry
from perennial.receipts import Receipt
from perennial.records import Json
from perennial.spec import METRICS
from perennial.verdicts import GateReport, GateResult

LEFT_OUT = re.compile(r"[^;]*too few rows[^;]*")


def caveats(
    version: str, manifest: Json, entries: Sequence[Entry], *, report: GateReport | None, receipt: Receipt | None
) -> tuple[str, ...]:
    """Return a sentence for each thing that speaks against a version, or that nobody knows of it.

    Args:
        version: of the model.
        manifest: of its training.
        entries: that are about it, oldest first.
        report: its newest evaluation.
        receipt: its newest reproduction.
    """
    measured = report.metrics if report and report.metrics else {}
    return (
        *_of_entries(version, entries),
        *(_of_gates(report) if report else ("It was not evaluated yet: no gate has judged it.",)),
        *_of_metrics(measured or {"challenger": manifest["holdout"], **manifest.get("baselines", {})}),
        *_of_proof(receipt),
        *_of_manifest(manifest),
        *_of_trained(entries),
    )


def _of_entries(version: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield incidents that are open, a probation that is on, and that people or rules have said no."""
    ended = max((each.id for each in entries if each.action in {*CROWNING, "probation survived"}), default=0)
    over = {each.report.get("opened") for each in entries if each.action == "incident closed"}
    for entry in entries:
        told = f"entry {entry.id}, {entry.at:%Y-%m-%d}"
        if entry.action == "incident opened" and entry.id not in over:
            yield f"An incident is open ({told}): {entry.reason.rstrip('.')}."
        elif entry.action == "probation begun" and entry.to_version == version and entry.id > ended:
            yield f"It is on probation ({told}): {entry.reason}."
        elif entry.action == "rolled back" and entry.from_version == version:
            yield f"It was rolled back by {entry.who} ({told}): {entry.reason.rstrip('.')}."
        elif entry.action == "refused" and entry.to_version == version:
            yield f"It was refused ({told}): {entry.reason}"


def _of_gates(report: GateReport) -> Iterator[str]:
    """Yield the gates that did not pass, whatever their mode, and what they could not look at."""
    for result in sorted(report.results, key=lambda each: (not each.blocks, each.passed)):
        if not result.passed:
            yield _missed(result)
        left_out = LEFT_OUT.search(result.detail)
        if left_out:
            yield f"Not judged by the gate {result.name}: {left_out.group().strip()}."
    if report.champion is None:
        yield "There was no champion to compare with: nobody knows whether it is better than another model in use."


def _missed(result: GateResult) -> str:
    mode = " (dry run: it held nothing back)" if result.mode == "dry_run" else ""
    if result.verdict == "failed":
        return f"It failed the gate {result.name}{mode}: {result.value:.4g}, limit {result.limit:.4g}."
    enough = f", {result.rows_needed:,} rows would be enough" if result.rows_needed else ""
    return f"The gate {result.name} cannot tell{mode}: power {result.power or 0.0:.0%}{enough}."


def _of_metrics(measured: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield each metric on which something simpler, or what was in use, is better."""
    for name in (each for each in METRICS if each in measured["challenger"]):
        ours, sign = measured["challenger"][name], 1 if METRICS[name] else -1
        better = {
            other: figures[name]
            for other, figures in measured.items()
            if other != "challenger" and name in figures and sign * (figures[name] - ours) > 0
        }
        if better:
            told = ", ".join(_who(other, value) for other, value in sorted(better.items()))
            yield f"On {name} ({ours:.4g}) it is not the best on these rows: {told}."


def _who(other: str, value: float) -> str:
    return f"{'the champion then' if other == 'champion' else f'the baseline {other}'} has {value:.4g}"


def _of_proof(receipt: Receipt | None) -> Iterator[str]:
    if receipt is None:
        yield "Nobody has reproduced it yet."
    elif receipt.difference is not None:
        yield f"The newest reproduction (entry {receipt.entry}) did not give the same model: {receipt.reason}."


def _of_manifest(manifest: Json) -> Iterator[str]:
    for name, reason in manifest.get("declared", {}).get("strong", {}).items():
        yield f"The feature {name} tells the label almost alone, and is excused: {reason}"
    if manifest.get("built_from"):
        yield f"{len(manifest['built_from'])} snapshot days were built from older table versions than those named."
    if manifest.get("code", "unknown") == "unknown":
        yield "The commit of the code that trained it was not recorded (PERENNIAL_CODE_VERSION)."


def _of_trained(entries: Sequence[Entry]) -> Iterator[str]:
    if not any(each.action == "trained" and COST in each.report for each in entries):
        yield "What its training took was not recorded."
