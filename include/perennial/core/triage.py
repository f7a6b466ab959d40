"""What a day's measures amount to: a broken feed, late labels, a changed world, a decayed model, or nothing to do.

Drift alone is none of them. It becomes one by its consequence: features that the champion relies on have moved, and its
scores, its estimated or its realised performance say so too. Nor is a calibration that is off by itself: where nobody
acts upon chances, it costs nothing; where somebody does, the declared metric (log loss, Brier score) is a result.
"""

from __future__ import annotations

from collections.abc import Sequence

from perennial.incidents import Triage, Verdict
from perennial.records import Concern, Measure, MonitorRecord

TOLD = 3  # measures that a reason names
RESULTS: tuple[Concern, ...] = ("performance", "estimate", "value")
CONFIRMS: tuple[Concern, ...] = ("scores", *RESULTS)
FEED: tuple[Concern, ...] = ("feed", "parity")


def triage(record: MonitorRecord) -> Triage:
    """Return what a day amounts to; the first that applies.

    | verdict | where |
    |---|---|
    | feed broken | a source that features read, or a score as served, is past its limit |
    | labels late | labels are due and have not come, or their source is past its limit |
    | world changed | drift at stake, or the share of drifted features, is at its limit, and scores or results are too |
    | model decayed | a result (performance, estimate, value) is past its limit without such drift |
    | nothing to do | else, whatever has drifted |

    A broken feed and late labels come first: what else is measured then is measured on what they have done.
    """
    over = [measure for measure in record.measures if measure.over]
    hurts = any(measure.about in RESULTS for measure in over)
    for verdict, found in (
        ("feed broken", _about(over, FEED)),
        ("labels late", _about(over, ("labels",))),
        ("world changed", _changed(record, over)),
        ("model decayed", _about(over, RESULTS)),
    ):
        if found:
            return _told(verdict, found, hurts=hurts)  # type: ignore[arg-type]  # mypy widens the literal
    return Triage("nothing to do", _calm(record, over))


def _about(over: Sequence[Measure], concerns: Sequence[Concern]) -> list[Measure]:
    return [measure for measure in over if measure.about in concerns]


def _changed(record: MonitorRecord, over: Sequence[Measure]) -> list[Measure]:
    """Return the drift that matters with what confirms it; nothing where either is missing."""
    confirmed = _about(over, CONFIRMS)
    return [*confirmed, *_moved(record, over)] if confirmed and _moved(record, over) else []


def _moved(record: MonitorRecord, over: Sequence[Measure]) -> list[Measure]:
    """Return the drift that is at its limit: weighted by importance, or by the number of features alone.

    Importances are shared among features that say the same, and say little of each; so many features at once count
    as well, once scores or results confirm it.
    """
    weighted, limit = _about(over, ("inputs",)), record.share_limit
    if weighted or limit is None or record.drifted_share < limit:
        return weighted
    said = f"{record.drifted_share:.0%} of the features have drifted, limit {limit:.0%}."
    return [Measure("inputs", "features", "drifted share", record.drifted_share, limit=limit, over=True, detail=said)]


def _told(verdict: Verdict, found: Sequence[Measure], *, hurts: bool) -> Triage:
    words = [measure.detail or f"{measure.name}: {measure.measure} {measure.value}" for measure in found[:TOLD]]
    more = f" {len(found) - TOLD} more measures say so." if len(found) > TOLD else ""
    return Triage(verdict, " ".join(words) + more, tuple(found), hurts)


def _calm(record: MonitorRecord, over: Sequence[Measure]) -> str:
    """Return why there is nothing to do, with what is past its limit nevertheless."""
    if not over:
        return record.reason
    named = " ".join(measure.detail for measure in over[:TOLD] if measure.detail)
    confirmed = _about(over, CONFIRMS)
    if _moved(record, over) and not confirmed:
        return f"{named} Neither scores nor results have followed."
    if confirmed:
        return f"{named} The features that the champion relies on have not moved."
    return named
