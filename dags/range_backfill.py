"""Build a long range of days in one run: first the plan, then its parts, then one summary.

|   |   |
|---|---|
| starts | by hand, with a form: first and last day, what, which days, dry run |
| `plan` | prints what would be touched: days missing, stale and fresh, models, rows, time, disk |
| dry run | the plan and nothing else |
| `raw`, `features`, `predictions` | one task a part, in the pool `perennial_backfill`: daily runs keep their slots |
| updates | only days that are missing or stale (or all, where the form says so); no other day is written |
| mails | one summary to the address in the form; promotes nothing, starts no other DAG |
| run it twice | safe: the second run finds nothing to do |

**Where a part fails** the days before the one that broke are published, and the message names that day. Put its cause
right and clear the task: parts and days that are done are not done again. **Airflow's own Backfill** of
`<case>__feature_build` gives the same partitions, one run a day.
"""

from airflow.sdk import DAG, Param
from perennial.catalog import use_cases
from perennial_airflow import defaults, ranges

for case in use_cases():
    with DAG(
        **defaults.by_hand(case, "backfill", title="build a range of days"),
        schedule=None,
        params={
            "first_day": Param(type="string", format="date", title="First day"),
            "last_day": Param(type="string", format="date", title="Last day"),
            "what": Param(
                ["features"],
                type="array",
                items={"type": "string", "enum": list(ranges.PRODUCTS)},
                examples=list(ranges.PRODUCTS),
                title="What (raw: read the sources of these days again)",
            ),
            "which": Param(
                "missing and stale", type="string", enum=["missing", "missing and stale", "all"], title="Which days"
            ),
            "dry_run": Param(default=False, type="boolean", title="Dry run: only the plan"),
            "mail_to": Param(None, type=["null", "string"], format="email", title="Mail the summary to"),
        },
        doc_md=__doc__,
    ):
        plan = ranges.PlanBackfillOperator(task_id="plan", case=case.name)
        options = {"case": case.name, "trigger_rule": "none_failed"}
        part = {**options, "pool": defaults.BACKFILL_POOL, "map_index_template": "{{ task.part }}"}
        raw = ranges.BackfillPartOperator.partial(task_id="raw", **part).expand(part=plan.output)
        more = ranges.RemainingPartsOperator(task_id="remaining_features", product="features", **options)
        features = ranges.BackfillPartOperator.partial(task_id="features", **part).expand(part=more.output)
        last = ranges.RemainingPartsOperator(task_id="remaining_predictions", product="predictions", **options)
        predictions = ranges.BackfillPartOperator.partial(task_id="predictions", **part).expand(part=last.output)
        summary = ranges.SummariseBackfillOperator(task_id="summary", case=case.name, trigger_rule="all_done")
        raw >> more >> features >> last >> predictions >> summary
