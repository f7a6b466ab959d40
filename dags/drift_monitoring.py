"""Look at one UTC day of the champion: have its inputs, its scores or its performance changed?

|   |   |
|---|---|
| starts | every midnight UTC for the day before; by hand with a partition key such as `2026-01-31`; by **Backfill** |
| waits for | the day in `predictions/<case>`; looks first, and gives up its worker slot while it waits |
| before there is a champion | waits for nothing, and only looks at the sources; the finding says `no champion yet` |
| `alert` | opens, follows or ends an incident, and mails it; **skipped** means: nothing new to say |
| `request_retrain` | updates `<case>/retrain_request`; **skipped**: not wanted, its log says why |
| `watch_probation` | rolls a new champion back that fails its probation, and mails it; **skipped**: its log says why |
| `start_training` | starts `<case>__continuous_training` with the reason; skipped with the request |
| backfills | write record and page of each day; raise no incident, mail nobody, roll nothing back, ask for nothing |
| deadline | `alerts.deadline_hours`: a run that is not done by then is an incident |

A mail server that is down fails nothing here: mails wait in the outbox, and `perennial__mail` sends them.
**Where `watch_probation` fails** a champion has failed its probation and could not be rolled back; the message says
why. Roll back to another version: `<case>__rollback`.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults
from perennial_airflow.operators import AlertOperator, MonitorOperator, RequestRetrainOperator
from perennial_airflow.probation import WatchProbationOperator
from perennial_airflow.sensors import WaitForScoresOperator

for case in use_cases():
    with DAG(
        **defaults.daily(case, "drift_monitoring", title="5 monitor"),
        schedule=defaults.DAILY,
        max_active_runs=8,
        doc_md=__doc__,
    ):
        wait_for_predictions = WaitForScoresOperator(
            task_id="wait_for_predictions", task_display_name="Wait for scores", case=case.name
        )
        monitor = MonitorOperator(task_id="monitor", task_display_name="Measure drift and performance", case=case.name)
        request_retrain = RequestRetrainOperator(
            task_id="request_retrain",
            task_display_name="Ask for a new model",
            case=case.name,
            outlets=[assets.retrain_request(case)],
        )
        # After the request, whatever became of it: the mail says what was done by itself.
        alert = AlertOperator(
            task_id="alert",
            task_display_name="Open, follow or end an incident",
            case=case.name,
            trigger_rule="all_done",
        )
        # The event of a run with a partition key starts no DAG without partitions, so the request starts it itself.
        start_training = TriggerDagRunOperator(
            task_id="start_training",
            task_display_name="Start the training",
            trigger_dag_id=f"{case.name}__continuous_training",
            conf={"reason": "{{ ti.xcom_pull(task_ids='request_retrain')['why'] }}"},
        )
        watch_probation = WatchProbationOperator(
            task_id="watch_probation",
            task_display_name="Watch the probation",
            case=case.name,
            outlets=[assets.champion(case)],
        )
        wait_for_predictions >> watch_probation
        wait_for_predictions >> monitor >> request_retrain >> [alert, start_training]
