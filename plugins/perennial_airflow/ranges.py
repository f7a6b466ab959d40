"""The operators of long ranges: plan a backfill, do its parts, sum it up; re-drive refused rows; and maintain the lake.

None of them mails the people of the use case, promotes, or tells an asset: a range changes data and starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context, timezone
from perennial.errors import DataError

from perennial_airflow.operators import StageOperator
from perennial_airflow.partitions import run_id_of, run_url, who_started
from perennial_airflow.xcoms import xcom

if TYPE_CHECKING:
    from perennial.changes import Product
    from perennial.records import Window
    from perennial.stages.quarantine import Chosen, Decision

PRODUCTS = ("raw", "features", "predictions")
ALL_SOURCES = "all sources"
READ_AGAIN = "read the corrected source again"
CHECK_AGAIN = "check the kept rows again"
REDRIVEN = "%s of %s: %s rows asked for, %s re-driven; %s rows of that day are in quarantine now, asked for or not"
NEWEST_PLAN = "{{ ti.xcom_pull(task_ids='plan', key='plan') }}"


class PlanBackfillOperator(StageOperator):
    """Say what the asked range would touch and cost, store that as a plan, and hand on the parts that read sources.

    With the parameter `dry_run` it hands on no parts, so that nothing is built.
    """

    def execute(self, context: Context) -> list[str]:
        """Return the ids of the parts that read sources; the plan's id is the XCom `plan`."""
        from perennial.commands.plans import as_text
        from perennial.stages import backfill

        asked = context["params"]
        made = backfill.plan(
            self.use_case(),
            _window(asked["first_day"], asked["last_day"]),
            self.adapters(),
            products=asked["what"],
            wanted=asked["which"],
            who=who_started(context),
            now=timezone.utcnow(),
        )
        self.log.info("%s", as_text(made))
        context["ti"].xcom_push(key="plan", value=made.id)
        return [] if asked["dry_run"] else [chunk.id for chunk in made.chunks if chunk.product == "raw"]


class RemainingPartsOperator(StageOperator):
    """Say which parts of a product are still to do, once those before it are done; none in a dry run.

    Args:
        product: "features" or "predictions".
        plan: id of the plan.
    """

    template_fields: Sequence[str] = ("case", "plan")

    def __init__(self, *, product: Product, plan: str = NEWEST_PLAN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.product = product
        self.plan = plan

    def execute(self, context: Context) -> list[str]:
        """Return the ids of the parts in which a day is still to do."""
        from perennial.stages import backfill

        if context["params"]["dry_run"]:
            return []
        case, adapters = self.use_case(), self.adapters()
        made = adapters.plans.load(self.case, self.plan)
        parts = [chunk for chunk in made.chunks if chunk.product == self.product]
        return [chunk.id for chunk in parts if backfill.pending(case, made, chunk, adapters)]


class BackfillPartOperator(StageOperator):
    """Do one part of a plan; a part that is done is not done again, whoever asks.

    Args:
        part: id of the part, one of those that the plan names.
        plan: id of the plan.
    """

    template_fields: Sequence[str] = ("case", "plan", "part")

    def __init__(self, *, part: str, plan: str = NEWEST_PLAN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.part = part
        self.plan = plan

    def execute(self, context: Context) -> dict[str, Any]:
        """Return what the part did."""
        from perennial import chunks

        case, adapters = self.use_case(), self.adapters()
        made = adapters.plans.load(self.case, self.plan)
        chunk = next(each for each in made.chunks if each.id == self.part)
        record = chunks.run(case, made, chunk, adapters, run=run_id_of(context))
        self.log.info("%s: %s days, %s changed, %s rows in %.1f s", chunk.id, record.days, record.changed, record.rows,
                      record.seconds)  # fmt: skip
        return xcom(record)


class SummariseBackfillOperator(StageOperator):
    """Sum a backfill up, in the log and in one mail to who asked for it; fails where a part is missing.

    Args:
        plan: id of the plan.
    """

    template_fields: Sequence[str] = ("case", "plan")

    def __init__(self, *, plan: str = NEWEST_PLAN, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the summary."""
        from perennial.stages import backfill

        asked, adapters = context["params"], self.adapters()
        if self.plan in {"", "None"}:
            raise DataError("There is no plan: see the log of the task `plan` for what the form got wrong.")
        made = adapters.plans.load(self.case, self.plan)
        found = [adapters.plans.finished(self.case, made.id, chunk) for chunk in made.chunks]
        record = backfill.summary(made, [each for each in found if each is not None])
        self.log.info("plan %s: %s of %s parts, %s days, %s changed, %s rows, %s s of work", record.plan, record.done,
                      record.parts, record.days, record.changed, record.rows, record.seconds)  # fmt: skip
        if not asked["dry_run"]:
            backfill.enter(record, adapters, who=who_started(context), now=timezone.utcnow(), run=run_id_of(context))
        if asked["mail_to"]:
            self._mail(asked["mail_to"], record, dry_run=asked["dry_run"], url=run_url(context))
        if record.done < record.parts and not asked["dry_run"]:
            raise DataError(
                f"{record.parts - record.done} of {record.parts} parts of plan {made.id} are not done. Clear the "
                "failed tasks of this run once their cause is mended: the parts that are done are not done again."
            )
        return xcom(record)

    def _mail(self, to: str, record: Any, *, dry_run: bool, url: str) -> None:
        from perennial.io.mails import Links, backfill_mail
        from perennial.settings import load_settings

        from perennial_airflow.hooks import MailHook

        MailHook().deliver(
            backfill_mail((to,), record, Links.of(load_settings().airflow_url, run=url), dry_run=dry_run)
        )


class RedriveOperator(StageOperator):
    """Publish the rows in quarantine that pass now; says which snapshots are stale behind them."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return one record a day, and the stale snapshot days."""
        from perennial.stages import ingest, quarantine

        case, adapters, asked = self.use_case(), self.adapters(), context["params"]
        chosen, decision = _chosen(asked), self._decision(context)
        if asked["how"] == READ_AGAIN:
            for source, days in quarantine.days_to_read_again(case, adapters, chosen).items():
                ingest.run_days(case, source, days, adapters, run=run_id_of(context))
        moved = quarantine.redrive(case, adapters, chosen, decision)
        for each in moved:
            self.log.info(REDRIVEN, each.source, each.day, each.asked, each.moved, each.in_quarantine)
        built = adapters.lake.days(case.features_table)
        stale = [state.day.isoformat() for state in adapters.lineage.features(case, built) if state.state == "stale"]
        if stale:
            self.log.info("%s snapshots are stale now, %s to %s: rebuild them with %s__backfill", len(stale), stale[0],
                          stale[-1], self.case)  # fmt: skip
        return {"redriven": [xcom(record) for record in moved], "stale": stale}

    def _decision(self, context: Context) -> Decision:
        from perennial.stages.quarantine import Decision

        why = context["params"]["reason"] or "re-driven from Airflow"
        return Decision(who=who_started(context), at=timezone.utcnow(), reason=why, run=run_id_of(context))


class MaintainOperator(StageOperator):
    """Vacuum the use case's tables, but for what its champions and its challenger need."""

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return what was freed, one record a table."""
        from perennial.stages import maintain

        asked = context["params"]
        freed = maintain.run(
            self.use_case(), self.adapters(), keep_days=int(asked["keep_days"]), dry_run=bool(asked["dry_run"])
        )
        for each in freed:
            self.log.info("%s: %s files, %.1f MB, versions %s pinned", each.table, each.files, each.bytes / 1e6,
                          ", ".join(map(str, each.pinned)) or "none")  # fmt: skip
        total = sum(each.bytes for each in freed) / 1e6
        self.log.info("%s %.1f MB", "would free" if asked["dry_run"] else "freed", total)
        return [xcom(each) for each in freed]


def _chosen(asked: Any) -> Chosen:
    from perennial.stages.quarantine import Chosen

    days = None
    if asked["first_day"] or asked["last_day"]:
        days = _window(asked["first_day"] or "1970-01-01", asked["last_day"] or "9998-12-31")
    source = None if asked["source"] == ALL_SOURCES else asked["source"]
    return Chosen(source=source, days=days, reason=asked["because"] or None)


def _window(first: str, last: str) -> Window:
    from perennial.records import Window

    start, end = date.fromisoformat(first), date.fromisoformat(last)
    if end < start:
        raise DataError(
            f"The first day {start} is after the last day {end}. Start the run again with the days swapped."
        )
    return Window(start, end + timedelta(days=1))
