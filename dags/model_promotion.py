"""Promote a challenger that passes every gate of its use case, and that people approve where it wants them to.

|   |   |
|---|---|
| starts | on `<case>/challenger`, which `<case>__continuous_training` updates; by hand for the newest challenger |
| updates | `<case>/champion`; the ledger records who, when, what from and to, the gate report and the reason |
| `tell_decisions` | mails aliases that were moved by hand, and their return; **skipped** means: nothing to tell |
| `approve`, `tell_approvers` | where `approval` names people: waits for one of them; mails them the link, once |
| where a gate fails | the run fails at once, is not tried again, and the champion stays |

**Where `evaluate` fails** its log lists each gate with value, limit and margin. A failed gate needs no repair: the next
challenger gets its own chance. **Where `promote` fails** its log says why, and the ledger has the refusal.
**Where `approve` fails** the answer did not count, and its log says why; clear it to ask again. A rejection, also by
timeout, skips `promote`: the champion stays. Marking `approve` as successful by hand approves nothing.
"""

from airflow.sdk import DAG
from perennial.catalog import use_cases
from perennial_airflow import approval, assets, defaults
from perennial_airflow.governance import TellDecisionsOperator
from perennial_airflow.operators import EvaluateOperator, PromoteOperator

for case in use_cases():
    with DAG(
        **defaults.options(case, "model_promotion", title="3 promote by gates"),
        schedule=[assets.challenger(case)],
        max_active_runs=1,
        doc_md=__doc__,
    ):
        TellDecisionsOperator(task_id="tell_decisions", task_display_name="Watch the aliases", case=case.name)
        evaluate = EvaluateOperator(task_id="evaluate", task_display_name="Hold against the gates", case=case.name)
        promote = PromoteOperator(
            task_id="promote",
            task_display_name="Promote to champion",
            case=case.name,
            version=evaluate.output["version"],
            outlets=[assets.champion(case)],
        )
        approval.asked(case, evaluate.output["version"]) >> promote
