"""The demonstration: the whole loop on real data, every step a run of a DAG that stays to be looked at in Airflow.

It tops up: what a run before has done already, also one that was cut off, is found and not done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from perennial.adapters import Adapters
from perennial.catalog import load_use_case
from perennial.core.nearness import Nearness
from perennial.errors import SetupError
from perennial.incidents import DAY_KINDS, Incident
from perennial.io.incidents import incidents
from perennial.io.lake import Lake
from perennial.local import feed, injection, stack
from perennial.local.airflow_api import Airflow, Run
from perennial.local.layout import Layout
from perennial.local.steps import Bar, Steps
from perennial.records import Window
from perennial.settings import Settings, load_settings
from perennial.spec import UseCase

SCORED_DAYS = 20
# As many as have to be calm again before an incident is over (`alerts.cool_down_days`).
INJECTED_DAYS = 2
FED_DAYS = 7  # since when the simulated shop's visitors are others
APPROVAL = "approve"
HELPER = "operator"
AT_WORK = "Demonstration: the source's team delivers the days again."
REASON = "Demonstration: its gates are passed, and the report looks right."
# Daily runs beside each other; more than the cores, because a slot also stays busy while nothing is computed.
AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """Which days the demonstration is about; all follow from yesterday, the use case, and how many days change."""

    case: UseCase
    yesterday: date
    changed_days: int = INJECTED_DAYS

    @property
    def injected(self) -> Window:
        """Return the days whose data are changed: the newest ones."""
        return Window.ending(self.yesterday, days=self.changed_days)

    @property
    def as_of(self) -> date:
        """Return the day the first model is trained as of: the last one before the changed days."""
        return self.injected.start - timedelta(days=1)

    @property
    def built(self) -> Window:
        """Return the days to build: as many as training looks at, until yesterday."""
        last_snapshot = self.as_of - self.case.horizon
        return Window(Window.ending(last_snapshot, days=self.case.training.window_days).start, self.injected.end)

    @property
    def scored(self) -> Window:
        """Return the days to score; the oldest have labels that have matured."""
        return Window.ending(self.yesterday, days=SCORED_DAYS)

    def dag(self, stage: str) -> str:
        """Return the id of one of the use case's DAGs."""
        return f"{self.case.name}__{stage}"


@dataclass(slots=True)
class Outcome:
    """What the steps found; the summary is made of it."""

    champion: dict[str, Any] = field(default_factory=dict)
    approval: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    mended: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    change: injection.Injection | None = None
    incident: Incident | None = None
    retrained: str = "not asked for"
    nearness: dict[date, Nearness] = field(default_factory=dict)


class Shop(Protocol):
    """Where the days come from, and what changes the newest of them."""

    def prepare(self, steps: Steps, /) -> None:
        """Wait until the days are there."""

    def changed(self) -> injection.Injection | None:
        """Return what has changed already, None where nothing has."""

    def change(self, days: Sequence[date], /) -> injection.Injection:
        """Change those days and return how."""

    def mend(self) -> injection.Injection | None:
        """Put the real days back and return since when; None where what has come cannot be taken back."""

    def nearness(self, case: UseCase, lake: Lake, days: Sequence[date], /) -> dict[date, Nearness]:
        """Hold days' scores against the true probabilities, where anybody knows them."""

    def tell(self, change: injection.Injection, /) -> str:
        """Say in a line what has changed."""


class Demo:
    """The steps, each safe to repeat: it looks first whether its work is done."""

    def __init__(self, plan: Plan, layout: Layout, steps: Steps, settings: Settings) -> None:
        self.shop = shop_of(plan.case, layout, settings)
        self.plan = plan
        self.layout = layout
        self.steps = steps
        self.settings = settings
        self.airflow = Airflow(layout)
        self.outcome = Outcome()
        self.seen_at: datetime | None = None

    def prepare(self) -> None:
        """Wait for the data and the DAGs, and let those run that need no champion."""
        self.shop.prepare(self.steps)
        stages = ("feature_build", "continuous_training", "model_promotion", "batch_scoring", "drift_monitoring")
        with self.steps.step("Read the DAGs"):
            self.airflow.await_dags([self.plan.dag(stage) for stage in stages])
        # First, as long as there is no day that the run of the last tick could train on.
        self.airflow.unpause_without_last_tick(self.plan.dag("continuous_training"))
        for stage in ("feature_build", "model_promotion"):
            self.airflow.unpause(self.plan.dag(stage))

    def build_days(self) -> None:
        """Build the oldest day, which fetches the history before it, and then all others in a backfill."""
        days = list(self.plan.built.days())
        self._ensure_days("Fetch the history", "feature_build", days[:1])
        self._backfill(f"Build {len(days)} days (backfill)", "feature_build", days)

    def train_first(self) -> None:
        """Train until there is a champion; its gates decide, as ever."""
        promotion = self.plan.dag("model_promotion")
        runs = [run for run in self.airflow.runs(promotion, state="success") if self._promoted(run)]
        if not runs:
            begun = datetime.now(UTC)
            asking = self.airflow.runs(promotion, state="running")  # of a demonstration that was cut off
            if not asking:
                with self.steps.step("Train the first model") as bar:
                    training = self.plan.dag("continuous_training")
                    run = self.airflow.trigger(training, conf={"as_of": str(self.plan.as_of)})
                    self.airflow.await_success(run, bar=bar)
            with self.steps.step("Hold it against its gates, promote") as bar:
                run = asking[0] if asking else self.airflow.await_new_run(promotion, since=begun, bar=bar)
                runs = [self.airflow.await_success(self._decided(run, bar=bar), bar=bar)]
        self.outcome.champion = self.airflow.results(runs[0], "evaluate")
        self.outcome.approval = self.airflow.question(runs[0], APPROVAL) if self.plan.case.human_approval else {}

    def score_days(self) -> None:
        """Score the newest days with the champion."""
        self.airflow.unpause(self.plan.dag("batch_scoring"))
        days = list(self.plan.scored.days())
        self._backfill(f"Score {len(days)} days (backfill)", "batch_scoring", days)

    def look_at_a_quiet_day(self) -> None:
        """Monitor the last day before the changed ones."""
        self.airflow.unpause(self.plan.dag("drift_monitoring"))
        change = self.shop.changed()
        day = change.days[0] - timedelta(days=1) if change else self.plan.as_of
        (run,) = self._ensure_days("Monitor a quiet day", "drift_monitoring", [day])
        self.outcome.before = self.airflow.results(run, "monitor")

    def change_days(self) -> None:
        """Put days in place whose data have changed, and let them be built and scored again."""
        change = self.shop.changed() or self.shop.change(list(self.plan.injected.days()))
        self.outcome.change = change
        self.steps.say(self.shop.tell(change))
        self._ensure_days("Build the changed days", "feature_build", change.days, since=change.at)
        self._ensure_days("Score the changed days", "batch_scoring", change.days, since=change.at)

    def look_at_the_changed_day(self) -> None:
        """Monitor the newest changed days, one after the other; what is wrong becomes an incident and a mail."""
        change = self._change()
        run = self._look_at("changed day", since=change.at, until=change.mended)
        self.seen_at = datetime.fromisoformat(str(run.begun))
        self.outcome.after = self.airflow.results(run, "monitor")
        self.outcome.request = self.airflow.results(run, "request_retrain")
        self.outcome.incident = self._incident()

    def acknowledge(self) -> None:
        """Say as a person, by the form on the Models page, that somebody is at work on the incident."""
        incident = self.outcome.incident
        if incident is None or not incident.is_open or incident.acknowledged_by:
            return
        with self.steps.step(f"Acknowledge incident {incident.id}"):
            Airflow(self.layout, login=HELPER).submit(f"incidents/{incident.id}/acknowledge", reason=AT_WORK)
        self.outcome.incident = self._incident()

    def mend_days(self) -> None:
        """Put the real days back, and build, score and monitor them again: the incident is over by that."""
        mended = self.shop.mend()
        if mended is None or mended.mended is None:
            self.steps.say("Nothing is mended: what the simulated shop has sold cannot be taken back.")
            return
        self.outcome.change, since = mended, mended.mended
        for stage, does in (("feature_build", "Build"), ("batch_scoring", "Score")):
            self._ensure_days(f"{does} the mended days", stage, mended.days, since=since)
        run = self._look_at("mended day", since=since)
        self.seen_at = since
        self.outcome.mended = self.airflow.results(run, "monitor")
        self.outcome.incident = self._incident()

    def hold_against_the_truth(self) -> None:
        """Say how near the scores come to the true probabilities, on the oldest scored day and on the newest."""
        days = [self.plan.scored.start, self.plan.yesterday]
        self.outcome.nearness = self.shop.nearness(self.plan.case, Lake(self.settings.lake_root), days)

    def train_again(self) -> None:
        """Train as the monitor asks, else on demand; a new champion, or a challenger that its gates held back."""
        if self.seen_at is None:
            raise SetupError("look_at_the_changed_day() comes before this step.")
        dag = self.plan.dag("continuous_training")
        asked = bool(self.outcome.request)
        with self.steps.step("Train again, as the monitor asks" if asked else "Train again, on demand") as bar:
            later = self.airflow.runs(dag, run_after_gte=self.seen_at.isoformat())
            known = [run for run in later if run.state != "failed"]
            if known:
                run = known[-1]
            elif asked:
                run = self.airflow.await_new_run(dag, since=self.seen_at, bar=bar)
            else:
                run = self.airflow.trigger(dag, conf={"as_of": str(self.plan.yesterday)})
            self.airflow.await_success(run, bar=bar)
        with self.steps.step("Hold the challenger against its gates") as bar:
            run = self.airflow.await_new_run(self.plan.dag("model_promotion"), since=self.seen_at, bar=bar)
            run = self.airflow.await_run(self._decided(run, bar=bar), bar=bar)
        self._tell_retraining(run)

    def _look_at(self, what: str, *, since: datetime, until: datetime | None = None) -> Run:
        """Monitor the newest changed days, the oldest first, and return the run of the newest one."""
        days = self._change().days[-self.plan.case.alerts.cool_down_days :]
        return self._ensure_days(f"Monitor {what}s", "drift_monitoring", days, since=since, until=until)[-1]

    def _incident(self) -> Incident | None:
        """Return the newest incident that the changed days have led to, as it is now."""
        change, adapters = self._change(), Adapters(self.settings)
        found = incidents(adapters.ledger, self.plan.case.name)
        return next((each for each in found if each.about in DAY_KINDS and each.opened_at >= change.at), None)

    def _decided(self, run: Run, *, bar: Bar) -> Run:
        """Approve a promotion where people have to: as a second person, over REST, once the gates are passed."""
        rules = self.plan.case.human_approval
        if rules is None or not self.airflow.await_question(run, APPROVAL, bar=bar):
            return run
        bar.advance_to(0, note=f"{rules.approvers[0]} approves")
        Airflow(self.layout, login=rules.approvers[0]).answer(run, APPROVAL, "Approve", reason=REASON)
        return run

    def _promoted(self, run: Run) -> bool:
        """Tell whether a run of the promotion has led to a champion; one that people rejected ends well without."""
        return self.airflow.task_states(run).get("promote") == "success"

    def _tell_retraining(self, run: Run) -> None:
        report = self.airflow.results(run, "evaluate")
        if run.state == "success" and not self._promoted(run):
            self.outcome.retrained = f"version {report['version']} passed its gates, and people rejected it"
        elif run.state == "success":
            self.outcome.champion = report
            self.outcome.retrained = f"version {report['version']} passed its gates and is champion"
        elif self.airflow.task_states(run).get("evaluate") == "failed":
            self.outcome.retrained = (
                f"its gates held the challenger back, the champion stays ({self.airflow.place(run)})"
            )
        else:
            raise SetupError(f"{run.dag} failed in run {run.id}; {self.airflow.place(run)}")

    def _change(self) -> injection.Injection:
        if self.outcome.change is None:
            raise SetupError("change_days() comes before this step.")
        return self.outcome.change

    def _backfill(self, title: str, stage: str, days: Sequence[date]) -> None:
        dag = self.plan.dag(stage)
        with self.steps.step(title, total=len(days)) as bar:
            number = self.airflow.backfill(dag, days, at_once=AT_ONCE)
            if number is not None:
                self.airflow.await_backfill(number, dag, days, bar=bar)

    def _ensure_days(
        self, title: str, stage: str, days: Sequence[date], *, since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Run]:  # fmt: skip
        """Return a successful run of each day, begun between `since` and `until`; wait for those that run.

        Those that miss are started one after the other: a day reads what the one before it has published.
        """
        dag = self.plan.dag(stage)
        found = {day: self.airflow.run_of_day(dag, day, since=since, until=until) for day in days}
        with self.steps.step(title, total=len(days)) as bar:
            return [
                self._ended(found[day] or self.airflow.trigger(dag, key=day), done, bar=bar, total=len(days))
                for done, day in enumerate(days)
            ]

    def _ended(self, run: Run, done: int, *, bar: Bar, total: int) -> Run:
        if total == 1:
            return self.airflow.await_success(run, bar=bar)
        bar.advance_to(done, total=total)
        return self.airflow.await_success(run)


def shop_of(case: UseCase, layout: Layout, settings: Settings) -> Shop:
    """Return where a use case's days come from: from the feed where it reads one, else from the replayed year."""
    begun = feed.read(layout)
    if begun is not None and feed.feeds_case(settings, case.name):
        return feed.Fed(layout, begun)
    return injection.Replayed(case, settings)


def plan_of(case: str, layout: Layout, settings: Settings) -> Plan:
    """Return the plan of a use case; where it reads the simulated shop, that begins to write, if it did not before."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    if not feed.feeds_case(settings, case):
        return Plan(load_use_case(case), yesterday)
    plan = Plan(load_use_case(case), yesterday, FED_DAYS)
    first = plan.built.start - timedelta(days=plan.case.features.lookback_days + 2)
    begun = feed.read(layout) or feed.Feed.beginning(first, yesterday=plan.yesterday, changed=plan.injected.start)
    stack.start_feed(layout, settings, begun)
    load_settings.cache_clear()
    # It stays about the days that it began with; the daily runs go on behind them.
    return Plan(load_use_case(case), begun.yesterday, FED_DAYS)


def run(settings: Settings, *, case: str, steps: Steps) -> Outcome:
    """Start the stack and walk the loop once; return what was found."""
    layout = stack.up(settings, steps=steps)
    load_settings.cache_clear()
    plan = plan_of(case, layout, load_settings())
    demo = Demo(plan, layout, steps, load_settings())
    demo.prepare()
    demo.build_days()
    demo.train_first()
    demo.score_days()
    demo.look_at_a_quiet_day()
    demo.change_days()
    demo.look_at_the_changed_day()
    demo.hold_against_the_truth()
    demo.acknowledge()
    demo.mend_days()
    demo.train_again()
    return demo.outcome
