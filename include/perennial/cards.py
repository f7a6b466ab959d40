"""A model card: all that is told of one version, put together from the ledger's entries and the training's manifest.

Values in, a record out. Nothing is written by hand but the words that the use case declares, and the card says which
these are. What it owes to the reader's caution is in `perennial.caveats`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pydantic import TypeAdapter

from perennial.caveats import caveats
from perennial.io.entries import ARTIFACT, COST, CROWNING, Action, Entry
from perennial.receipts import Receipt
from perennial.records import Json, Record, Window
from perennial.spec import METRICS, UseCase
from perennial.verdicts import GateReport, GateResult

Kind = Literal["champion", "former champion", "challenger", "never champion"]
ENDING: tuple[Action, ...] = (*CROWNING, "incident opened", "incident closed")  # about the version they lead away from
RECEIPTS: tuple[Action, ...] = ("reproduced", "not reproduced")
JUDGING: tuple[Action, ...] = ("approved", "refused", *CROWNING)
CALIBRATION = ("expected_calibration_error", "reliability_gap", "brier_score", "bias")
FAIRNESS = ("demographic parity by ", "equal opportunity by ")
DECLARED = "declared"  # of the manifest: what of the use case a card says
SHORT = 12


@dataclass(frozen=True, slots=True)
class Words(Record):
    """What a team declares; `then` is True where the use case is gone and these are the words of the training's day."""

    title: str
    owner: str = ""
    purpose: str = ""
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    then: bool = False


@dataclass(frozen=True, slots=True)
class Term(Record):
    """A time as champion: `since` is in it, `until` is not; by which entry it began and ended."""

    since: datetime
    until: datetime | None
    by: int
    ended_by: int | None


@dataclass(frozen=True, slots=True)
class Part(Record):
    """One of the parts in time of what a training read."""

    name: str
    window: Window
    rows: int


@dataclass(frozen=True, slots=True)
class Measure(Record):
    """A holdout metric of this version, with its interval where a gate has one, beside the others on the same rows."""

    metric: str
    more_is_better: bool | None
    value: float | None
    low: float | None
    high: float | None
    champion: float | None
    baselines: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Noted(Record):
    """An entry of the ledger about the version."""

    id: int
    at: datetime
    action: str
    who: str
    reason: str
    run: str
    change: str
    hash: str


@dataclass(frozen=True, slots=True)
class Cost(Record):
    """What a piece of work took; `money` is None where no rate is set."""

    work: str
    compute_seconds: float
    wall_seconds: float
    rows: int
    money: float | None


@dataclass(frozen=True, slots=True)
class Rate(Record):
    """The price of a CPU hour, None where none is set."""

    hourly: float | None
    currency: str


@dataclass(frozen=True, slots=True)
class Training(Record):
    """Where a version came from: the manifest, as far as a card shows it."""

    as_of: date
    label: Json
    entity: str
    parts: tuple[Part, ...]
    tables: Mapping[str, int]
    older_days: int
    known_at: str | None
    code: str
    spec: str
    seed: int | None
    machine: str
    libraries: Mapping[str, str]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    winner: str
    estimator: str
    params: Json
    trials: int
    metric: str
    validation: float | None
    contacted_share: float | None
    baselines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Card(Record):
    """All of it. `report` is the newest evaluation, `receipt` the newest reproduction; None where there is none."""

    case: str
    version: str
    words: Words
    kind: Kind
    terms: tuple[Term, ...]
    caveats: tuple[str, ...]
    training: Training
    measures: tuple[Measure, ...]
    calibration: tuple[Measure, ...]
    figures: Mapping[str, float]
    report: GateReport | None
    slices: tuple[GateResult, ...]
    fairness: tuple[GateResult, ...]
    fingerprint: str
    entries: tuple[Noted, ...]
    judged: tuple[Noted, ...]
    receipt: Receipt | None
    costs: tuple[Cost, ...]
    rate: Rate

    @property
    def newest(self) -> Noted | None:
        """Return the newest entry about the version: what the card is made of ends with it."""
        return self.entries[-1] if self.entries else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is made of.

    Attributes:
        case: name of the use case.
        version: of its model.
        today: the use case as it is declared now, None where it is gone.
        manifest: of the training.
        entries: that name the version, oldest first.
        reigns: each entry that made a champion of the use case, oldest first.
        newest: the version that was trained last.
        rate: what compute costs.
    """

    case: str
    version: str
    today: UseCase | None
    manifest: Json
    entries: Sequence[Entry]
    reigns: Sequence[Entry]
    newest: str | None
    rate: Rate


def path(case: str, version: str, *, ending: str = "html") -> str:
    """Return where a card lies below the folder of pages.

    >>> path("toy", "7")
    'cards/toy/version-7.html'
    """
    return f"cards/{case}/version-{version}.{ending}"


def card(facts: Facts) -> Card:
    """Return the card of a version."""
    mine = about(facts.version, facts.entries)
    evaluated = _newest(mine, "evaluated")
    report = None if evaluated is None else TypeAdapter(GateReport).validate_python(evaluated.report)
    proof = _newest(mine, *RECEIPTS)
    receipt = None if proof is None else TypeAdapter(Receipt).validate_python(proof.report | {"entry": proof.id})
    training, terms = _training(facts.manifest), _terms(facts)
    measures, figures = _measures(facts.manifest, report)
    noted = tuple(map(_noted, mine))
    return Card(
        case=facts.case,
        version=facts.version,
        words=_words(facts),
        kind=_kind(facts, terms),
        terms=terms,
        caveats=caveats(facts.version, facts.manifest, mine, report=report, receipt=receipt),
        training=training,
        measures=measures,
        calibration=tuple(each for each in measures if each.metric in CALIBRATION),
        figures=figures,
        report=report,
        slices=_named(report, lambda name: " by " in name and name.endswith(" against champion")),
        fairness=_named(report, lambda name: name.startswith(FAIRNESS)),
        fingerprint=str(evaluated.report.get(ARTIFACT) or "") if evaluated else "",
        entries=noted,
        judged=tuple(each for each in noted if each.action in JUDGING),
        receipt=receipt,
        costs=_costs(mine, facts.rate),
        rate=facts.rate,
    )


def about(version: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries that are about a version; that another one was measured against it is about the other."""
    return tuple(
        each
        for each in entries
        if each.to_version == version or (each.from_version == version and each.action in ENDING)
    )


def declared(case: UseCase) -> Json:
    """Return what a training keeps in its manifest of what a card says."""
    return case.model_dump(mode="json", include={"title", "entity", "label", "card"}) | {"strong": case.features.strong}


def _newest(entries: Sequence[Entry], *actions: Action) -> Entry | None:
    return next((each for each in reversed(entries) if each.action in actions), None)


def _words(facts: Facts) -> Words:
    """Return the words of today; where the use case is gone, those of the training's day."""
    said = declared(facts.today) if facts.today else facts.manifest.get(DECLARED, {})
    text = {name: value for name, value in (said.get("card") or {}).items() if name != "limits"}
    limits = (said.get("card") or {}).get("limits", ())
    return Words(said.get("title", facts.case), **text, limits=tuple(limits), then=facts.today is None)


def _terms(facts: Facts) -> tuple[Term, ...]:
    """Return each time that the version was champion."""
    following: Sequence[Entry | None] = [*facts.reigns[1:], None]
    return tuple(
        Term(begun.at, ended.at if ended else None, begun.id, ended.id if ended else None)
        for begun, ended in zip(facts.reigns, following, strict=False)
        if begun.to_version == facts.version
    )


def _kind(facts: Facts, terms: Sequence[Term]) -> Kind:
    if terms:
        return "champion" if terms[-1].until is None else "former champion"
    return "challenger" if facts.newest == facts.version else "never champion"


def _training(manifest: Json) -> Training:
    winner, said = manifest["winner"], manifest.get(DECLARED, {})
    searched = winner.get("searched") or {}
    return Training(
        as_of=date.fromisoformat(manifest["as_of"]),
        label={"kind": manifest.get("label_kind", "binary")} | said.get("label", {}),
        entity=said.get("entity", ""),
        parts=tuple(sorted((_part(manifest, name) for name in manifest["rows"]), key=lambda it: it.window.start)),
        tables=manifest["data_versions"],
        older_days=len(manifest.get("built_from", {})),
        known_at=manifest.get("known_at"),
        code=str(manifest.get("code", "unknown")),
        spec=str(manifest.get("spec", ""))[:SHORT],
        seed=manifest.get("seed"),
        machine=manifest.get("reproduction", {}).get("machine", ""),
        libraries=manifest.get("libraries", {}),
        numeric=tuple(manifest["features"]["numeric"]),
        categorical=tuple(manifest["features"]["categorical"]),
        winner=winner["name"],
        estimator=winner["estimator"],
        params=winner["params"],
        trials=int(searched.get("trials", 0)),
        metric=str(manifest.get("metric", "")),
        validation=manifest.get("validation", {}).get(manifest.get("metric")),
        contacted_share=manifest.get("contacted_share"),
        baselines={name: _made(manifest.get("baseline_recipes", {}).get(name)) for name in manifest["baselines"]},
    )


def _part(manifest: Json, name: str) -> Part:
    window = manifest["split"][name]
    days = Window(date.fromisoformat(window["start"]), date.fromisoformat(window["end"]))
    return Part(name, days, int(manifest["rows"][name]))


def _made(recipe: Json | None) -> str:
    """Return what a baseline is, in a line."""
    if recipe is None:
        return "not recorded"
    if recipe.get("column"):
        return f"the value of {recipe['column']}"
    features = recipe.get("features") or ()
    return f"{recipe['estimator']} on {', '.join(features) if features else 'no feature'}"


def _measures(manifest: Json, report: GateReport | None) -> tuple[tuple[Measure, ...], Mapping[str, float]]:
    """Return the holdout metrics, and the plain figures beside them; the training's own where nothing is evaluated."""
    measured: Mapping[str, Mapping[str, float]] = {"challenger": manifest["holdout"], **manifest.get("baselines", {})}
    measured = report.metrics if report and report.metrics else measured
    ours, champion = measured["challenger"], measured.get("champion", {})
    others = {name: figures for name, figures in measured.items() if name not in {"challenger", "champion"}}
    found = []
    for name in (each for each in METRICS if each in ours):
        low, high = _interval(name, report)
        beside = {baseline: figures[name] for baseline, figures in others.items() if name in figures}
        found.append(Measure(name, METRICS[name], ours[name], low, high, champion.get(name), beside))
    return tuple(found), {name: value for name, value in ours.items() if name not in {*METRICS, "rows"}}


def _interval(metric: str, report: GateReport | None) -> tuple[float | None, float | None]:
    """Return the interval of a metric itself, which an absolute gate with a confidence has."""
    own = (f"{metric} at least", f"{metric} at most")
    gate = (
        next((each for each in report.results if each.name in own and each.low is not None), None) if report else None
    )
    return (None, None) if gate is None else (gate.low, gate.high)


def _named(report: GateReport | None, wanted: Callable[[str], bool]) -> tuple[GateResult, ...]:
    return tuple(each for each in report.results if wanted(each.name)) if report else ()


def _noted(entry: Entry) -> Noted:
    change = " → ".join(filter(None, [entry.from_version, entry.to_version]))
    return Noted(
        entry.id, entry.at, entry.action, entry.who, entry.reason, entry.run, change, entry.hash[:SHORT]
    )  # fmt: skip


def _costs(entries: Sequence[Entry], rate: Rate) -> tuple[Cost, ...]:
    """Return what the training and the newest evaluation took, as far as their entries have kept it."""
    found = (("training", _newest(entries, "trained")), ("newest evaluation", _newest(entries, "evaluated")))
    return tuple(_cost(work, entry.report[COST], rate) for work, entry in found if entry and COST in entry.report)


def _cost(work: str, kept: Json, rate: Rate) -> Cost:
    seconds = float(kept["compute_seconds"])
    money = None if rate.hourly is None else seconds / 3600 * rate.hourly
    return Cost(work, seconds, float(kept["wall_seconds"]), int(kept["rows"]), money)
