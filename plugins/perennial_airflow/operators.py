"""One operator a stage: keyword-only, each reads its run's context, hands over to the stage and returns its record.

The stages, and with them every ML library, are imported when a task runs, never when a DAG file is parsed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Context, timezone
from airflow.sdk.exceptions import AirflowSkipException
from perennial.errors import DataError, NoModelError

from perennial_airflow.links import CardLink, PageLink
from perennial_airflow.partitions import (
    day_of,
    is_backfill,
    newest_version_in,
    requested_day,
    run_id_of,
    run_url,
    who_started,
    why_started,
)
from perennial_airflow.xcoms import tell, xcom

if TYPE_CHECKING:
    from datetime import date

    from perennial.adapters import Adapters
    from perennial.spec import UseCase


class StageOperator(BaseOperator):
    """Base of the stage operators.

    Args:
        case: name of a folder under `include/use_cases`; the spec is read when the task runs.
    """

    template_fields: Sequence[str] = ("case",)

    def __init__(self, *, case: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case

    def use_case(self) -> UseCase:
        """Return the spec as it is now."""
        from perennial.catalog import load_use_case

        return load_use_case(self.case)

    def adapters(self) -> Adapters:
        """Return the outside world that this process's settings describe."""
        from perennial.adapters import Adapters

        from perennial_airflow.hooks import source_address

        return Adapters.from_env(connections=source_address)


class IngestOperator(StageOperator):
    """Fetch, validate and publish one day of every source."""

    operator_extra_links: Collection[BaseOperatorLink] = (PageLink("Validation", field="page"),)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return one record a source and day."""
        from perennial.stages import ingest

        # A backfill reads its own days only: those before them have a run of their own in it.
        late = not is_backfill(context)
        records = ingest.run(self.use_case(), day_of(context), self.adapters(), run=run_id_of(context), late=late)
        for each in records:
            self.log.info("%s of %s: %s rows, %s quarantined", each.source, each.day, each.rows, each.quarantined)
        return [xcom(record) for record in records]


class FeaturesOperator(StageOperator):
    """Compute one day's snapshot of all entities and check it for leaks."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the features record."""
        from perennial.stages import features

        case, adapters, run = self.use_case(), self.adapters(), run_id_of(context)
        record = features.run(case, day_of(context), adapters, run=run)
        self.log.info("%s of %s: %s rows in version %s", self.case, record.day, record.rows, record.version)
        for each in () if is_backfill(context) else features.rebuild_stale(case, record.day, adapters, run=run):
            self.log.info("%s of %s: built again after late rows, %s rows", self.case, each.day, each.rows)
        tell(context, self.outlets, day=record.day.isoformat(), rows=record.rows, version=record.version)
        return xcom(record)


class TrainOperator(StageOperator):
    """Train a challenger as of the run's `as_of` parameter, or of the newest published feature day."""

    operator_extra_links: Collection[BaseOperatorLink] = (PageLink("Profile", field="profile"),)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the train record; its `version` is the challenger."""
        from perennial.stages import train

        case, adapters = self.use_case(), self.adapters()
        as_of = requested_day(context) or self._newest_day(case, adapters)
        reason, who = why_started(context), who_started(context)
        record = train.run(case, as_of, adapters, run=run_id_of(context), reason=reason, who=who)
        self.log.info("%s version %s (%s) as of %s: %s", self.case, record.version, record.winner, as_of, reason)
        tell(context, self.outlets, version=record.version, as_of=as_of.isoformat(), reason=reason, who=who)
        return xcom(record)

    def _newest_day(self, case: UseCase, adapters: Adapters) -> date:
        days = adapters.lake.days(case.features_table)
        if not days:
            raise DataError(
                f"{case.name} has no published feature day in {case.features_table!r}, so there is nothing to train "
                f"on. Run {case.name}__feature_build first, for example by a backfill."
            )
        return days[-1]


class EvaluateOperator(StageOperator):
    """Hold the challenger against its gates; the task fails where a gate does.

    The report's keys are XComs of their own, so that `evaluate.output["version"]` works.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (PageLink("Gate report", field="page"), CardLink())

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(multiple_outputs=True, **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the gate report as plain data; its `version` is the one to promote."""
        from perennial.stages import evaluate

        version, who = newest_version_in(context), who_started(context)
        report = evaluate.run(
            self.use_case(), self.adapters(), version=version, now=timezone.utcnow(), who=who, run=run_id_of(context)
        )
        self.log.info("%s version %s\n%s", self.case, report.version, report.summary())
        report.raise_if_failed()
        return xcom(report)


class PromoteOperator(StageOperator):
    """Make a version that passed its gates the champion.

    Args:
        version: the model version, as the evaluation returned it.
    """

    template_fields: Sequence[str] = ("case", "version")
    operator_extra_links: Collection[BaseOperatorLink] = (CardLink(),)

    def __init__(self, *, version: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the ledger's entry."""
        from perennial.stages import promote

        who, run = who_started(context), run_id_of(context)
        record = promote.run(
            self.use_case(), self.version, self.adapters(), who=who, reason=f"passed every gate in {run}",
            now=timezone.utcnow(), run=run,
        )  # fmt: skip
        self.log.info("%s version %s is champion, was %s", self.case, record.version, record.previous)
        tell(context, self.outlets, version=record.version, previous=record.previous, who=record.who)
        return xcom(record)


class ScoreOperator(StageOperator):
    """Score one day's features with the champion; skips before there is one."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the score record."""
        from perennial.stages import score

        try:
            record = score.run(self.use_case(), day_of(context), self.adapters(), run=run_id_of(context))
        except NoModelError as error:
            raise AirflowSkipException(f"Nothing to score with: {error}") from error
        self.log.info("%s of %s: %s rows by version %s", self.case, record.day, record.rows, record.model_version)
        tell(context, self.outlets, day=record.day.isoformat(), rows=record.rows, model_version=record.model_version)
        return xcom(record)


class MonitorOperator(StageOperator):
    """Compare one day with what the champion was trained on, and its scores with labels that have matured."""

    operator_extra_links: Collection[BaseOperatorLink] = (PageLink("Drift report", field="report"),)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the monitor record."""
        from perennial.stages import monitor

        record = monitor.run(
            self.use_case(), day_of(context), self.adapters(), run=run_id_of(context), now=timezone.utcnow()
        )
        self.log.info("%s of %s: %s; %s", self.case, record.day, record.verdict, record.reason)
        return xcom(record)


class AlertOperator(StageOperator):
    """Turn the day's finding into what becomes of incidents, and mail it; skips where there is nothing to say."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the entries of the ledger that it led to, and the subjects of the mails that went out."""
        from perennial.raising import By
        from perennial.stages import route

        from perennial_airflow.mailing import tell as mail

        if is_backfill(context):
            raise AirflowSkipException(f"{run_id_of(context)} is a backfill: it raises no incident and sends no mail.")
        case, adapters = self.use_case(), self.adapters()
        by = By(who_started(context), run_id_of(context), timezone.utcnow(), run_url(context))
        entries = route.run(case, day_of(context), adapters, by=by)
        sent = [alert.subject for record in mail([case], adapters, context=context) for alert in record.sent]
        if not entries and not sent:
            raise AirflowSkipException("Nothing to tell: no incident opens, gets worse or ends.")
        return {"entries": [xcom(entry) for entry in entries], "sent": sent}


class RequestRetrainOperator(StageOperator):
    """Ask for a new model where the evidence says so; a skipped task emits no event."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the decision; its reason travels with the asset event."""
        from perennial.stages import retrain

        if is_backfill(context):
            raise AirflowSkipException(f"{run_id_of(context)} is a backfill, and a backfill asks for no retraining.")
        decision = retrain.run(self.use_case(), day_of(context), self.adapters(), now=timezone.utcnow())
        if not decision.wanted:
            raise AirflowSkipException(decision.reason)
        why = f"{decision.trigger}: {decision.reason}"
        tell(context, self.outlets, reason=why, trigger=decision.trigger, day=decision.day.isoformat())
        return xcom(decision) | {"why": why}
