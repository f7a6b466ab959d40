"""Free what the lake holds for nobody.

|   |   |
|---|---|
| starts | every Sunday, 03:00 UTC; by hand, with a form: how many days to keep, dry run |
| deletes | files that were replaced `keep_days` ago or earlier and that nobody needs |
| keeps | the newest version of each table, what champions and the challenger were trained on, every commit |
| reports | files and bytes by table, with the versions that are pinned, in the log and as XCom |
| run it twice | safe: the second run finds nothing to do |

**Where it fails** a manifest could not be read or the ledger does not answer: nothing is deleted before it is known
what is needed. Mend that, and clear the task.
"""

from airflow.sdk import DAG, Param
from perennial.catalog import use_cases
from perennial_airflow import defaults, ranges

for case in use_cases():
    with DAG(
        **defaults.options(case, "lake_maintenance", title="free disk"),
        schedule="0 3 * * 0",
        max_active_runs=1,
        params={
            "keep_days": Param(30, type="integer", minimum=0, title="Keep what was replaced within so many days"),
            "dry_run": Param(default=False, type="boolean", title="Dry run: only say what would go"),
        },
        doc_md=__doc__,
    ):
        ranges.MaintainOperator(task_id="maintain", task_display_name="Vacuum", case=case.name)
