"""A model card as a page and as Markdown: one file each, without scripts or outside resources."""

from __future__ import annotations

import base64

from perennial.cards import Card, path
from perennial.io import gatepage
from perennial.io.pages import render

UP = "../../"  # from a card to the folder of pages


def page(card: Card, *, calibration: bytes | None) -> str:
    """Return the page.

    Args:
        card: of a version.
        calibration: a PNG, None where there is none.
    """
    picture = None if calibration is None else base64.b64encode(calibration).decode()
    results = card.report.results if card.report else ()
    return render(
        "card.html", card=card, gates=[(each, gatepage.place(each)) for each in results], picture=picture, up=UP
    )


def markdown(card: Card, *, airflow_url: str) -> str:
    """Return the same as Markdown; its links lead to Airflow's pages."""
    return render("card.md", card=card, airflow_url=airflow_url, page=path(card.case, card.version))
