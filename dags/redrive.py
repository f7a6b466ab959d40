"""Publish rows that were in quarantine, after a fix of the suite or of the source.

|   |   |
|---|---|
| starts | by hand, with a form: source, days, part of a reason, and how |
| *check the kept rows again* | after a change of `suite.json`: each kept row is held against the suite as it is now |
| *read the corrected source again* | after a correction at the source: days with refused rows are read again first |
| updates | `raw/<case>/<source>`: a row that passes is published in its own day, once, with a trace of where it was |
| what then | the log also names the snapshots that are stale now; `<case>__backfill` builds them again |

Rows that still do not pass stay in quarantine with the reasons for which they were refused. The log counts by source
and day the rows that were asked for, those that were re-driven, and all of that day that are in quarantine now. To take
rows out for good, with a reason that is kept: `perennial quarantine discard`.
"""

from airflow.sdk import DAG, Param
from perennial.catalog import use_cases
from perennial_airflow import defaults, ranges

for case in use_cases():
    with DAG(
        **defaults.by_hand(case, "redrive", title="re-drive refused rows"),
        schedule=None,
        params={
            "source": Param(
                ranges.ALL_SOURCES,
                type="string",
                enum=[ranges.ALL_SOURCES, *(source.name for source in case.sources)],
                title="Source",
            ),
            "first_day": Param(None, type=["null", "string"], format="date", title="First day (empty: the oldest)"),
            "last_day": Param(None, type=["null", "string"], format="date", title="Last day (empty: the newest)"),
            "because": Param(None, type=["null", "string"], title="Only rows with this text in a reason"),
            "how": Param(
                ranges.CHECK_AGAIN, type="string", enum=[ranges.CHECK_AGAIN, ranges.READ_AGAIN], title="What was fixed"
            ),
            "reason": Param(None, type=["null", "string"], title="Why (kept with the rows)"),
        },
        doc_md=__doc__,
    ):
        ranges.RedriveOperator(task_id="redrive", task_display_name="Re-drive", case=case.name)
