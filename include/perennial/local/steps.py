"""Shows what takes long with a bar, and remembers how long each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Bar:
    """One step's bar; `advance_to` moves it, `note` says what it waits for."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance_to(self, done: float, *, total: float | None = None, note: str = "") -> None:
        """Move the bar to `done` of `total`."""
        self._progress.update(self._task, completed=done, total=total, note=note)


class Steps:
    """The steps of one command, in order; on a terminal each has a live bar, elsewhere a line at its end."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self.seconds: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Print a line between two steps."""
        self.console.print(text, highlight=False)

    @contextmanager
    def step(self, title: str, *, total: float | None = None) -> Iterator[Bar]:
        """Show a bar until the block ends and keep its time under `title`."""
        begun = time.monotonic()
        columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<34}"), BarColumn(bar_width=30))
        more = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("[dim]{task.fields[note]}"))
        with Progress(*columns, *more, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total, note="")
            yield Bar(progress, task)
        self.seconds[title] = time.monotonic() - begun
        self.console.print(f"[green]✓[/green] {title:<58} {self.seconds[title]:7.1f} s", highlight=False)
