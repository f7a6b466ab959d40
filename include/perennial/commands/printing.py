"""How commands print: records as JSON, progress on stderr; and who is at the keyboard."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from perennial.records import Record, plain


def show_json(value: Any) -> None:
    """Print a record, or whatever holds records, as JSON."""
    typer.echo(json.dumps(_plain(value), indent=2))


def who() -> str:
    """Return who decides at this keyboard."""
    return getpass.getuser()


def columns(*names: str) -> Table:
    """Return an empty table with these columns."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows step, done and total as bars on stderr."""
    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
        bars: dict[str, TaskID] = {}

        def told(step: str, done: int, total: int) -> None:
            if step not in bars:
                bars[step] = progress.add_task(step, total=total)
            progress.update(bars[step], completed=done, total=total)

        yield told


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return plain(value)
