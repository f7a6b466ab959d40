"""One column of a day beside its reference: bars of the bins that the PSI compares, steps, and numbers in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.core import distributions
from perennial.core.distributions import OTHER, Bin, Summary
from perennial.core.drift import Counts, NumericCounts, NumericProfile, Profile
from perennial.io import counts
from perennial.io.pages import figure
from perennial.records import Record
from perennial.views import references
from perennial.views.charts import Chart, Panel, Trace
from perennial.views.references import SCORE, Reference

if TYPE_CHECKING:
    from perennial.adapters import Adapters
    from perennial.spec import UseCase

Written = Callable[[float], str]
THIS_DAY, REFERENCE = "this day", "reference"
MOST_TOLD = 2
TELLING = 0.01  # a share that moved by less is not worth a word


@dataclass(frozen=True, slots=True)
class Distribution(Record):
    """A column of a day and of the champion's reference.

    Attributes:
        name: feature, or `score`.
        said: what moved most, in words.
        psi: of the rows as they lie in the lake now.
        reference: the training's rows in a few numbers; of the score, the holdout's.
        current: the day's.
        bins: bars of both; None where the two cannot be compared.
        steps: the distribution functions of both; None for categories.
    """

    name: str
    said: str
    psi: float
    reference: Summary
    current: Summary
    bins: Chart | None
    steps: Chart | None


def of_day(
    case: UseCase, names: Sequence[str], day: date, adapters: Adapters, *, reference: Reference
) -> dict[str, Distribution]:
    """Return the distributions of some columns, without those that either side does not have, or has as another kind.

    Raises:
        LakeError: the lake does not answer.
    """
    features = [name for name in names if name != SCORE]
    found: dict[str, Counts | str] = {}
    if features:
        rows = references.features_of(case, day, adapters.lake, names=features)
        found |= counts.counted(rows, reference.profiles, categorical=case.features.categorical)
    if SCORE in names:
        rows = references.scores_of(case, day, adapters.lake, version=reference.version)
        found |= counts.counted(rows, reference.profiles)
    told = {name: counted for name in names if not isinstance(counted := found.get(name, ""), str) and counted.rows}
    return {
        name: _distribution(name, reference.profiles[name], counted, place=place)
        for place, (name, counted) in enumerate(told.items())
    }


def _distribution(name: str, reference: Profile, current: Counts, *, place: int) -> Distribution:
    bins = distributions.bins(reference, current)
    names = _names(bins)
    return Distribution(
        name=name,
        said=_said(bins, names),
        psi=sum(each.adds for each in bins),
        reference=distributions.summary(reference),
        current=distributions.summary(current),
        bins=_bars(bins, names, place=place),
        steps=_steps(reference, current, place=place),
    )


def _names(bins: Sequence[Bin]) -> list[str]:
    """Return a name for each bin, all different: to four digits, or with as many as that takes."""
    short = [_name(each, figure) for each in bins]
    if len({*short}) == len(short):
        return short
    long = [_name(each, lambda value: f"{value:.12g}") for each in bins]
    seen = Counter(long)
    return [f"{name} ({place})" if seen[name] > 1 else name for place, name in enumerate(long, start=1)]


def _name(each: Bin, written: Written) -> str:
    if each.low is None:
        return each.text if each.high is None else f"below {written(each.high)}"
    if each.high is None:
        return f"above {written(each.low)}"
    low, high = written(each.low), written(each.high)
    return high if low == high else f"{low} to {high}"


def _bars(bins: Sequence[Bin], names: Sequence[str], *, place: int) -> Chart | None:
    if not bins:
        return None
    adds = tuple(f"adds {figure(each.adds)} to the PSI" for each in bins)
    known = Trace(REFERENCE, tuple(names), tuple(100 * each.reference for each in bins), "bar", tone="dim")
    now = Trace(THIS_DAY, tuple(names), tuple(100 * each.current for each in bins), "bar", texts=adds)
    panel = Panel("Share of rows", (known, now), unit="%")
    return Chart(f"bins-{place}", "Reference and this day, bin by bin", "name", (panel,), axis_title="value")


def _steps(reference: Profile, current: Counts, *, place: int) -> Chart | None:
    if not isinstance(reference, NumericProfile) or not isinstance(current, NumericCounts):
        return None
    found = distributions.steps(reference, current)
    if found is None:
        return None
    known = Trace(REFERENCE, found.x, tuple(100 * share for share in found.reference), tone="dim")
    now = Trace(THIS_DAY, found.x, tuple(100 * share for share in found.current))
    panel = Panel("Rows with this value or less", (known, now), unit="%")
    return Chart(f"steps-{place}", "Reference and this day, added up", "number", (panel,), axis_title="value")


def _said(bins: Sequence[Bin], names: Sequence[str]) -> str:
    """Return in words which bins moved most: those that add most to the PSI."""
    largest = sorted(zip(bins, names, strict=True), key=lambda pair: -pair[0].adds)[:MOST_TOLD]
    moved = [
        f"{_called(each, name)} {'rose' if each.current > each.reference else 'fell'} from {each.reference:.1%} to "
        f"{each.current:.1%}"
        for each, name in largest
        if abs(each.current - each.reference) >= TELLING
    ]
    return f"The share of {' and of '.join(moved)}." if moved else ""


def _called(each: Bin, name: str) -> str:
    if each.low is None and each.high is None:
        return {"missing": "missing values", OTHER: "all other values"}.get(name, f"“{name}”")
    return f"values {name}"
