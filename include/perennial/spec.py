"""The models of a use case: what a team declares. No file access; the catalog reads the files.

`perennial cases --schema` prints the JSON schema of `UseCase`; docs/use-case.md walks through an example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from croniter import croniter
from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, Tag, model_validator

from perennial.contracts import Name, Source, Strict
from perennial.errors import SpecError, nearest

# Direction of each metric an evaluation reports: True where more is better.
METRICS: dict[str, bool] = {
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier_score": False,
    "expected_calibration_error": False,
    "expected_profit": True,
    "return_on_ad_spend": True,
}
ESTIMATOR_PACKAGES = ("sklearn.", "lightgbm.")
SUITES = "suite.json"


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}. {nearest(name, METRICS)}")
    return name


def _allowed_estimator(path: str) -> str:
    if not path.startswith(ESTIMATOR_PACKAGES):
        raise ValueError(f"estimator {path!r} is not allowed: it must come from sklearn or lightgbm.")
    return path


def _five_fields(cron: str) -> str:
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise ValueError(
            f"cron {cron!r} is none: it needs five fields within their ranges, "
            "minute hour day-of-month month day-of-week, such as '0 4 * * 1'."
        )
    return cron


Metric = Annotated[str, AfterValidator(_known_metric)]
Estimator = Annotated[str, AfterValidator(_allowed_estimator)]
Cron = Annotated[str, AfterValidator(_five_fields)]


class WindowFeature(Strict):
    """One aggregate of an entity's rows in the `days` days that end with the snapshot's day, that day included.

    Exactly one of `count`, `sum`, `count_distinct` and `days_since` says what; sums are exact to six decimals.
    """

    days: Annotated[int, Field(ge=1, le=1000)]
    count: Literal["rows"] | None = None
    sum: str | None = Field(None, description="column whose values are added up; null counts as 0")
    count_distinct: str | None = Field(None, description="column whose different values are counted; null is none")
    days_since: Literal["first", "last"] | None = Field(None, description="age in days of the first or last row")
    where: str | None = Field(None, description="SQL condition over the source's columns")

    @model_validator(mode="after")
    def _one_aggregate(self) -> Self:
        given = [name for name in ("count", "sum", "count_distinct", "days_since") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of count, sum, count_distinct, days_since; got {', '.join(given) or 'none of them'}."
            )
        return self


class Windows(Strict):
    """Windowed aggregates over one source by entity, declared instead of written: a long range costs one pass.

    `features.sql` sees them as the table `windows` (day, entity, the columns): a row for each entity with a row of
    the source in the longest window.
    """

    source: Name
    columns: Annotated[Mapping[Name, WindowFeature], Field(min_length=1)]

    @property
    def longest(self) -> int:
        """Return the days of the longest window."""
        return max(column.days for column in self.columns.values())


class Features(Strict):
    """A SQL file that gives one row for each entity and asked day, and the columns it gives.

    With `windows` the SQL may be left out: then the declared aggregates are the features.
    """

    sql: str | None = None
    windows: Windows | None = None
    lookback_days: Annotated[
        int, Field(ge=1, le=1000, description="how many days before a snapshot the SQL may look at")
    ]
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sql_or_windows(self) -> Self:
        if self.sql is None and self.windows is None:
            raise ValueError("features need `sql`, `windows`, or both.")
        if self.windows is not None and self.windows.longest > self.lookback_days:
            raise ValueError(
                f"features.windows look back {self.windows.longest} days, lookback_days is {self.lookback_days}. "
                f"Set lookback_days to {self.windows.longest} or more."
            )
        return self

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = self.columns
        if not names:
            raise ValueError("features need at least one numeric or categorical column.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features name {', '.join(twice)} more than once.")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all feature columns, numeric ones first."""
        return (*self.numeric, *self.categorical)


class Label(Strict):
    """A SQL file that gives (day, entity, label); an entity it leaves out has the label 0, or none with `drop`.

    The label of day D may look at the days D+1 .. D+horizon_days and no further.
    """

    sql: str
    kind: Literal["binary", "number"] = "binary"
    missing: Literal["zero", "drop"] = Field("zero", description="what an entity gets that the SQL leaves out")
    column: Name
    horizon_days: Annotated[int, Field(ge=1, le=365)]


class Search(Strict):
    """The budget of the parameter search; whichever of the two runs out first ends it."""

    trials: Annotated[int, Field(ge=1, le=1000)] = 20
    seconds: Annotated[int, Field(ge=1, le=86_400)] = 60


class Range(Strict):
    """One searched parameter: a range of numbers or a list of choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None and (self.low is not None or self.high is not None):
            raise ValueError("give either choices or low and high, not both.")
        if self.choices is None and (self.low is None or self.high is None or self.low >= self.high):
            raise ValueError(f"give choices, or low < high; got low={self.low}, high={self.high}.")
        return self


class Candidate(Strict):
    """One model that may become the challenger."""

    name: Name
    estimator: Estimator
    params: Mapping[str, Any] = Field(default_factory=dict)
    search: Mapping[str, Range] = Field(default_factory=dict)


class Baseline(Strict):
    """What the challenger must beat: the same pipeline on a few features only; none of them means a constant."""

    name: Name
    estimator: Estimator
    params: Mapping[str, Any] = Field(default_factory=dict)
    features: tuple[str, ...] = ()


class Training(Strict):
    """How challengers are trained. In time order: fit | gap | validation | gap | holdout | horizon | as_of.

    A gap is the label's horizon, so that no label of an earlier part is made of days of a later part.
    """

    cron: Cron
    window_days: Annotated[int, Field(ge=2, description="snapshot days from the first fitted to the last held out")]
    validation_days: Annotated[int, Field(ge=1)]
    holdout_days: Annotated[int, Field(ge=1)]
    every_days: Annotated[int, Field(ge=1, description="take a snapshot every so many days, counted back")] = 1
    min_rows: Annotated[int, Field(ge=1, description="fewest rows of each part")] = 1000
    metric: Metric = "roc_auc"
    seed: int = 0
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    baselines: Annotated[tuple[Baseline, ...], Field(min_length=1)]
    search: Search = Search()


class AbsoluteGate(Strict):
    """The challenger's metric against a fixed limit; equal passes."""

    metric: Metric
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"gate on {self.metric} needs either at_least or at_most.")
        return self


class BaselineGate(Strict):
    """The challenger's metric must be better than a baseline's by at least `by`; equal passes."""

    metric: Metric
    beats_baseline: str
    by: Annotated[float, Field(ge=0)] = 0.0


class ChampionGate(Strict):
    """With `confidence`, the challenger is not worse than the champion by more than the margin.

    The lower bound comes from a paired bootstrap that resamples entities, on the same holdout rows.
    """

    metric: Metric
    no_worse_than_champion_by: Annotated[float, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 500


def _kind_of_gate(gate: Any) -> str:
    keys = gate if isinstance(gate, Mapping) else type(gate).model_fields
    if "beats_baseline" in keys:
        return "baseline"
    return "champion" if "no_worse_than_champion_by" in keys else "absolute"


Gate = Annotated[
    Annotated[AbsoluteGate, Tag("absolute")]
    | Annotated[BaselineGate, Tag("baseline")]
    | Annotated[ChampionGate, Tag("champion")],
    Discriminator(_kind_of_gate),
]


class Value(Strict):
    """Money: what one contacted converter brings, and what one contact costs."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    conversion: Annotated[float, Field(gt=0)]
    contact: Annotated[float, Field(gt=0)]


class Performance(Strict):
    """The limit of the champion's metric on matured labels; below it (or above, for a loss) it has decayed."""

    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    window_days: Annotated[int, Field(ge=1)] = 7

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"performance on {self.metric} needs either at_least or at_most.")
        return self


class Monitoring(Strict):
    """Limits of the daily check; a value that reaches its limit counts as drifted."""

    psi_limit: Annotated[float, Field(gt=0)] = 0.25
    drifted_share_limit: Annotated[float, Field(gt=0, le=1)] = 0.3
    score_psi_limit: Annotated[float, Field(gt=0)] = 0.25
    min_rows: Annotated[int, Field(ge=1)] = 200
    performance: Performance
    report_rows: Annotated[int, Field(ge=100, description="rows of the sample in the Evidently page")] = 2000


class Retraining(Strict):
    """When evidence asks for a new model."""

    cooldown_days: Annotated[int, Field(ge=0, description="days between two requests")] = 7
    min_new_days: Annotated[int, Field(ge=0, description="days of labels that matured since the last training")] = 1


class Alerts(Strict):
    """Who is mailed when something has a consequence."""

    to: Annotated[tuple[str, ...], Field(min_length=1)]


class UseCase(Strict):
    """One use case, whole; `perennial cases` checks it and its files."""

    name: Name
    title: str
    entity: str
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    features: Features
    label: Label
    training: Training
    gates: Annotated[tuple[Gate, ...], Field(min_length=1)]
    value: Value
    monitoring: Monitoring
    retraining: Retraining = Retraining()
    alerts: Alerts
    approval: Literal["automatic"] = "automatic"
    stale: Literal["show", "rebuild"] = Field(
        "show", description="days whose sources changed: only show them, or rebuild those within lateness daily"
    )
    _texts: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        baselines = {baseline.name for baseline in self.training.baselines}
        for gate in self.gates:
            if isinstance(gate, BaselineGate) and gate.beats_baseline not in baselines:
                raise ValueError(
                    f"gates name the baseline {gate.beats_baseline!r}. {nearest(gate.beats_baseline, baselines)}"
                )
        for baseline in self.training.baselines:
            for name in baseline.features:
                if name not in self.features.columns:
                    raise ValueError(
                        f"baseline {baseline.name!r} names {name!r}. {nearest(name, self.features.columns)}"
                    )
        for what, names in (("sources", self.sources), ("candidates", self.training.candidates)):
            listed = [item.name for item in names]
            twice = sorted({name for name in listed if listed.count(name) > 1})
            if twice:
                raise ValueError(f"{what} name {', '.join(twice)} more than once.")
        return self

    @model_validator(mode="after")
    def _windows_are_possible(self) -> Self:
        training, horizon = self.training, self.label.horizon_days
        if horizon >= training.window_days:
            raise ValueError(
                f"label.horizon_days {horizon} must be shorter than training.window_days {training.window_days}."
            )
        fitted = training.window_days - training.validation_days - training.holdout_days - 2 * horizon
        if fitted < 1:
            raise ValueError(
                f"training.window_days {training.window_days} leaves {fitted} days to fit on: validation_days "
                f"{training.validation_days}, holdout_days {training.holdout_days} and two gaps of {horizon} days "
                f"take the rest. Use at least {training.window_days - fitted + 1}."
            )
        return self

    def with_texts(self, texts: Mapping[str, str]) -> Self:
        """Return the use case with the text of each file that its folder holds, by file name."""
        copy = self.model_copy()
        object.__setattr__(copy, "__pydantic_private__", {"_texts": dict(texts)})
        return copy

    def text(self, name: str) -> str:
        """Return the text of one of the use case's files.

        Raises:
            SpecError: the folder has no such file.
        """
        if name not in self._texts:
            raise SpecError(f"Use case {self.name!r} has no file {name!r}. {nearest(name, self._texts)}")
        return self._texts[name]

    def fingerprint(self) -> str:
        """Return a SHA-256 over the spec and the text of its files: the version of what was declared."""
        declared = json.dumps([self.model_dump(mode="json"), dict(self._texts)], sort_keys=True)
        return hashlib.sha256(declared.encode()).hexdigest()

    def expectations(self, source: str) -> list[dict[str, Any]]:
        """Return the expectations of a source's suite; none where suite.json does not name it."""
        suites: dict[str, list[dict[str, Any]]] = json.loads(self.text(SUITES))
        return suites.get(self.source(source).suite or source, [])

    def source(self, name: str) -> Source:
        """Return the source of that name."""
        return next(source for source in self.sources if source.name == name)

    def raw_table(self, source: str) -> str:
        """Return the lake table of a source's published rows."""
        return f"raw/{self.name}/{source}"

    @property
    def features_lineage(self) -> str:
        """Return the lake table that says from which source days each snapshot was built."""
        return f"lineage/{self.name}/features"

    @property
    def predictions_lineage(self) -> str:
        """Return the lake table that says from which snapshot each day's scores were made."""
        return f"lineage/{self.name}/predictions"

    @property
    def forgotten_table(self) -> str:
        """Return the lake table of the hashed ids that must not come back."""
        return f"forgotten/{self.name}"

    @property
    def ingested_table(self) -> str:
        """Return the lake table that says which sources of a day are published."""
        return f"ingested/{self.name}"

    @property
    def features_table(self) -> str:
        """Return the lake table of the daily snapshots."""
        return f"features/{self.name}"

    @property
    def predictions_table(self) -> str:
        """Return the lake table of the daily scores."""
        return f"predictions/{self.name}"

    @property
    def horizon(self) -> timedelta:
        """Return how long a label takes to mature."""
        return timedelta(days=self.label.horizon_days)
