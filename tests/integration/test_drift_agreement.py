"""The drift check decides as Evidently does: a small part of the corpus that `make bench-drift` goes through."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks are no package of the library

from benchmarks import drift_corpus
from benchmarks.bench_drift import agreement

pytestmark = pytest.mark.integration


def test_decisions_on_the_same_limit_are_evidentlys(monkeypatch: pytest.MonkeyPatch):
    """Fewer rows, and every eleventh pair; some near the limit, on both sides of it."""
    monkeypatch.setattr(drift_corpus, "REFERENCE", 2000)
    monkeypatch.setattr(drift_corpus, "DAY", 600)
    found = [agreement(pair) for pair in islice(drift_corpus.pairs(), 0, None, 11)]

    assert {each.pair.kind for each in found} == {"numeric", "categorical"}
    assert [each.pair.family for each in found if each.theirs is None] == []
    assert [(each.pair.family, each.ours, each.theirs) for each in found if each.other] == []
    assert any(each.fell_back for each in found)
    assert {each.theirs >= drift_corpus.LIMIT for each in found if each.theirs is not None} == {True, False}
