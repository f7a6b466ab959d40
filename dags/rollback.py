"""Make a former champion the champion again, at once.

|   |   |
|---|---|
| starts | by hand, with a form: to which version, and why |
| `rollback` | checks everything first, enters the decision in the ledger, moves the aliases |
| waits for | nothing: trainings and promotions may run; of two decisions at the same time the ledger takes the first |
| updates | `<case>/champion`; the version that is left does not come back by its old gate report |
| `tell` | one mail to the people in `alerts.to`: who, from what, to what, why |

**Where `rollback` fails** nothing has changed, and its log says why: no such version, it never was champion, its
artifact is gone, it does not fit today's features, or another decision was faster. `perennial ledger show` lists the
decisions so far.
**Where `tell` fails** the rollback is done; clear the task once `smtp_default` works, or let the next daily run tell.
"""

from airflow.sdk import DAG, Param
from perennial.catalog import use_cases
from perennial_airflow import assets, defaults, governance

for case in use_cases():
    with DAG(
        **defaults.at_once(case, "rollback", title="roll back"),
        schedule=None,
        params={
            "to_version": Param(type="string", pattern=r"^\s*[0-9]+\s*$", title="To which version"),
            "reason": Param(type="string", minLength=1, title="Why (kept in the ledger, and mailed)"),
        },
        doc_md=__doc__,
    ):
        rollback = governance.RollbackOperator(
            task_id="rollback", task_display_name="Roll back", case=case.name, outlets=[assets.champion(case)],
            priority_weight=defaults.FIRST,
        )  # fmt: skip
        tell = governance.TellDecisionsOperator(
            task_id="tell", task_display_name="Tell everyone concerned", case=case.name, priority_weight=defaults.FIRST
        )
        rollback >> tell
