"""Both files of a model card: what they show, and that no name in them becomes anything else than text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from card_facts import COST, entry, evaluated, made, manifest
from fakes import make_case
from perennial.cards import Card, Rate
from perennial.io import cardpage
from perennial.verdicts import GatePart, GateResult

HOSTILE = "<script>alert(1)</script> | x\n\n# [a](javascript:b) ![c](http://d) `e`"
SECTIONS = ["Purpose", "Limits", "Data", "Features", "Model", "Metrics", "Slices", "Fairness", "Calibration", "Gates",
            "Decisions", "Reproduction", "Cost"]  # fmt: skip
TRAINED = entry("trained", 1, report=manifest() | {"cost": COST})


class Tags(HTMLParser):
    """Collects the tags of a page and where they lead to, and checks that each is closed."""

    VOID = ("meta", "img", "br", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.leads: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.found.append(tag)
        self.leads += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag."""
        if tag not in self.VOID:
            assert self.open.pop() == tag


def hostile() -> Card:
    """Return a card in which whatever can be named is named in a hostile way."""
    bad = GateResult(f"{HOSTILE} by town against champion", 0.1, 0.2, -0.1, HOSTILE,
                     parts=(GatePart(HOSTILE, 0.1, 300, low=0.0, high=0.2, detail=HOSTILE),))  # fmt: skip
    words = {"owner": HOSTILE, "purpose": HOSTILE, "intended_use": HOSTILE, "limits": [HOSTILE]}
    case = make_case(title=HOSTILE, card=words)
    winner = {"name": HOSTILE, "estimator": HOSTILE, "params": {HOSTILE: HOSTILE}, "searched": {"trials": 2}}
    kept = manifest(
        winner=winner, code=HOSTILE, features={"numeric": [HOSTILE], "categorical": [HOSTILE]},
        data_versions={HOSTILE: 1}, libraries={HOSTILE: HOSTILE},
    )  # fmt: skip
    answer = entry("approved", 3, who=HOSTILE, reason=HOSTILE, run=HOSTILE)
    return made(TRAINED, evaluated(bad), answer, today=case, manifest=kept)


def rows(markdown: str) -> list[str]:
    """Return the lines of all tables."""
    return [line for line in markdown.splitlines() if line.startswith("|")]


def test_the_page_is_whole_by_itself():
    """No script, no style sheet, no picture from elsewhere; sections with headings, and a picture inside."""
    html = cardpage.page(made(TRAINED, evaluated()), calibration=b"png")
    tags = Tags(html)

    assert not {"script", "link", "iframe", "object"} & set(tags.found)
    assert tags.open == []
    assert [lead for lead in tags.leads if not lead.startswith(("#", "data:image/png"))] == [
        "../../gates/toy/version-2-against-1.html"
    ]
    assert re.findall(r'<h2 id="\w+">(\w+)</h2>', html) == SECTIONS
    assert "data:image/png;base64,cG5n" in html
    assert "prefers-color-scheme: dark" in html


def test_both_files_say_the_same():
    """Words, limits, intervals, verdicts, entries with the beginning of their hash, and cost."""
    card = made(TRAINED, evaluated(), entry("promoted", 3, who="ann"), rate=Rate(0.05, "EUR"))
    for text in (cardpage.page(card, calibration=None), cardpage.markdown(card, airflow_url="http://airflow")):
        for expected in (
            "Who comes back?", "marketing@example.org", "Knows one town only.", "Nobody has reproduced it yet.",
            "0.77 to 0.83", "features/toy", "2026-01-24", "1,350", "ann", "2026-03-01 12:00 UTC", "0" * 12, "2.0 h",
            "EUR", "CPU hour", "perennial reproduce toy@2", "Champion", "by entry 3",
        ):  # fmt: skip
            assert expected in text


def test_markdown_leads_to_airflow():
    """It may lie anywhere, so its addresses are whole."""
    text = cardpage.markdown(made(TRAINED, evaluated()), airflow_url="http://airflow/")

    assert "(http://airflow/perennial/pages/cards/toy/version-2.html)" in text
    assert "(http://airflow/perennial/pages/gates/toy/version-2-against-1.html)" in text


def test_no_name_becomes_a_tag():
    """Everything that somebody may have named is text on the page."""
    html = cardpage.page(hostile(), calibration=None)

    assert "script" not in Tags(html).found
    assert "javascript:" not in "".join(Tags(html).leads)
    assert "&lt;script&gt;" in html


def test_no_name_becomes_markup_or_another_column():
    """In Markdown a pipe, a line break, a tag or a link would; each table keeps its columns."""
    text = cardpage.markdown(hostile(), airflow_url="http://airflow")

    assert "<script" not in text
    assert "\n# [" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in rows(text)]
    heads = [place for place, line in enumerate(rows(text)) if set(line) <= set("|-")]
    for head, following in zip(heads, [*(place - 1 for place in heads[1:]), len(widths)], strict=True):
        assert set(widths[head - 1 : following]) == {widths[head]}


@pytest.mark.parametrize("entries", [(TRAINED,), (TRAINED, evaluated(champion=None, metrics={}))])
def test_what_is_not_there_is_said(entries):
    """No gates, or no champion, no slices, no groups, no decision, no receipt, no rate."""
    text = cardpage.markdown(made(*entries), airflow_url="http://airflow")

    for expected in ("No slices were compared", "No gate compares groups", "Nobody has decided", "Not reproduced yet"):
        assert expected in text
    assert "CPU hour" not in text
    assert "USD" not in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {name}" for name in SECTIONS]


def test_a_tiny_cost_is_not_shown_as_nothing():
    """A second of compute costs a millionth of the rate and more."""
    short = entry("trained", 1, report=manifest() | {"cost": COST | {"compute_seconds": 1.0}})

    assert "under 0.0001" in cardpage.markdown(made(short, rate=Rate(0.05, "EUR")), airflow_url="http://airflow")
