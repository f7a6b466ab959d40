"""A re-drive from Airflow: what its log says to the person who started the run."""

from __future__ import annotations

import logging
from datetime import date
from types import SimpleNamespace

from perennial.changes import RedriveRecord
from perennial.stages import quarantine
from perennial.stages.quarantine import Chosen
from perennial_airflow import ranges

DAY = date(2026, 3, 1)
FORM = {
    "source": ranges.ALL_SOURCES, "first_day": None, "last_day": None, "because": "amount",
    "how": ranges.CHECK_AGAIN, "reason": None,
}  # fmt: skip


def test_the_log_of_a_redrive_says_what_each_number_counts(monkeypatch, adapters, make_context, caplog):
    """What was asked for and moved, and apart from it all that the day has in quarantine; the record says the same."""
    asked: list[Chosen] = []
    record = RedriveRecord("toy", "sales", DAY, asked=5, moved=3, in_quarantine=9, version=4)
    monkeypatch.setattr(quarantine, "redrive", lambda _case, _adapters, chosen, _why: asked.append(chosen) or (record,))
    adapters.lineage = SimpleNamespace(features=lambda _case, _days: ())
    monkeypatch.setattr(ranges.RedriveOperator, "log", logging.getLogger("redrive"))
    with caplog.at_level(logging.INFO):
        found = ranges.RedriveOperator(task_id="redrive", case="toy").execute(make_context(params=FORM))

    assert asked == [Chosen(reason="amount")]
    assert (
        "sales of 2026-03-01: 5 rows asked for, 3 re-driven; 9 rows of that day are in quarantine now, asked for or not"
        in caplog.text
    )
    assert found["redriven"][0].items() >= {"asked": 5, "moved": 3, "in_quarantine": 9}.items()
