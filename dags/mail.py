"""Send the mails that wait: after quiet hours, after a mail server was down, and the weekly digests.

|   |   |
|---|---|
| starts | every quarter of an hour |
| `send_mail` | writes what entries of the ledger ask for, sends what is due; **skipped** means: nothing was |

**Where `send_mail` fails** the server has refused mails; its log names them. They stay in the outbox, and the next run
tries again: look at the connection `smtp_default`. Nobody can be mailed about that; the Models page says it.
"""

from airflow.sdk import DAG, CronTriggerTimetable
from perennial_airflow import defaults
from perennial_airflow.governance import SendMailOperator

with DAG(
    dag_id="perennial__mail",
    dag_display_name="Perennial · mail",
    description="Mails that wait go out",
    schedule=CronTriggerTimetable("*/15 * * * *", timezone="UTC"),
    start_date=defaults.START,
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["perennial"],
    doc_md=__doc__,
):
    SendMailOperator(task_id="send_mail", task_display_name="Send what is due", retries=0)
