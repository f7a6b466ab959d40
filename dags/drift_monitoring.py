"""Look at one UTC day of the champion: have its inputs, its scores or its performance changed?

|   |   |
|---|---|
| starts | every midnight UTC for the day before; by hand with a partition key such as `2026-01-31`; by **Backfill** |
| waits for | the day in `predictions/<case>`; looks first, and gives up its worker slot while it waits |
| before there is a champion | waits for nothing, and only looks at the sources; the finding says `no champion yet` |
| `alert` | mails the people in `alerts.to` when a finding opens; **skipped** means: nothing new to say |
| `request_retrain` | updates `<case>/retrain_request`; **skipped**: not wanted, its log says why |
| `start_training` | starts `<case>__continuous_training` with the reason; skipped with the request |
| backfills | write the record and the page of each day, but send no mail and ask for no retraining |

**Where `alert` fails** the mail server refused. The finding is in the ledger and on the Models page; the task tries
again, and after that clear it once `smtp_default` works.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults
from perennial_airflow.operators import AlertOperator, MonitorOperator, RequestRetrainOperator
from perennial_airflow.sensors import WaitForScoresOperator

for case in use_cases():
    with DAG(
        **defaults.options(case, "drift_monitoring", title="5 monitor"),
        schedule=defaults.DAILY,
        max_active_runs=8,
        doc_md=__doc__,
    ):
        wait_for_predictions = WaitForScoresOperator(
            task_id="wait_for_predictions", task_display_name="Wait for scores", case=case.name
        )
        monitor = MonitorOperator(task_id="monitor", task_display_name="Measure drift and performance", case=case.name)
        alert = AlertOperator(
            task_id="alert", task_display_name="Mail a finding", case=case.name, finding=monitor.output
        )
        request_retrain = RequestRetrainOperator(
            task_id="request_retrain",
            task_display_name="Ask for a new model",
            case=case.name,
            outlets=[assets.retrain_request(case)],
        )
        # The event of a run with a partition key starts no DAG without partitions, so the request starts it itself.
        start_training = TriggerDagRunOperator(
            task_id="start_training",
            task_display_name="Start the training",
            trigger_dag_id=f"{case.name}__continuous_training",
            conf={"reason": "{{ ti.xcom_pull(task_ids='request_retrain')['reason'] }}"},
        )
        wait_for_predictions >> monitor >> [alert, request_retrain]
        request_retrain >> start_training
