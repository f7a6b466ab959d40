"""Score one UTC day with the champion.

|   |   |
|---|---|
| starts | every midnight UTC for the day before; by hand with a partition key such as `2026-01-31`; by **Backfill** |
| waits for | the day in `features/<case>`; looks first, and gives up its worker slot while it waits |
| updates | `<case>/predictions`, and in the lake `predictions/<case>` with the model version of every row |
| `tell_decisions` | mails rollbacks, aliases moved by hand and their return; **skipped** means: nothing to tell |
| run a day twice | safe: the same model on the same features makes no new version |

**Where `wait_for_features` fails** the day was not built in twelve hours: see `<case>__feature_build`, then clear this
task. **Where `score` is skipped** there is no champion yet: see `<case>__model_promotion`, and clear the task after.
**Where `score` fails because an alias was moved** the mail says how to go on.
"""

from airflow.sdk import DAG
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults
from perennial_airflow.governance import TellDecisionsOperator
from perennial_airflow.operators import ScoreOperator
from perennial_airflow.sensors import WaitForDayOperator

for case in use_cases():
    with DAG(
        **defaults.daily(case, "batch_scoring", title="4 score"),
        schedule=defaults.DAILY,
        max_active_runs=8,
        doc_md=__doc__,
    ):
        TellDecisionsOperator(task_id="tell_decisions", task_display_name="Watch the aliases", case=case.name)
        wait_for_features = WaitForDayOperator(
            task_id="wait_for_features", task_display_name="Wait for features", case=case.name, table="features_table"
        )
        score = ScoreOperator(
            task_id="score", task_display_name="Score", case=case.name, outlets=[assets.predictions(case)]
        )
        wait_for_features >> score
