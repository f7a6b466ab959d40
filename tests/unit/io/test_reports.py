"""What goes onto a page, without drawing one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
from perennial.io import reports
from perennial.io.reports import Page


def page(**fields: object) -> Page:
    """Return a page about one number and one category."""
    plain: dict[str, object] = {
        "case": "toy", "title": "Who <b>returns</b>?", "day": date(2026, 3, 1), "model_version": "3", "numeric": ("a",),
        "categorical": ("c",), "left_out": {"<x>": "all null"}, "psi_limit": 0.25, "drifted_share_limit": 0.3,
        "rows": 5,
    }  # fmt: skip
    return Page(**plain | fields)  # type: ignore[arg-type]


def test_the_head_names_what_is_left_out_and_runs_no_code():
    """Names come from people's columns."""
    text = reports._with_head("<html><body>page</body></html>", page(), rows=5)

    assert "Left out: &lt;x&gt; (all null)." in text
    assert "Who &lt;b&gt;returns&lt;/b&gt;?" in text
    assert text.startswith("<html><body><div")


def test_a_column_without_a_value_on_one_side_is_not_drawn():
    """Evidently would give up the page for it; infinite numbers count as missing there."""
    current = pa.table({"a": [float("inf")] * 9, "c": ["x"] * 9})
    reference = pa.table({"a": [1.0] * 9, "c": ["x"] * 9})
    frames = reports._frames(page(), current, reference)

    assert [list(frame.columns) for frame in frames] == [["c"], ["c"]]


def test_a_sample_is_no_larger_than_asked_and_the_same_each_time():
    """Five of a hundred rows, drawn alike again."""
    table = pa.table({"a": [float(value) for value in range(100)], "c": ["x"] * 100})
    first, second = (reports._frames(page(), table, table)[0] for _ in range(2))

    assert len(first) == 5
    assert first.equals(second)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path):
    """Nothing but the page is left in the folder."""
    reports._replace(tmp_path / "deep" / "page.html", "first")
    reports._replace(tmp_path / "deep" / "page.html", "second")

    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["page.html"]
    assert (tmp_path / "deep" / "page.html").read_text() == "second"
