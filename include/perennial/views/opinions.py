"""What models say of one row: what each feature adds to its score, and what other champions would have said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from perennial.core import contributions, pipelines
from perennial.core.contributions import Contributions
from perennial.errors import PerennialError
from perennial.io.entries import Entry
from perennial.io.pages import figure
from perennial.records import Record
from perennial.views.models import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable

Value = float | int | str | None
SAME = 1e-9
TOLD = 3
# What a model of other days may break with: our own errors, and those of an estimator that other libraries have loaded.
BREAKS = (PerennialError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Part(Record):
    """What one feature adds to the score.

    Attributes:
        feature: its name.
        value: the row's; None where it is missing.
        usual: the median of the training's rows, of texts the most frequent one.
        adds: to the score; all of them and the mean score of the background are the score.
        error: standard error of `adds`.
    """

    feature: str
    value: Value
    usual: Value
    adds: float
    error: float


@dataclass(frozen=True, slots=True)
class Explained(Record):
    """A score in parts.

    Attributes:
        base: mean score of the `background` rows of the training.
        score: as the model gives it now.
        parts: what each feature adds, the largest first.
        background: how many rows the base is the mean of.
        differs: why the score is not the published one; empty where it is.
    """

    base: float
    score: float
    parts: tuple[Part, ...]
    background: int
    differs: str = ""

    @property
    def largest(self) -> float:
        """Return the size of the largest part, never 0."""
        return max((abs(part.adds) for part in self.parts), default=0.0) or 1.0

    @property
    def said(self) -> tuple[str, str]:
        """Return in words what raises the score most, and what lowers it most."""
        raising = [part for part in self.parts if part.adds > 0][:TOLD]
        lowering = [part for part in self.parts if part.adds < 0][:TOLD]
        return _told(raising), _told(lowering)


@dataclass(frozen=True, slots=True)
class Opinion(Record):
    """What another version says of the same row; `why` where it cannot say anything, and then `score` is None."""

    role: Literal["the champion before", "today's champion"]
    version: str
    score: float | None = None
    difference: float | None = None
    why: str = ""


def explained(loaded: Loaded, row: pa.Table, *, published: float) -> Explained:
    """Return a score in parts.

    Args:
        loaded: the version that made it.
        row: the one row of the snapshot.
        published: the score as it lies in the lake.

    Raises:
        PerennialError: the row cannot be scored any more.
    """
    frame, background = loaded.frame(row), loaded.background()
    seed = int(loaded.model.manifest.get("seed", 0))
    found = contributions.of_row(loaded.model.pipeline, frame, background, kind=loaded.model.kind, seed=seed)
    return Explained(
        found.base, found.score, _parts(loaded, row, found), len(background),
        differs=_differs(found.score, published),
    )  # fmt: skip


def _parts(loaded: Loaded, row: pa.Table, found: Contributions) -> tuple[Part, ...]:
    parts = [
        Part(name, plain(row[name][0].as_py()), plain(loaded.usual(name)), adds, error)
        for name, adds, error in zip(loaded.features, found.values, found.errors, strict=True)
    ]
    return tuple(sorted(parts, key=lambda part: (-abs(part.adds), part.feature)))


def _differs(score: float, published: float) -> str:
    if abs(score - published) <= SAME * max(1.0, abs(published)):
        return ""
    return (
        f"The model gives {figure(score)} for this row now, and {figure(published)} was published: libraries or the "
        "snapshot have changed since. The parts are those of what it gives now."
    )


def _told(parts: Sequence[Part]) -> str:
    return ", ".join(f"{part.feature} ({shown(part.value)})" for part in parts)


def plain(value: Any) -> Value:
    """Return a feature's value as JSON can carry it: decimals as floats, whatever is no number as text.

    >>> plain(Decimal("1.5")), plain(True), plain(float("inf"))
    (1.5, 1, 'inf')
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, Decimal)) and math.isfinite(value):
        return float(value)
    return str(value)


def shown(value: Value) -> str:
    """Return a feature's value for people.

    >>> shown(None), shown(2.0), shown("north")
    ('missing', '2', 'north')
    """
    if value is None or isinstance(value, str):
        return "missing" if value is None else value
    return figure(float(value))


def others(version: str, crownings: Sequence[Entry]) -> tuple[Opinion, ...]:
    """Return whom to ask besides the version that scored: the champion before it, and today's, with no answer yet.

    Args:
        version: which scored.
        crownings: every entry that made a champion, oldest first.
    """
    made = next((entry for entry in reversed(crownings) if entry.to_version == version), None)
    former = None if made is None else made.from_version
    today = crownings[-1].to_version if crownings else None
    asked = []
    if former is not None:
        asked.append(Opinion("the champion before", former))
    if today is not None and today not in {version, former}:
        asked.append(Opinion("today's champion", today))
    return tuple(asked)


def asked(opinion: Opinion, load: Callable[[str], Loaded], row: pa.Table, *, published: float) -> Opinion:
    """Return what a version says of a row, or why it says nothing."""
    try:
        loaded = load(opinion.version)
        lacking = loaded.lacking(row)
        if lacking:
            why = f"It needs {', '.join(lacking)}, which the snapshot does not have as it learnt it."
            return Opinion(opinion.role, opinion.version, why=why)
        score = _score(loaded, row)
    except BREAKS as error:
        first_line = str(error).partition("\n")[0]
        return Opinion(opinion.role, opinion.version, why=f"It cannot score this row: {first_line}")
    return Opinion(opinion.role, opinion.version, score, score - published)


def _score(loaded: Loaded, row: pa.Table) -> float:
    model: Any = loaded.model
    return float(pipelines.scores(model.pipeline, loaded.frame(row), kind=model.kind)[0])
