"""What is in the mails, and that whatever stands in them arrives as text."""

from __future__ import annotations

from email import message_from_bytes, policy

from perennial.io.mails import FailedRun, Links, Mail, compose, failure_mail

LINKS = Links.of("http://airflow.example.org/", run="http://airflow.example.org/dags/x/runs/y", report="drift/a b.html")


RUN = FailedRun("toy__train", "toy · 2 train", "run 7", "2026-03-04", "task failure", "train", "DataError: <b> & co")
PNG = b"\x89PNG" + bytes(range(256)) * 40


def test_a_failure_says_what_happened_and_escapes_it():
    """HTML and plain text say the same; errors are data."""
    mail = failure_mail(("a@example.org",), RUN, LINKS)

    assert "DataError: &lt;b&gt; &amp; co" in mail.html
    assert "DataError: <b> & co" in mail.text
    assert LINKS.run in mail.html
    assert LINKS.run in mail.text


def test_a_message_survives_its_way_over_the_wire():
    """Umlauts, long lines and the picture come out as they went in."""
    mail = Mail(("a@example.org",), "Größe", "<p>Größe</p>", "Größe " * 400, {"drift": PNG}, "<1@x>", "<0@x>")

    seen = message_from_bytes(compose(mail, sender="a@example.org", sent_at=0.0).as_bytes(), policy=policy.default)

    assert seen["Subject"] == "Größe"
    assert seen["Date"] == "Thu, 01 Jan 1970 00:00:00 -0000"
    assert seen.get_body(("plain",)).get_content().strip() == ("Größe " * 400).strip()
    assert next(part for part in seen.walk() if part.get_content_type() == "image/png")["Content-ID"] == "<drift>"
    assert next(part for part in seen.walk() if part.get_content_type() == "image/png").get_content() == PNG
    assert (seen["Message-ID"], seen["In-Reply-To"], seen["References"]) == ("<1@x>", "<0@x>", "<0@x>")


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
