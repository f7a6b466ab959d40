"""The models of a use case: what a team declares. No file access; the catalog reads the files.

`perennial cases --schema` prints the JSON schema of `UseCase`; docs/use-case.md walks through an example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from perennial.alerting import Alerts
from perennial.contracts import Name, Source, Strict
from perennial.errors import SpecError, nearest
from perennial.judging import (
    AbsoluteGate,
    Approval,
    BaselineGate,
    BehaviourGate,
    ChampionGate,
    FairnessGate,
    Gate,
    HumanApproval,
    LatencyGate,
    LeakageGate,
    SimplerGate,
    SizeGate,
    SliceGate,
    SuperiorityGate,
    columns_of,
    compared_models,
)
from perennial.modelling import (
    ESTIMATOR_PACKAGES,
    METRICS,
    MONEY,
    Baseline,
    Candidate,
    CardText,
    Label,
    LabelKind,
    Monitoring,
    Performance,
    Probation,
    Range,
    Retraining,
    Search,
    Training,
    Value,
    metrics_of,
)

__all__ = [
    "ESTIMATOR_PACKAGES",
    "METRICS",
    "MONEY",
    "SUITES",
    "AbsoluteGate",
    "Alerts",
    "Baseline",
    "BaselineGate",
    "BehaviourGate",
    "Candidate",
    "CardText",
    "ChampionGate",
    "FairnessGate",
    "Features",
    "Gate",
    "HumanApproval",
    "Label",
    "LabelKind",
    "LatencyGate",
    "LeakageGate",
    "Monitoring",
    "Performance",
    "Probation",
    "Range",
    "Retraining",
    "Search",
    "SimplerGate",
    "SizeGate",
    "SliceGate",
    "SuperiorityGate",
    "Training",
    "UseCase",
    "Value",
    "WindowFeature",
    "Windows",
    "columns_of",
    "compared_models",
    "metrics_of",
]

SUITES = "suite.json"


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
    attributes: tuple[str, ...] = Field(
        (), description="columns that the snapshots keep for gates by slice or group, as text; no model ever sees them"
    )
    strong: dict[str, str] = Field(
        {}, description="features or attributes that honestly tell the label almost alone, each with the reason why"
    )

    @model_validator(mode="after")
    def _strong_ones_have_reasons(self) -> Self:
        for name, reason in self.strong.items():
            if name not in self.kept:
                raise ValueError(f"features.strong excuses {name!r}, which is no feature. {nearest(name, self.kept)}")
            if not reason.strip():
                raise ValueError(f"features.strong excuses {name!r} without a reason. Say why it knows no future.")
        return self

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
        names = self.kept
        if not self.columns:
            raise ValueError("features need at least one numeric or categorical column.")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"features name {', '.join(twice)} more than once.")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return all feature columns, numeric ones first."""
        return (*self.numeric, *self.categorical)

    @property
    def kept(self) -> tuple[str, ...]:
        """Return all columns of a snapshot beside day and entity: the features, then what is no feature."""
        return (*self.columns, *self.attributes)


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
    value: Value | None = Field(None, description="money; only for binary labels")
    monitoring: Monitoring
    retraining: Retraining = Retraining()
    alerts: Alerts
    approval: Approval = "automatic"
    probation: Probation | None = Field(None, description="of a new champion; None lets it reign at once")
    card: CardText | None = Field(None, description="what the model cards say beside what is measured")
    stale: Literal["show", "rebuild"] = Field(
        "show", description="days whose sources changed: only show them, or rebuild those within lateness daily"
    )
    _texts: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        models = [baseline.name for baseline in self.training.baselines]
        models += [candidate.name for candidate in self.training.candidates]
        sources = [source.name for source in self.sources]
        for what, listed in (("sources", sources), ("baselines and candidates", models)):
            twice = sorted({name for name in listed if listed.count(name) > 1})
            if twice:
                raise ValueError(f"{what} name {', '.join(twice)} more than once.")
        return self

    @model_validator(mode="after")
    def _baselines_are_known(self) -> Self:
        baselines = {baseline.name for baseline in self.training.baselines}
        for gate in self.gates:
            if isinstance(gate, BaselineGate) and gate.beats_baseline not in baselines:
                raise ValueError(
                    f"gates name the baseline {gate.beats_baseline!r}. {nearest(gate.beats_baseline, baselines)}"
                )
            models = baselines | {candidate.name for candidate in self.training.candidates}
            if isinstance(gate, SimplerGate) and gate.simpler not in models:
                raise ValueError(f"gates name the simpler model {gate.simpler!r}. {nearest(gate.simpler, models)}")
        for baseline in self.training.baselines:
            known = self.features.columns if baseline.column is None else self.features.numeric
            for name in (*baseline.features, *filter(None, [baseline.column])):
                if name not in known:
                    raise ValueError(f"baseline {baseline.name!r} names {name!r}. {nearest(name, known)}")
        return self

    @model_validator(mode="after")
    def _columns_of_gates_are_known(self) -> Self:
        features = self.features
        for place, gate in enumerate(self.gates):
            for name in columns_of(gate):
                known = features.columns if isinstance(gate, BehaviourGate) else features.kept
                if name not in known:
                    raise ValueError(f"gates.{place} names the column {name!r}. {nearest(name, known)}")
            if isinstance(gate, FairnessGate) and self.label.kind != "binary":
                raise ValueError(f"gates.{place}: fairness compares who is selected, by a binary label.")
            if isinstance(gate, FairnessGate) and (gate.attribute in features.columns) != gate.attribute_is_feature:
                found = "a" if gate.attribute in features.columns else "no"
                raise ValueError(
                    f"gates.{place}: {gate.attribute!r} is {found} feature, and attribute_is_feature is "
                    f"{gate.attribute_is_feature}. Move it to features.attributes, or say attribute_is_feature: true "
                    "where the models may look at it."
                )
        return self

    @model_validator(mode="after")
    def _metrics_fit_the_label(self) -> Self:
        kind = self.label.kind
        if self.value is not None and kind != "binary":
            raise ValueError(f"value is what a converter brings; label.kind is {kind!r}: leave out value.")
        known = metrics_of(kind, money=self.value is not None)
        named = [("training.metric", self.training.metric)]
        gates = enumerate(self.gates)
        named += [(f"gates.{place}", gate.metric) for place, gate in gates if hasattr(gate, "metric")]
        named += [("monitoring.performance", self.monitoring.performance.metric)]
        named += [("probation", self.probation.metric)] if self.probation else []
        for place, metric in named:
            if metric in MONEY and self.value is None and kind == "binary":
                raise ValueError(f"{place}: {metric!r} is money and needs `value`: what a converter brings and costs.")
            if metric not in known:
                raise ValueError(f"{place}: {metric!r} does not fit label.kind {kind!r}. {nearest(metric, known)}")
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
        """Return a SHA-256 over the spec, but for the words of its card, and the text of its files."""
        # Where nothing is declared the key is left out: specs of before it keep their fingerprint.
        optional = {name for name in ("strong", "attributes") if not getattr(self.features, name)}
        left_out: dict[str, Any] = {
            "card": True,
            "features": optional,
            "monitoring": self.monitoring.unused,
            "alerts": self.alerts.unused,
            "retraining": self.retraining.unused,
        }
        left_out |= {} if self.probation else {"probation": True}
        declared = json.dumps([self.model_dump(mode="json", exclude=left_out), dict(self._texts)], sort_keys=True)
        return hashlib.sha256(declared.encode()).hexdigest()

    def expectations(self, source: str) -> list[dict[str, Any]]:
        """Return the expectations of a source's suite; none where suite.json does not name it."""
        suites: dict[str, list[dict[str, Any]]] = json.loads(self.text(SUITES))
        return suites.get(self.source(source).suite or source, [])

    def source(self, name: str) -> Source:
        """Return the source of that name."""
        return next(source for source in self.sources if source.name == name)

    def days_behind(self, source: Source, days: Sequence[date]) -> tuple[date, ...]:
        """Return the days of a source that the snapshots of `days` and their leak check may look at, oldest first.

        The leak check builds the day before as well, so it is one day more than the features need.
        """
        back, ahead = self.features.lookback_days + 1, source.known_ahead_days
        offsets = range(-back, ahead + 1)
        return tuple(sorted({day + timedelta(days=offset) for day in days for offset in offsets}))

    def raw_table(self, source: str) -> str:
        """Return the lake table of a source's published rows."""
        return f"raw/{self.name}/{source}"

    @property
    def human_approval(self) -> HumanApproval | None:
        """Return who approves a promotion and how, None where the gates alone decide."""
        return self.approval if isinstance(self.approval, HumanApproval) else None

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
    def features_table(self) -> str:
        """Return the lake table of the daily snapshots."""
        return f"features/{self.name}"

    @property
    def predictions_table(self) -> str:
        """Return the lake table of the daily scores."""
        return f"predictions/{self.name}"

    @property
    def shadow_table(self) -> str:
        """Return the lake table of what the former champion says while a new one is on probation."""
        return f"shadow/{self.name}"

    @property
    def horizon(self) -> timedelta:
        """Return how long a label takes to mature."""
        return timedelta(days=self.label.horizon_days)
