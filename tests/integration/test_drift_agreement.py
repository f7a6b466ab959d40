"""The drift check decides as Evidently does: a small part of the corpus that `make bench-drift` goes through."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks import drift_corpus
from benchmarks.bench_drift import agreement

pytestmark = pytest.mark.integration


CONTINUOUS = ("lognormal, sigma 2.5", "infinities")
STEPWISE = ("flag", "sixty words", "nulls, 40 %")


def test_decisions_on_the_same_limit_are_evidentlys(monkeypatch: pytest.MonkeyPatch):
    """Five families with fewer rows, and every fifth pair of them; some near the limit, on both sides of it."""
    monkeypatch.setattr(drift_corpus, "REFERENCE", 2000)
    monkeypatch.setattr(drift_corpus, "DAY", 600)
    monkeypatch.setattr(drift_corpus, "MULTIPLES", (0.95, 0.9999, 1.0001, 3.0))
    for families, kept in (("CONTINUOUS", CONTINUOUS), ("STEPWISE", STEPWISE)):
        monkeypatch.setattr(drift_corpus, families, {name: getattr(drift_corpus, families)[name] for name in kept})
    found = [agreement(pair) for pair in islice(drift_corpus.pairs(), 0, None, 5)]

    assert {each.pair.kind for each in found} == {"numeric", "categorical"}
    assert [each.pair.family for each in found if each.theirs is None] == []
    assert [(each.pair.family, each.ours, each.theirs) for each in found if each.other] == []
    assert any(each.fell_back for each in found)
    assert {each.theirs >= drift_corpus.LIMIT for each in found if each.theirs is not None} == {True, False}
