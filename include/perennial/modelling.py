"""How a use case's models are trained and watched, and what is said of them, as declared.

How they are judged stands in `perennial.judging`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from croniter import croniter
from pydantic import AfterValidator, Field, model_validator

from perennial.contracts import Name, Share, Strict
from perennial.errors import nearest

LabelKind = Literal["binary", "number"]

# Direction of each metric an evaluation reports: True where more is better.
METRICS: dict[str, bool] = {
    "roc_auc": True,
    "average_precision": True,
    "log_loss": False,
    "brier_score": False,
    "expected_calibration_error": False,
    "reliability_gap": False,
    "expected_profit": True,
    "return_on_ad_spend": True,
    "mae": False,
    "rmse": False,
    "median_absolute_error": False,
    "bias": False,
    "r2": True,
}
MONEY = ("expected_profit", "return_on_ad_spend")
NUMBER = ("mae", "rmse", "median_absolute_error", "bias", "r2")
BY_ROW = ("log_loss", "brier_score", "expected_profit", "mae", "rmse")  # means of a loss that each row has
CALIBRATED = "calibrated"
FIXED = {"psi_limit": 0.25, "drifted_share_limit": 0.3, "score_psi_limit": 0.25}
# Keys that only say what is measured beside drift: as they come they are no part of a spec's fingerprint.
WATCHED = (
    "at_stake_limit", "confidence", "resamples", "feed", "response", "calibration", "value_share", "parity_limit",
)  # fmt: skip
ESTIMATOR_PACKAGES = ("sklearn.", "lightgbm.")


def metrics_of(kind: LabelKind, *, money: bool) -> tuple[str, ...]:
    """Return the metrics that models of such a label have; those of money where the spec has a `value`."""
    if kind == "number":
        return NUMBER
    return tuple(name for name in METRICS if name not in NUMBER and (money or name not in MONEY))


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


class Label(Strict):
    """A SQL file that gives (day, entity, label); an entity it leaves out has the label 0, or none with `drop`.

    The label of day D may look at the days D+1 .. D+horizon_days and no further.
    """

    sql: str
    kind: LabelKind = "binary"
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
    """What the challenger must beat: the same pipeline on a few features only; none of them means a constant.

    With `column` there is no estimator: the value of that numeric feature is itself the prediction.
    """

    name: Name
    estimator: Estimator | None = None
    column: str | None = Field(None, description="numeric feature whose value is the prediction (or the score, 0..1)")
    params: Mapping[str, Any] = Field(default_factory=dict)
    features: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _estimator_or_column(self) -> Self:
        if (self.estimator is None) == (self.column is None):
            raise ValueError(f"baseline {self.name!r} needs either estimator or column.")
        if self.column is not None and (self.params or self.features):
            raise ValueError(f"baseline {self.name!r} predicts its column {self.column!r}: leave out params, features.")
        return self


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
    metric: Annotated[Metric, Field(description="must be one of the label's kind")] = "roc_auc"
    seed: int = 0
    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    baselines: Annotated[tuple[Baseline, ...], Field(min_length=1)]
    search: Search = Search()


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


class Feed(Strict):
    """When a source's day is out of the usual; the rules stand in docs/monitoring.md.

    A day has to be far from the middle of the days before (`spreads`), beyond all of them (`beyond`), and by more than
    the factor or the share that its kind of figure names.
    """

    days: Annotated[int, Field(ge=7, le=366, description="how many days before say what is usual")] = 28
    least_days: Annotated[int, Field(ge=2, description="fewer days before say nothing")] = 14
    least_rows: Annotated[int, Field(ge=1, description="of a day, to look at its columns")] = 30
    spreads: Annotated[float, Field(gt=0, description="robust standard deviations from the median")] = 6.0
    beyond: Annotated[float, Field(ge=0, description="beyond all days before, as a part of their range")] = 1.0
    rows_beyond: Annotated[float, Field(ge=0, description="the same for the number of rows")] = 0.25
    rows_factor: Annotated[float, Field(gt=1)] = 1.5
    scale_factor: Annotated[float, Field(gt=1)] = 1.3
    null_share: Share = 0.05
    quarantine_share: Share = 0.02
    category_share: Share = 0.05
    most_categories: Annotated[int, Field(ge=2, description="a column with more values has none that can go")] = 200
    told: Mapping[str, str] = Field({}, description="sources or source.column that are only told, each with the reason")


class Response(Strict):
    """When scores by themselves look wrong, as shares of a day's rows."""

    single: Share = Field(0.3, description="of the most frequent score")
    extreme: Share = Field(0.5, description="at 0 or 1, or of a number at its least or greatest")
    spikes: Share = Field(0.6, description="of scores that 2 percent of the rows or more have exactly")


class Calibration(Strict):
    """What is tolerated of calibration on matured labels; a limit that is not there is only told."""

    ratio: Annotated[float, Field(gt=1, description="observed through expected, or the reverse")] | None = 1.25
    slope: Annotated[float, Field(gt=0, lt=1, description="distance of the slope from 1")] | None = None
    bias: Annotated[float, Field(gt=0, description="of a number, in its own unit")] | None = None


class Monitoring(Strict):
    """Limits of the daily check; a value that reaches its limit counts as drifted.

    A limit that is `calibrated` is taken from calm days of the champion's reference; the fixed number stands in where
    these are too few.
    """

    psi_limit: Annotated[float, Field(gt=0)] | Literal["calibrated"] = FIXED["psi_limit"]
    drifted_share_limit: Annotated[float, Field(gt=0, le=1)] | Literal["calibrated"] = FIXED["drifted_share_limit"]
    score_psi_limit: Annotated[float, Field(gt=0)] | Literal["calibrated"] = FIXED["score_psi_limit"]
    distance_limit: Annotated[float, Field(gt=0, description="of the distance told beside the PSI")] = 0.1
    false_alarms: Annotated[float, Field(ge=0.001, le=0.2, description="of a calibrated limit and calm day")] = 0.01
    min_rows: Annotated[int, Field(ge=1)] = 200
    performance: Performance
    report_rows: Annotated[int, Field(ge=100, description="rows of the sample in the Evidently page")] = 2000
    at_stake_limit: Annotated[float, Field(gt=0, le=1, description="drifted share, weighted by importance")] = 0.3
    confidence: Annotated[float, Field(ge=0.5, lt=1, description="of the intervals, two-sided")] = 0.9
    resamples: Annotated[int, Field(ge=50, le=2000, description="behind each interval")] = 200
    feed: Feed = Feed()
    response: Response = Response()
    calibration: Calibration = Calibration()
    value_share: (
        Annotated[float, Field(gt=0, description="least part of the expected profit; default: told")] | None
    ) = None
    parity_limit: Share = Field(0.01, description="of rows that were served other than they would be now")

    @model_validator(mode="after")
    def _share_of_calibrated(self) -> Self:
        if self.is_calibrated("drifted_share_limit") and not self.is_calibrated("psi_limit"):
            raise ValueError(f"drifted_share_limit: calibrated needs psi_limit: calibrated, got {self.psi_limit:g}.")
        return self

    def is_calibrated(self, key: str) -> bool:
        """Tell whether a limit is declared as calibrated."""
        return bool(getattr(self, key) == CALIBRATED)

    @property
    def unused(self) -> set[str]:
        """Return the keys that change nothing as the others are declared, and later ones that are as they come."""
        plain = {name for name in WATCHED if getattr(self, name) == type(self).model_fields[name].get_default()}
        return plain if any(self.is_calibrated(key) for key in FIXED) else plain | {"false_alarms"}


class Retraining(Strict):
    """When evidence asks for a new model."""

    cooldown_days: Annotated[int, Field(ge=0, description="days between two requests")] = 7
    min_new_days: Annotated[int, Field(ge=0, description="days of labels that matured since the last training")] = 1
    min_new_labels: Annotated[int, Field(ge=0, description="labels that matured since: fewer change no model")] = 0
    max_requests: Annotated[int, Field(ge=1, description="requests within 30 days")] = 4
    every_new_labels: int | None = Field(
        None, ge=1, description="new labels that ask for a training by themselves; default: they never do"
    )

    @property
    def unused(self) -> set[str]:
        """Return the keys that are as they were before they could be declared."""
        later = ("min_new_labels", "max_requests", "every_new_labels")
        return {name for name in later if getattr(self, name) == type(self).model_fields[name].get_default()}


class Probation(Strict):
    """How a new champion has to prove itself against the former one, which keeps scoring in the shadow meanwhile.

    It is frozen with the promotion: what is changed here later counts from the next promotion on.
    """

    metric: Annotated[Metric, Field(description="a mean of a loss that each row has, of the label's kind")]
    loss: Annotated[float, Field(gt=0, description="by how much a row it must be worse to be found; rmse: squared")]
    days: Annotated[int, Field(ge=1, le=365, description="days with matured labels that end it")] | None = None
    labels: Annotated[int, Field(ge=1, description="matured labels that end it")] | None = None
    alpha: Annotated[float, Field(ge=0.001, le=0.2, description="false rollbacks, at all looks together")] = 0.05

    @model_validator(mode="after")
    def _days_or_labels(self) -> Self:
        if (self.days is None) == (self.labels is None):
            raise ValueError(f"probation ends after either days or labels, got days={self.days}, labels={self.labels}.")
        return self

    @model_validator(mode="after")
    def _has_a_loss_a_row(self) -> Self:
        if self.metric not in BY_ROW:
            raise ValueError(
                f"probation.metric {self.metric!r} has no loss a row. Take one of {', '.join(BY_ROW)}; for a ranking, "
                "log_loss."
            )
        return self


class CardText(Strict):
    """What a team says of its models on their cards; nothing of it decides a row, a number or a promotion."""

    owner: Annotated[str, Field(min_length=1, description="who answers for the models: a team or a role, with address")]
    purpose: Annotated[str, Field(min_length=1, description="what is predicted, and which decision it is for")]
    intended_use: str = Field("", description="who may use the scores for what, and what they must not be used for")
    limits: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="what is known to be missing or wrong"
    )
