"""Train a challenger on matured labels; whether it replaces the champion is for its gates to say.

|   |   |
|---|---|
| starts | on the cron of the use case (`training.cron`), when `<case>__drift_monitoring` asks, or by hand |
| parameter | `as_of`: the day to train as of, such as `2026-01-31`; empty means the newest published feature day |
| updates | `<case>/challenger`, which starts `<case>__model_promotion` |

**Where `train` fails** the champion stays and goes on scoring. *Too few rows* or *one class only*: more feature days
are needed, see the message for how many. *The registry does not answer*: the task tries again by itself; see that
MLflow is up. Training again as of the same day gives a new version with the same content.
"""

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults
from perennial_airflow.operators import TrainOperator

for case in use_cases():
    with DAG(
        **defaults.options(case, "continuous_training", title="2 train a challenger"),
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(case.training.cron, timezone="UTC"), assets=assets.retrain_request(case)
        ),
        params={"as_of": Param(None, type=["null", "string"], format="date", title="Train as of (empty: newest day)")},
        max_active_runs=1,
        doc_md=__doc__,
    ):
        TrainOperator(
            task_id="train", task_display_name="Train a challenger", case=case.name, outlets=[assets.challenger(case)]
        )
