"""A backfill's plan as people read it, in a terminal and in the log of a task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from io import StringIO

from rich.console import Console
from rich.table import Table

from perennial.changes import BackfillPlan
from perennial.commands.printing import columns

LOG_WIDTH = 140
ABOUT = "~"
TRIED = f"{ABOUT} reckoned from one day that was tried for this plan, not from parts that were done."


def describe(made: BackfillPlan) -> Sequence[str | Table]:
    """Return the plan as people read it: what is to do, what it costs, which models it touches."""
    table = columns("what", "missing", "stale", "fresh", "to do", "rows", "time", "disk")
    for effect in made.effects:
        what = f"{effect.product} {effect.source}" if effect.source else effect.product
        time = "not known" if effect.seconds is None else str(timedelta(seconds=round(effect.seconds)))
        about = ABOUT if effect.tried else ""
        table.add_row(
            what,
            str(len(effect.missing)),
            str(len(effect.stale)),
            str(effect.fresh),
            str(len(effect.todo)),
            about + _number(effect.rows),
            about + time,
            about + _number(effect.bytes, unit=2**20, name=" MiB"),
        )
    stale = [f"  {state.day}: {state.reason}" for effect in made.effects for state in effect.stale[:10]]
    models = [
        f"  version {model.version} ({', '.join(model.aliases) or 'no alias'}): {model.days} of its days are built "
        f"again, {model.already_changed} have changed since it was trained"
        for model in made.models
    ]
    head = f"Plan {made.id}: {made.case}, {made.window.start} to {made.window.end} (not included), {made.wanted}"
    tried = [TRIED] if any(effect.tried for effect in made.effects) else []
    return [
        head,
        table,
        *tried,
        *(["Stale:", *stale] if stale else []),
        *(["Models:", *models] if models else []),
        _next(made),
    ]


def _next(made: BackfillPlan) -> str:
    if not made.chunks:
        return "There is nothing to do."
    return f"{len(made.chunks)} parts. Build it: perennial backfill apply {made.case} --plan {made.id}"


def as_text(made: BackfillPlan) -> str:
    """Return the plan as plain text, for a log."""
    text = StringIO()
    Console(file=text, width=LOG_WIDTH, color_system=None).print(*describe(made), sep="\n")
    return text.getvalue()


def _number(value: int | None, *, unit: int = 1, name: str = "") -> str:
    return "not known" if value is None else f"{value / unit:,.0f}{name}"
