"""Makes a page of Great Expectations one that needs nothing from anywhere: no network, no script, no other page.

As it comes, the page takes its look from style sheets and icons of public hosts, which neither a machine without a
network nor the policy of our pages lets in, and its buttons from scripts beside them.
"""

from __future__ import annotations

import re
from html import escape

from perennial.io.pages import render

# Great Expectations' own styles go as well: they take the others for granted.
LEFT_OUT = re.compile(
    r"<link\b[^>]*>|<script\b[^>]*>.*?</script>|<style\b[^>]*>.*?</style>|<img\b[^>]*https?://[^>]*>"
    r"|<footer.*?</footer>|<title>.*?</title>|\sonclick=\"[^\"]*\"|Data asset: None<br>",
    re.DOTALL,
)
ELSEWHERE = re.compile(r'<a\s+href="\.\./[^"]*"[^>]*>(.*?)</a>', re.DOTALL)  # pages that nobody writes
ICON = re.compile(r'<i class="fas fa-([a-z-]+) (text-[a-z]+)"[^>]*></i>')
SIGNS = {"check-circle": "met", "times": "not met", "exclamation-triangle": "not judged"}
HEAD = "<h4>Expectation Validation Result</h4>"
MAIN = '<div class="container-fluid pt-4'
WIDE = re.compile(r'table-responsive([^"]*)"')  # what scrolls has to be reached by the keyboard as well


def offline(page: str, *, title: str) -> str:
    """Return a page of a validation with its look within, and a sign in words where an icon was."""
    page = ELSEWHERE.sub(r"\1", LEFT_OUT.sub("", page))
    page = ICON.sub(_sign, page)
    page = page.replace(HEAD, f"<h1>{escape(title)}</h1>").replace(MAIN, f'<div role="main"{MAIN[4:]}', 1)
    page = WIDE.sub(r'table-responsive\1" tabindex="0"', page)
    for level, shown in ((5, 2), (6, 3)):  # from h4 on, headings would leave levels out
        page = page.replace(f"<h{level}", f"<h{shown}").replace(f"</h{level}>", f"</h{shown}>")
    head = f"<title>{escape(title)}</title><style>{render('datadocs.css')}</style></head>"
    return page.replace("<html>", '<html lang="en">', 1).replace("</head>", head, 1)


def _sign(icon: re.Match[str]) -> str:
    name, tone = icon.groups()
    return f'<span class="sign {tone}">{SIGNS.get(name, name)}</span>'
