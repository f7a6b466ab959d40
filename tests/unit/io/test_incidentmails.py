"""The mails of an incident: results with intervals, pictures, both parts complete, and headers that stay one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from fakes import make_case
from incidents import finding
from perennial.incidents import KINDS, Incident
from perennial.io.entries import Entry
from perennial.io.incidentmails import Facts, Mover, incident_mail
from perennial.io.mails import Links, Mail, compose
from perennial.records import Measure
from perennial.stages.movers import _picture

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = date(2026, 3, 1)
LINKS = Links.of("http://airflow", run="http://airflow/run", report="drift/toy/x.html", section="world changed")
PNG = b"\x89PNG"


def mail_about(facts: Facts = Facts(), case: Any = None, **fields: Any) -> Mail:  # noqa: B008  frozen
    """Return the opening mail of an incident."""
    known = {"kind": "world changed", "severity": "warning", "reason": "All has moved.", "version": "3"} | fields
    incident = Incident(7, "toy", "world changed", since=date(2026, 2, 27), opened_at=AT, cases=("toy",), **known)
    entry = Entry("toy", AT, "incident opened", "airflow", incident.reason, "run 1", id=7, day=DAY, hash="f" * 64)
    to = ("ops@example.org",)
    return incident_mail(case or make_case(), incident, opening=entry, entry=entry, facts=facts, links=LINKS, to=to)


def test_results_are_told_in_money_first_with_their_intervals():
    """What has none is told without, what is not known not at all."""
    measures = (
        Measure("performance", "roc_auc", "it", 0.71, 0.65, 0.77, limit=0.6),
        Measure("estimate", "roc_auc", "it", 0.7, 0.5, None, limit=0.6),
        Measure("calibration", "champion", "slope", None),
        Measure("value", "profit", "per 1,000", -12.5, -20.0, -3.0, limit=0.0),
        Measure("inputs", "spend", "PSI", 0.9),
    )
    mail = mail_about(Facts(replace(finding(DAY), measures=measures)))

    for text in (mail.text, mail.html):
        assert text.index("profit, per 1,000") < text.index("ROC AUC") < text.index("estimated ROC AUC")
        assert "-12.5 (-20 to -3)" in text
        assert "0.71 (0.65 to 0.77)" in text
        assert "slope" not in text


def test_a_mover_without_a_picture_is_told_in_words():
    """And the others keep their places in the page."""
    movers = (Mover("spend", "drifted: PSI 0.61", PNG), Mover("gone", "missing column"), Mover("kind", "drifted", PNG))
    mail = mail_about(Facts(movers=movers))

    assert set(mail.pictures) == {"mover0", "mover2"}
    assert 'src="cid:mover0"' in mail.html
    assert "cid:mover1" not in mail.html
    assert "- gone: missing column" in mail.text


@pytest.mark.parametrize(
    ("name", "reference", "current", "drawn"),
    [
        ("spend", [1.0, 2.0, 3.0], [2.0, None, float("nan")], True),
        ("spend", [1.0, 2.0, 3.0], [None, None, None], False),
        ("spend", [1.0, 2.0, 3.0], [float("inf")] * 3, False),
        ("spend", [1.0, 2.0, 3.0], ["a", "b", None], True),
        ("segment", ["a", "b", "a"], ["a", "c", None], True),
        ("segment", ["a", "b", "a"], [None, None, None], True),
        ("segment", ["a", "b", "a"], [], True),
    ],
)
def test_a_picture_is_drawn_where_there_is_something_to_draw(name: str, reference: list, current: list, drawn: bool):  # noqa: FBT001  a parameter
    """Numbers, texts, nothing but nulls, another type than before: never an error."""
    kind = (
        pa.float64() if all(each is None or isinstance(each, float) for each in current) and name == "spend" else None
    )
    kind = pa.string() if kind is None else kind
    sides = pa.table({name: reference}), pa.table({name: pa.array(current, kind)})
    picture = _picture(make_case(), name, *sides)

    assert (picture is not None) is drawn
    assert picture is None or picture.startswith(PNG)


def test_a_column_that_a_side_does_not_have_has_no_picture():
    """A missing column is told in words."""
    assert _picture(make_case(), "spend", pa.table({"spend": [1.0]}), pa.table({"other": [1.0]})) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_says_what_the_page_says(kind: str):
    """What, since when, how bad, what was done, what to do, and every link."""
    mail = mail_about(Facts(finding(DAY), done=("retrained.",), error="LakeError: no disk"), kind=kind, parts=("a.b",))

    for part in (
        "All has moved.", "Since 2026-02-27, 3 days; champion version 3; seen on 2026-03-01 (UTC).",
        "LakeError: no disk", "retrained.", "7:ffff", LINKS.run, LINKS.runbook, LINKS.report, LINKS.models,
    ):  # fmt: skip
        assert part in mail.text
        assert part in mail.html
    assert "Failing: a.b." in mail.text
    assert "{" not in mail.text


def test_line_breaks_in_names_make_no_headers():
    """Neither a subject nor what is composed of it has a second line; the body keeps them as text."""
    case = make_case().model_copy(update={"name": "toy\r\nBcc: everyone@example.org"})
    message = compose(mail_about(case=case, reason="x\r\nBcc: you@example.org"), sender="p@example.org")

    assert message["Bcc"] is None
    assert message["Subject"] == "[Perennial] toy Bcc: everyone@example.org: world changed since 2026-02-27"
    assert b"\nBcc:" not in message.as_bytes().partition(b"\n\n")[0]
