"""What is in the mails, and that whatever stands in them arrives as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from email import message_from_bytes, policy

import pytest
from perennial.io.mails import FailedRun, Links, compose, drift_picture, failure_mail, finding_mail, worst
from perennial.records import ColumnDrift, MonitorRecord

DAY = date(2026, 3, 4)
LINKS = Links.of("http://airflow.example.org/", run="http://airflow.example.org/dags/x/runs/y", report="drift/a b.html")


def column(name: str, psi: float | None, verdict: str = "drifted") -> ColumnDrift:
    """Return one column's finding."""
    return ColumnDrift(name, verdict, psi, psi, "wasserstein", f"detail of {name}")


@pytest.fixture
def finding() -> MonitorRecord:
    """Return a finding that is four days old."""
    columns = (
        column("spend", 0.4),
        column("visits", 1.2),
        column("age", None, "all null"),
        column("x", 0.01, "stable"),
    )
    return MonitorRecord(
        case="toy", day=DAY, model_version="3", verdict="drifted", reason="3 of 4 features drifted", drifted_share=0.75,
        score=column("score", 0.3), columns=columns, performance={"roc_auc": 0.712}, performance_window=None,
        since=date(2026, 3, 1), opens_alert=True, report="drift/a b.html",
    )  # fmt: skip


def test_a_finding_says_what_how_bad_since_when_and_what_to_do(shop, finding):
    """HTML and plain text say the same."""
    mail = finding_mail(shop, finding, LINKS)

    for text in (mail.html, mail.text):
        for said in ("3 of 4 features drifted", "75%", "0.712", "2026-03-01", "4 days", "version 3", "__feature_build"):
            assert said in text
        assert "http://airflow.example.org/perennial/pages/drift/a%20b.html" in text
        assert LINKS.run in text


def test_a_finding_escapes_what_comes_from_data(shop, finding):
    """Column names and reasons are data; in the HTML they are text."""
    nasty = replace(finding, reason="<img src=x onerror=alert(1)>", columns=(column("<b>&", 0.9),))

    html = finding_mail(shop, nasty, LINKS).html

    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "&lt;b&gt;&amp;" in html


def test_the_strongest_drift_comes_first_and_stable_columns_not_at_all(finding):
    """Columns without a measure come after those with one."""
    assert [each.column for each in worst(finding)] == ["visits", "spend", "age"]
    assert [each.column for each in worst(finding, most=1)] == ["visits"]


def test_what_is_left_out_is_counted(shop, finding):
    """Eight are listed, the rest is a number."""
    many = replace(finding, columns=tuple(column(f"c{i:02}", 1 + i / 10) for i in range(11)))

    assert "3 more column(s) changed" in finding_mail(shop, many, LINKS).text


@pytest.mark.parametrize("columns", [(), (column("age", None, "all null"),), (column("x" * 60, 9e9),)])
def test_the_picture_can_always_be_drawn(finding, columns):
    """No columns, none with a measure, and one beyond all bounds: a PNG small enough for a mail."""
    png = drift_picture(replace(finding, columns=columns))

    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000


def test_a_message_survives_its_way_over_the_wire(shop, finding):
    """Umlauts, long lines and the picture come out as they went in."""
    mail = replace(finding_mail(shop, finding, LINKS), text="Größe " * 400, subject="Größe")

    seen = message_from_bytes(compose(mail, sender="a@example.org", sent_at=0.0).as_bytes(), policy=policy.default)

    assert seen["Subject"] == "Größe"
    assert seen["Date"] == "Thu, 01 Jan 1970 00:00:00 -0000"
    assert seen.get_body(("plain",)).get_content().strip() == ("Größe " * 400).strip()
    assert next(part for part in seen.walk() if part.get_content_type() == "image/png")["Content-ID"] == "<drift>"


def test_a_run_id_cannot_add_headers():
    """A line break in what becomes the subject is a blank."""
    run = FailedRun("toy__x\nBcc: everyone@example.org", "toy", "r", "2026-03-01", "task failure")

    message = compose(failure_mail(("a@example.org",), run, LINKS), sender="b@example.org")

    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]


def test_a_failure_without_a_day_or_a_task_reads_well():
    """Neither "None" nor an empty bracket."""
    mail = failure_mail(("a@example.org",), FailedRun("toy__t", "toy · 2 train", "r", None, "task failure"), LINKS)

    assert mail.subject == "[Perennial] failed: toy__t"
    assert "None" not in mail.html + mail.text
    assert mail.text.startswith("toy · 2 train failed\n")
