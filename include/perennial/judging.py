"""What a challenger has to show, as declared: the gates of a use case, and who approves after them.

Each gate is told apart by a key that only its kind has (`GATES`); what it costs and how it is computed stands in
`perennial.core`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from perennial.contracts import Strict
from perennial.modelling import Metric

Unit = Literal["entity", "days", "both"]


class Judged(Strict):
    """Base of all gates: one that is `dry_run` is computed and shown, and holds nothing back."""

    mode: Literal["enforce", "dry_run"] = "enforce"


class Resampled(Judged):
    """Base of the gates with an interval, which comes from resampling what hangs together.

    `auto` resamples entities, and blocks of days as well where the holdout has enough of them that do not share
    labels (`core.resampling.LEAST_BLOCKS`).
    """

    resample: Literal["auto", "entity", "days", "both"] = "auto"
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 500


class AbsoluteGate(Resampled):
    """The challenger's metric against a fixed limit; equal passes.

    With `confidence` not the metric is judged but the end of its interval that is nearer to the limit: it holds the
    limit with that confidence for other entities than those of the holdout too.
    """

    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"gate on {self.metric} needs either at_least or at_most.")
        return self


class PairedGate(Resampled):
    """Base of the gates on the gain of the challenger over the champion, on the same rows.

    `expected_gain` is the true gain for which the power is stated; a holdout that would have shown it with less than
    `power` cannot tell a challenger that misses the gate from a good one.
    """

    metric: Metric
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    expected_gain: float | None = None

    @property
    def limit(self) -> float:
        """Return the gain that the lower bound has to reach."""
        raise NotImplementedError

    @property
    def gain(self) -> float:
        """Return the true gain for which the power is stated."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _gain_is_beyond_the_limit(self) -> Self:
        _check_beyond(self.expected_gain, self.limit, metric=self.metric)
        return self


def _check_beyond(expected_gain: float | None, limit: float, *, metric: str) -> None:
    """Refuse an expected gain for which the power would be that of a coin."""
    if expected_gain is not None and expected_gain <= limit:
        raise ValueError(
            f"expected_gain {expected_gain:g} of the gate on {metric} must lie above the gain {limit:g} that the gate "
            "asks for: a true gain at the limit passes by chance alone."
        )


class BaselineGate(Resampled):
    """The challenger's metric must be better than a baseline's by at least `by`; equal passes.

    Without `confidence` the two values are compared as they are. With it the lower bound of the gain over the baseline,
    on the same rows, has to reach `by`: the first champion is then judged as carefully as those after it. The power is
    that for a true gain of `expected_gain`, twice `by` where none is declared.
    """

    metric: Metric
    beats_baseline: str
    by: Annotated[float, Field(ge=0)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    expected_gain: float | None = None

    @property
    def limit(self) -> float:
        """Return the gain that the lower bound has to reach."""
        return self.by

    @property
    def gain(self) -> float:
        """Return the expected gain, twice the limit where none is declared."""
        return 2 * self.by if self.expected_gain is None else self.expected_gain

    @model_validator(mode="after")
    def _gain_needs_confidence_and_room(self) -> Self:
        _check_beyond(self.expected_gain, self.limit, metric=self.metric)
        if self.expected_gain is not None and self.confidence is None:
            raise ValueError(f"the gate on {self.metric} has an expected_gain and no `confidence` to reach it with.")
        if self.confidence is not None and self.gain <= self.limit:
            raise ValueError(
                f"the gate on {self.metric} asks with confidence to beat {self.beats_baseline!r} by 0: say with "
                "expected_gain for which true gain its power is stated, or ask for more than 0."
            )
        return self

    @model_serializer(mode="wrap")
    def _as_declared(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what says nothing without `confidence`: specs of before it keep their fingerprint."""
        declared: dict[str, Any] = whole(self)
        resampled = {*Resampled.model_fields, "confidence", "power", "expected_gain"} - set(Judged.model_fields)
        left_out = resampled if self.confidence is None else set()
        return {key: value for key, value in declared.items() if key not in left_out}


class ChampionGate(PairedGate):
    """Non-inferiority: with `confidence`, the challenger is not worse than the champion by more than the margin.

    Without `expected_gain` the power is that for a challenger exactly as good as the champion.
    """

    no_worse_than_champion_by: Annotated[float, Field(ge=0)]

    @property
    def limit(self) -> float:
        """Return the loss that is put up with, as a negative gain."""
        return -self.no_worse_than_champion_by

    @property
    def gain(self) -> float:
        """Return the expected gain, 0 where none is declared."""
        return 0.0 if self.expected_gain is None else self.expected_gain


class SuperiorityGate(PairedGate):
    """Superiority: with `confidence`, the challenger is better than the champion by at least the margin.

    Without `expected_gain` the power is that for a challenger better by twice the margin.
    """

    better_than_champion_by: Annotated[float, Field(gt=0)]

    @property
    def limit(self) -> float:
        """Return the gain that is asked for."""
        return self.better_than_champion_by

    @property
    def gain(self) -> float:
        """Return the expected gain, twice the limit where none is declared."""
        return 2 * self.better_than_champion_by if self.expected_gain is None else self.expected_gain


class SliceGate(Resampled):
    """No slice of the rows is worse off than with the champion by more than the margin.

    A slice is the rows with one value of a column; a number with more than a few values is cut at its quartiles. A
    slice fails where it is *proven* worse, with `confidence` that no harmless slice is taken for a harmful one (Holm).
    Slices of fewer than `min_rows` rows, or with labels of one kind, are left out and named.
    """

    slices: Annotated[tuple[str, ...], Field(min_length=1)]
    metric: Metric
    no_worse_than_champion_by: Annotated[float, Field(ge=0)]
    min_rows: Annotated[int, Field(ge=20)] = 200
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9

    @model_validator(mode="after")
    def _metric_of_slices(self) -> Self:
        if self.metric == "return_on_ad_spend":
            raise ValueError("a slice has no return_on_ad_spend of its own: gate expected_profit by slices.")
        return self


class FairnessGate(Judged):
    """The difference of two groups of a declared attribute is at most so large, whichever two they are.

    `demographic_parity` compares how often each group is selected, `equal_opportunity` how often those of each group
    are selected whose label is 1. Selected is who is contacted; without `value`, whose score reaches `threshold`.
    """

    fairness: Literal["demographic_parity", "equal_opportunity"]
    attribute: str
    at_most: Annotated[float, Field(ge=0, le=1)]
    min_rows: Annotated[int, Field(ge=20)] = 200
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    attribute_is_feature: bool = Field(default=False, description="the models may look at the attribute all the same")


class LeakageGate(Judged):
    """Too good to be true: a feature that tells the label almost alone, or a score above what is plausible.

    A feature's strength is its area under the ROC curve alone, for a number its rank correlation with the label; the
    features that `features.strong` excuses do not count. The score's strength is measured in the same way.
    """

    suspicious_feature: Annotated[float, Field(gt=0.5, le=1)]
    suspicious_score: Annotated[float, Field(gt=0.5, le=1)] = 1.0


class BehaviourGate(Judged):
    """The model answers odd rows with finite numbers, and each row by itself.

    `missing`: numbers and texts are null; `unseen`: texts that no training had; `extreme`: numbers far outside; each
    prediction is finite, and a probability where the label is binary. `permuted` and `single`: a row gets the same
    prediction in another order, and alone. With `rising` and `falling` predictions follow a feature where all others
    stay as they are; `invariant` features do not change them at all.
    """

    behaviour: Annotated[
        tuple[Literal["missing", "unseen", "extreme", "permuted", "single"], ...], Field(min_length=1)
    ] = ("missing", "unseen", "extreme", "permuted", "single")
    rising: tuple[str, ...] = ()
    falling: tuple[str, ...] = ()
    invariant: tuple[str, ...] = ()
    rows: Annotated[int, Field(ge=10, le=10_000)] = 200


class SimplerGate(Resampled):
    """Misses where a simpler model is as good: not worse than the challenger by more than `within`, with `confidence`.

    It only says so, unless `mode: enforce` asks to keep a model back that is more complicated than it needs to be.
    """

    simpler: str = Field(description="a baseline or a candidate by name")
    metric: Metric
    within: Annotated[float, Field(ge=0)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    mode: Literal["enforce", "dry_run"] = "dry_run"


class LatencyGate(Judged):
    """One row is predicted fast enough in 99 of 100 calls, by the artifact as the registry gives it."""

    latency_p99_ms: Annotated[float, Field(gt=0)]
    calls: Annotated[int, Field(ge=100, le=10_000)] = 200


class SizeGate(Judged):
    """The model's artifact in the registry is at most so many megabytes (a million bytes each)."""

    size_mb: Annotated[float, Field(gt=0)]


# The kinds by name, each with the key that tells it apart; what has none of these keys is absolute.
GATES: dict[str, tuple[str, type[BaseModel]]] = {
    "baseline": ("beats_baseline", BaselineGate),
    "slices": ("slices", SliceGate),
    "fairness": ("fairness", FairnessGate),
    "leakage": ("suspicious_feature", LeakageGate),
    "behaviour": ("behaviour", BehaviourGate),
    "simpler": ("simpler", SimplerGate),
    "latency": ("latency_p99_ms", LatencyGate),
    "size": ("size_mb", SizeGate),
    "superiority": ("better_than_champion_by", SuperiorityGate),
    "champion": ("no_worse_than_champion_by", ChampionGate),
    "absolute": ("metric", AbsoluteGate),
}


def kind_of_gate(gate: Any) -> str:
    """Return the name of a gate's kind in `GATES`, from its keys."""
    keys = gate if isinstance(gate, Mapping) else type(gate).model_fields
    return next((kind for kind, (key, _) in GATES.items() if key in keys), "absolute")


Gate = Annotated[
    Annotated[AbsoluteGate, Tag("absolute")]
    | Annotated[BaselineGate, Tag("baseline")]
    | Annotated[ChampionGate, Tag("champion")]
    | Annotated[SuperiorityGate, Tag("superiority")]
    | Annotated[SliceGate, Tag("slices")]
    | Annotated[FairnessGate, Tag("fairness")]
    | Annotated[LeakageGate, Tag("leakage")]
    | Annotated[BehaviourGate, Tag("behaviour")]
    | Annotated[SimplerGate, Tag("simpler")]
    | Annotated[LatencyGate, Tag("latency")]
    | Annotated[SizeGate, Tag("size")],
    Discriminator(kind_of_gate),
]


def columns_of(gate: Gate) -> tuple[str, ...]:
    """Return the columns of a snapshot that a gate names."""
    if isinstance(gate, SliceGate):
        return gate.slices
    if isinstance(gate, FairnessGate):
        return (gate.attribute,)
    return (*gate.rising, *gate.falling, *gate.invariant) if isinstance(gate, BehaviourGate) else ()


def compared_models(gates: Collection[Gate]) -> frozenset[str]:
    """Return the models of the same training whose holdout scores the gates need, row by row."""
    simpler = {gate.simpler for gate in gates if isinstance(gate, SimplerGate)}
    return frozenset(
        simpler | {gate.beats_baseline for gate in gates if isinstance(gate, BaselineGate) and gate.confidence}
    )


class HumanApproval(Strict):
    """A promotion that people decide, in Airflow, once the gates are passed. No answer in time is a rejection."""

    approvers: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = Field(
        description="user names in Airflow"
    )
    mail_to: tuple[str, ...] = Field((), description="who is mailed the question; by default alerts.to")
    timeout_days: Annotated[float, Field(gt=0, le=90, description="parts of a day as well, such as 0.5")] = 3
    four_eyes: bool = Field(default=True, description="who started the run, or its training, does not approve it")
    max_age_days: Annotated[float, Field(gt=0, description="an older evaluation promotes nothing")] = 7


def _approved_by(value: Any) -> str | None:
    """Return the tag of the kind of approval; None is an error, which names both kinds."""
    if isinstance(value, (Mapping, HumanApproval)):
        return PEOPLE
    return value if value == "automatic" else None


PEOPLE = "people"
Approval = Annotated[
    Annotated[Literal["automatic"], Tag("automatic")] | Annotated[HumanApproval, Tag(PEOPLE)],
    Discriminator(
        _approved_by,
        custom_error_type="approval",
        custom_error_message="say `automatic`, or who approves: `{approvers: [names of Airflow users]}`.",
    ),
]
