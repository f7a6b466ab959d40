"""What an approval has to be: each thing that makes it none is refused, with its name and the next step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes import make_case
from perennial import approving
from perennial.approving import Answer
from perennial.errors import RefusedError
from perennial.io.entries import Entry

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
CASE = make_case(approval={"approvers": ["ann", "bob"], "max_age_days": 7})
RULES = CASE.human_approval
EVALUATED = Entry("toy", NOW, "evaluated", "airflow", "passed", "r", "1", "2", report={"artifact": "f" * 64}, id=5)
EVALUATED = replace(EVALUATED, hash="a" * 64)
APPROVED = Entry(
    "toy", NOW, "approved", "ann", "it earns more", "r", "1", "2", id=6,
    report={"evaluation": EVALUATED.anchor, "starters": ["cid"]},
)  # fmt: skip
YES = Answer(("Approve",), "ann", "it earns more")


def test_an_approval_with_a_reason_by_somebody_else_counts():
    """Nothing is refused, and the entry is the one to promote by."""
    approving.refuse_answer(CASE, RULES, YES, starters={"airflow", "bob"})

    assert approving.refuse_unapproved(CASE, RULES, EVALUATED, APPROVED) is APPROVED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer((), None), "the answer about toy is empty, not Approve"),
        (Answer(("Approve", "Reject"), "ann", "both"), "is Approve, Reject, not Approve"),
        (Answer(("Approve",), None, "by default"), "names nobody who gave it; ann, bob may"),
        (Answer(("Approve",), "", "nobody"), "names nobody who gave it"),
        (Answer(("Approve",), "eve", "let me in"), "eve may not approve a promotion of toy; ann, bob may"),
        (Answer(("Approve",), "Ann", "another case"), "Ann may not approve"),
        (Answer(("Approve",), "bob", "mine"), "bob started what led to this promotion .*four_eyes"),
        (Answer(("Approve",), "ann", " \n "), "ann approved a promotion of toy without a reason"),
    ],
)
def test_what_is_no_approval_is_refused(answer: Answer, said: str):
    """Says what was wrong, and how to ask again."""
    with pytest.raises(RefusedError, match=said) as refused:
        approving.refuse_answer(CASE, RULES, answer, starters={"bob"})

    assert "Clear the task `approve` of toy__model_promotion to ask again" in str(refused.value)


def test_where_two_eyes_are_enough_the_starter_may_approve():
    """`four_eyes: false` says so."""
    case = make_case(approval={"approvers": ["ann"], "four_eyes": False})
    approving.refuse_answer(case, case.human_approval, YES, starters={"ann"})


@pytest.mark.parametrize(("age", "fresh"), [(timedelta(days=7), True), (timedelta(days=7, seconds=1), False)])
def test_an_evaluation_of_just_the_greatest_age_counts(age: timedelta, fresh: bool):  # noqa: FBT001
    """A second more is too old."""
    if fresh:
        approving.refuse_stale(CASE, RULES, EVALUATED, now=NOW + age)
        return
    with pytest.raises(
        RefusedError, match=r"evaluated at 2026-03-09 12:00 UTC \(entry 5\), more than .*max_age_days 7"
    ):
        approving.refuse_stale(CASE, RULES, EVALUATED, now=NOW + age)


def test_a_model_that_has_changed_since_is_refused():
    """Its fingerprint is not the one that was measured; where it is, nothing is said."""
    approving.refuse_changed(CASE, "2", EVALUATED, fingerprint="f" * 64)

    with pytest.raises(
        RefusedError, match=r"not the model that was evaluated.*fingerprint 0000.*entry 5 measured ffff"
    ):
        approving.refuse_changed(CASE, "2", EVALUATED, fingerprint="0" * 64)


def test_an_evaluation_without_a_fingerprint_is_enough_for_gates_and_not_for_people():
    """Earlier versions kept none; people approve a certain model."""
    old = replace(EVALUATED, report={})
    approving.refuse_changed(make_case(), "2", old, fingerprint="f" * 64)

    with pytest.raises(RefusedError, match="entry 5 measured none"):
        approving.refuse_changed(CASE, "2", old, fingerprint="f" * 64)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"action": "refused", "reason": "approval: rejected: too early"}, r"not approved \(entry 6\): .*too early"),
        ({"to_version": "3"}, "approves toy version 3 by its evaluation 5, and this would promote version 2"),
        ({"report": {"evaluation": "4:" + "b" * 64}}, "by its evaluation 4, and this would promote version 2 by .* 5"),
        ({"report": {"evaluation": "5:" + "b" * 64}}, "by its evaluation 5, and this would"),
        ({"report": {}}, "by its evaluation none"),
        ({"who": "eve"}, "eve may not approve"),
        ({"who": "bob", "report": APPROVED.report | {"starters": ["bob"]}}, "bob started what led to"),
        ({"reason": ""}, "without a reason"),
    ],
)
def test_an_entry_that_is_no_approval_of_this_evaluation_is_refused(changed: dict, said: str):
    """Promotion trusts no entry either: another version, another evaluation, and who is not on the list any more."""
    with pytest.raises(RefusedError, match=said):
        approving.refuse_unapproved(CASE, RULES, EVALUATED, replace(APPROVED, **changed))


def test_who_asked_for_the_evaluation_does_not_approve_it():
    """Four eyes hold for a shell as well."""
    with pytest.raises(RefusedError, match="ann started what led to"):
        approving.refuse_unapproved(CASE, RULES, replace(EVALUATED, who="ann"), APPROVED)


def test_without_an_approval_the_dag_that_asks_is_named():
    """A task that was marked by hand has left no entry."""
    with pytest.raises(RefusedError, match=r"approval of ann, bob only.*start toy__model_promotion.*approves nothing"):
        approving.refuse_unapproved(CASE, RULES, EVALUATED, None)
