"""The runbook as a page: docs/runbook.md, with an anchor for each kind of incident that mails lead to."""

from __future__ import annotations

from itertools import pairwise

from perennial.io.pages import render
from perennial.settings import CHECKOUT

PLACE = CHECKOUT / "docs" / "runbook.md"


def page(*, nonce: str) -> str:
    """Return the runbook as HTML; its headings are the anchors, spaces as hyphens.

    Raises:
        OSError: the file is not deployed beside the code.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(PLACE.read_text())
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", inline.content.lower().replace(" ", "-"))
    return render("runbook.html", body=parser.renderer.render(tokens, parser.options, {}), nonce=nonce)
