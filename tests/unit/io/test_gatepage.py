"""The page and the mail's table of a gate report."""

from __future__ import annotations

from datetime import date

from perennial.io import gatepage
from perennial.records import Window
from perennial.verdicts import GatePart, GateReport, GateResult

DAY = date(2026, 3, 1)
RESULTS = (
    GateResult("roc_auc at least", 0.8, 0.7, 0.1),
    GateResult(
        "gain <of> it", -0.02, -0.01, -0.01, "2 % & more", low=-0.02, high=0.03,
        power=0.4, unsure=True, rows_needed=12_345,
    ),
    GateResult(
        "slices", 0.01, 0.1, -0.09, mode="dry_run", parts=(GatePart("town west", -0.2, 300, low=-0.3, high=-0.1),)
    ),
)  # fmt: skip
REPORT = GateReport("toy", "7", "5", DAY, RESULTS, {}, Window.of_day(DAY), 4000)


def test_the_page_shows_every_gate_with_its_verdict_interval_and_parts():
    """Values are escaped, pictures lie in the file itself, and nothing is loaded from elsewhere."""
    html = gatepage.page(REPORT, title="Who comes back?", pictures={"calibration": b"png"})

    assert "Held back by 1 of 3 gates." in html
    assert "gain &lt;of&gt; it" in html
    assert "12,345 rows would do" in html
    assert "town west" in html
    assert "data:image/png;base64,cG5n" in html
    assert html.count("<svg") == 1
    assert "http" not in html


def test_the_mails_table_has_verdicts_in_words_and_styles_of_its_own():
    """Mail programs know no style sheets."""
    html = gatepage.mail_table(REPORT)

    assert html.count("<tr>") == 1 + len(RESULTS)
    assert "cannot tell: 12,345 rows would do" in html
    assert "slices (dry run)" in html
    assert "class=" not in html


def test_another_champion_is_another_page():
    """A version that is evaluated again keeps what it was told before."""
    assert gatepage.path(REPORT) == "gates/toy/version-7-against-5.html"
