"""The runbook: a section for each kind of incident, which every mail leads to."""

from __future__ import annotations

import re

import pytest
from perennial.incidents import KINDS
from perennial.io import runbook
from perennial.io.mails import Links

SECTIONS = re.split(r"^## ", runbook.PLACE.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("kind", [*KINDS, "rollback"])
def test_each_kind_has_a_section_that_says_what_to_do(kind: str):
    """With a first step; and the link of a mail leads to it."""
    (section,) = [each for each in SECTIONS if each.partition("\n")[0] == kind]
    assert "\n1. " in section

    anchor = Links.of("http://airflow", run="", section=kind).runbook.partition("#")[2]
    assert f'<h2 id="{anchor}">' in runbook.page(nonce="n")


def test_html_in_the_runbook_is_text(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Whoever edits the file writes Markdown, and nothing else."""
    (tmp_path / "runbook.md").write_text("## a b\n<script>alert(1)</script>\n")
    monkeypatch.setattr(runbook, "PLACE", tmp_path / "runbook.md")

    assert '<h2 id="a-b">' in runbook.page(nonce="n")
    assert "<script>" not in runbook.page(nonce="n")
