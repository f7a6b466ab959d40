"""Build one UTC day of a use case: fetch and check its sources, then compute the features.

|   |   |
|---|---|
| starts | every midnight UTC for the day before; by hand with a partition key such as `2026-01-31`; by **Backfill** |
| updates | `<case>/features`, and in the lake `raw/<case>/*`, `quarantine/<case>/*`, `features/<case>` |
| run a day twice | safe: the same content makes no new version, other content replaces the day whole |

**Where `ingest` fails** the log names the source, the expectation and the rows. Nothing of that day was published, and
the last good partition stays. Put the source right, then clear the task. Rows that break a row-level expectation do not
fail the day: they lie in `quarantine/<case>/<source>` with their reasons.

**Where `features` fails with a leak** the SQL looked past the end of its day: the message names the columns.
"""

from airflow.sdk import DAG
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults
from perennial_airflow.operators import FeaturesOperator, IngestOperator

for case in use_cases():
    with DAG(
        **defaults.daily(case, "feature_build", title="1 build features"),
        schedule=defaults.DAILY,
        max_active_runs=8,
        doc_md=__doc__,
    ):
        ingest = IngestOperator(task_id="ingest", task_display_name="Ingest and validate", case=case.name)
        features = FeaturesOperator(
            task_id="features", task_display_name="Build features", case=case.name, outlets=[assets.features(case)]
        )
        ingest >> features
