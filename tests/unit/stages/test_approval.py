"""Asking, answering and promoting by an answer: only a certain person's yes to a certain evaluation promotes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes import make_case
from perennial.approving import Answer, Asked
from perennial.errors import GateFailedError, MailError, RefusedError, SpecError
from perennial.io.questions import Places, form
from perennial.stages import approval, evaluate, promote
from worlds import NOW, World

RUN = "manual__1"
YES = Answer(("Approve",), "ann", "it earns more")


@pytest.fixture
def asking(reigning: World) -> World:
    """Return a world whose champion is version 1, where version 2 has passed its gates in a run that asks people."""
    reigning.case = make_case(approval={"approvers": ["ann", "bob"], "mail_to": ["board@example.org"]})
    reigning.train()
    look(reigning)
    return reigning


def look(world: World, *, run: str = RUN, who: str = "airflow") -> None:
    """Evaluate the challenger, as the DAG's run does."""
    evaluate.run(world.case, world.adapters, now=NOW, who=who, run=run)


def reply(world: World, answer: Answer = YES, *, starters: tuple[str, ...] = ("airflow",)):
    """Ask about version 2, and answer."""
    shown = approval.ask(world.case, "2", world.adapters, run=RUN).evaluated
    asked = Asked("2", shown.anchor, starters)
    return approval.run(world.case, answer, world.adapters, asked=asked, now=NOW, run=RUN)


def crown(world: World, *, run: str = RUN, days: int = 0):
    """Promote version 2."""
    later = NOW + timedelta(days=days)
    return promote.run(world.case, "2", world.adapters, who="airflow", reason="gates", now=later, run=run)


def refused(world: World) -> str:
    """Return the newest entry's reason, which is a refusal; the champion has stayed."""
    newest = world.adapters.ledger.history("toy", limit=1)[0]
    assert newest.action == "refused"
    assert world.adapters.ledger.champion("toy") == "1"
    assert world.adapters.registry.aliases("toy")["champion"] == "1"
    return newest.reason


def test_an_approved_version_is_promoted_in_the_name_of_who_approved_it(asking: World):
    """The ledger has the answer with what it is about, and the promotion with the answer's entry."""
    entry = reply(asking)
    record = crown(asking)

    assert (entry.action, entry.who, entry.reason, entry.run) == ("approved", "ann", "it earns more", RUN)
    assert entry.report["evaluation"] == asking.adapters.ledger.latest_evaluation("toy", version="2").anchor
    assert (record.version, record.previous, record.who) == ("2", "1", "ann")
    assert record.reason == f"it earns more (approved in entry {entry.id})"


def test_without_an_answer_nothing_is_promoted(asking: World):
    """A task that was marked as successful by hand has entered none; the refusal is in the ledger."""
    with pytest.raises(RefusedError, match=r"approval of ann, bob only.*start toy__model_promotion"):
        crown(asking)

    assert refused(asking).startswith("promotion: toy version 2 is promoted with the approval")


def test_an_answer_of_another_run_promotes_nothing(asking: World):
    """So a shell cannot either, whose runs ask nobody."""
    reply(asking)
    with pytest.raises(RefusedError, match="the ledger holds none of this run"):
        crown(asking, run="command line")

    assert "start toy__model_promotion" in refused(asking)


@pytest.mark.parametrize(
    ("answer", "starters", "said"),
    [
        (Answer((), None), ("airflow",), "the answer about toy is empty"),
        (Answer(("Approve",), None, "by nobody"), ("airflow",), "names nobody"),
        (Answer(("Approve",), "eve", "let me in"), ("airflow",), "eve may not approve"),
        (Answer(("Approve",), "ann", "mine"), ("airflow", "ann"), "ann started what led to"),
        (Answer(("Approve",), "ann", " "), ("airflow",), "without a reason"),
    ],
)
def test_an_answer_that_does_not_count_is_entered_as_refused(asking: World, answer, starters, said: str):
    """And promotes nothing afterwards."""
    with pytest.raises(RefusedError, match=said):
        reply(asking, answer, starters=starters)
    assert said in refused(asking)

    with pytest.raises(RefusedError, match="was not approved"):
        crown(asking)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(("Reject",), "eve", "too early"), "approval: rejected: too early"),
        (Answer(("Reject",), None), "approval: nobody answered in 3 days"),
    ],
)
def test_a_rejection_is_entered_and_raises_nothing(asking: World, answer: Answer, said: str):
    """By a person, or because time ran out; a rejection after an approval is the one that counts."""
    reply(asking)
    reply(asking, answer)

    assert refused(asking) == said
    with pytest.raises(RefusedError, match="was not approved"):
        crown(asking)


def test_who_asked_for_the_evaluation_does_not_approve_it(asking: World):
    """Whoever started the run is in the evaluation's entry too."""
    look(asking, who="ann")

    with pytest.raises(RefusedError, match="ann started what led to"):
        reply(asking)


def test_an_evaluation_after_the_question_makes_the_answer_worthless(asking: World):
    """People saw other figures: the same when it comes after the answer."""
    shown = approval.ask(asking.case, "2", asking.adapters, run=RUN).evaluated
    look(asking, run="command line")
    with pytest.raises(RefusedError, match=rf"evaluated again while people were asked.*they saw entry {shown.id}\."):
        approval.run(asking.case, YES, asking.adapters, asked=Asked("2", shown.anchor, ("airflow",)), now=NOW, run=RUN)
    look(asking)
    reply(asking)
    look(asking)

    with pytest.raises(RefusedError, match="by its evaluation"):
        crown(asking)


def test_another_version_is_not_promoted_by_the_approval(asking: World):
    """The run's approval is of version 2; version 3 has passed its gates as well."""
    reply(asking)
    asking.train()
    look(asking)

    with pytest.raises(RefusedError, match=r"approves toy version 2 .*would promote version 3"):
        promote.run(asking.case, "3", asking.adapters, who="airflow", reason="gates", now=NOW, run=RUN)
    assert "version 3" in refused(asking)


def test_a_stale_evaluation_is_not_promoted(asking: World):
    """Seven days by default; the day itself counts."""
    reply(asking)
    with pytest.raises(RefusedError, match="max_age_days 7"):
        crown(asking, days=8)
    assert "max_age_days" in refused(asking)

    assert crown(asking, days=7).version == "2"


def test_a_model_that_was_changed_after_its_approval_is_not_promoted(asking: World):
    """By its bytes: the registry gives another artifact under the same version."""
    reply(asking)
    asking.adapters.registry.forged["toy", "2"] = "0" * 64

    with pytest.raises(RefusedError, match="not the model that was evaluated"):
        crown(asking)
    assert "fingerprint 000000000000" in refused(asking)


def test_a_changed_model_is_not_promoted_without_people_either(reigning: World):
    """The gates have measured something else."""
    reigning.train()
    reigning.evaluate()
    reigning.adapters.registry.forged["toy", "2"] = "0" * 64

    with pytest.raises(RefusedError, match="not the model that was evaluated"):
        reigning.promote("2")


def test_nobody_is_asked_about_what_this_run_has_not_evaluated(asking: World):
    """Nor about what failed, nor where the use case asks nobody."""
    with pytest.raises(RefusedError, match="cannot be approved in another: its newest evaluation is of manual__1"):
        approval.ask(asking.case, "2", asking.adapters, run="another")
    with pytest.raises(RefusedError, match="its newest evaluation is not there"):
        approval.ask(asking.case, "9", asking.adapters, run=RUN)
    with pytest.raises(SpecError, match="toy asks nobody for approval: approval is 'automatic'"):
        approval.ask(make_case(), "2", asking.adapters, run=RUN)
    failing = [{"metric": "roc_auc", "at_least": 0.99}]
    asking.case = make_case(gates=failing, approval={"approvers": ["ann"]})
    look(asking)
    with pytest.raises(GateFailedError, match="failed 1 gate"):
        approval.ask(asking.case, "2", asking.adapters, run=RUN)


def places(question) -> Places:
    """Return the addresses of a question's pages."""
    return Places.of(question, airflow_url="http://af/", mlflow="http://ml/", answer="http://af/answer")


def test_the_form_says_what_will_change_by_which_gates_and_what_counts(asking: World):
    """Markdown with a table of the gates and links; the model's fingerprint is that of the evaluation."""
    question = approval.ask(asking.case, "2", asking.adapters, run=RUN)
    body = form(question, places(question))

    assert question.subject == "Promote toy version 2 to champion, in place of version 1?"
    assert "Champion now is version **1**. With your approval it is version **2**" in body
    for result in question.report.results:
        assert f"| {result.name} | {result.verdict} |" in body
    assert "[The version in MLflow](http://ml/#/models/toy/versions/2)" in body
    assert f"http://af/perennial/pages/{question.report.page}" in body
    assert "[Model card](http://af/perennial/pages/cards/toy/version-2.html)" in body
    assert question.evaluated.report["artifact"][:12] in body
    assert "ann, bob may answer, but not whoever started this run" in body
    assert "|---|---|---|---|---|\n| " in body


def test_an_mlflow_without_a_server_has_no_link(asking: World):
    """A file of a database cannot be opened in a browser."""
    question = approval.ask(asking.case, "2", asking.adapters, run=RUN)
    found = Places.of(question, airflow_url="http://af", mlflow="sqlite:///x.db", answer="http://af/answer")

    assert found.mlflow is None
    assert "MLflow" not in form(question, found)


def test_the_approvers_get_one_mail_with_the_link(asking: World):
    """Table, link, addresses of `mail_to`; the same question is not mailed twice, and a refused mail stays due."""
    question, sent = approval.ask(asking.case, "2", asking.adapters, run=RUN), []

    def refuse(mail) -> None:
        raise MailError("the server is down")

    with pytest.raises(MailError):
        approval.tell(question, places(question), asking.adapters, deliver=refuse, now=NOW)
    for _ in range(2):
        told = approval.tell(question, places(question), asking.adapters, deliver=sent.append, now=NOW)

    (mail,) = sent
    assert told is None
    assert mail.to == ("board@example.org",)
    assert mail.subject == "[Perennial] Promote toy version 2 to champion, in place of version 1?"
    assert 'href="http://af/answer"' in mail.html
    assert 'href="http://af/perennial/pages/cards/toy/version-2.html"' in mail.html
    assert "http://af/perennial/pages/cards/toy/version-2.html" in mail.text
    assert "<td" in mail.html
    assert "&lt;td" not in mail.html
    assert "http://af/answer" in mail.text
    assert question.report.summary() in mail.text


def test_a_dry_run_says_what_would_happen_and_changes_nothing(asking: World):
    """Who replaces whom, and who has to approve it where; no entry, no alias."""
    before = asking.adapters.ledger.history("toy"), asking.adapters.registry.aliases("toy")
    found = promote.preview(asking.case, "2", asking.adapters, now=NOW)
    stale = promote.preview(asking.case, "2", asking.adapters, now=NOW + timedelta(days=8))

    assert (found.version, found.champion, found.refused) == ("2", "1", None)
    assert (found.approvers, found.asked_by) == (("ann", "bob"), "toy__model_promotion")
    assert "max_age_days 7" in stale.refused
    assert (asking.adapters.ledger.history("toy"), asking.adapters.registry.aliases("toy")) == before


def test_a_dry_run_says_what_would_be_refused(reigning: World):
    """The champion itself, and a version that was never evaluated; nobody has to approve."""
    reigning.train()
    before = reigning.adapters.ledger.history("toy")
    same = promote.preview(reigning.case, "1", reigning.adapters, now=NOW)
    other = promote.preview(reigning.case, "2", reigning.adapters, now=NOW)

    assert same.refused == "toy version 1 is the champion already"
    assert "version 2 was never evaluated" in other.refused
    assert (other.approvers, other.asked_by) == ((), None)
    assert reigning.adapters.ledger.history("toy") == before
