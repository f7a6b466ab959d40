"""What a kept profile says of each feature, and where there is none."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import pytest
from fakes import make_case
from perennial.errors import DataError
from perennial.io.profilerecords import (
    ByDay,
    ColumnProfile,
    Histogram,
    LabelGroup,
    LabelRelation,
    TableProfile,
)
from perennial.stages.profiling import ProfileRecord
from perennial.views import features

DAYS = (date(2026, 1, 1), date(2026, 1, 4))
LABEL = make_case().label.column


def column(name: str, *, relation: float | None = 0.75, kind: str = "number", **fields) -> ColumnProfile:
    """Return the profile of a column with ten rows, of which one is missing."""
    by_day = tuple(ByDay(day, 5, 0.1, 2.0 + at, None) for at, day in enumerate(DAYS))
    label = LabelRelation(
        "area under the ROC curve", relation, (LabelGroup("0 to 1", 5, 0.2), LabelGroup("1 to 2", 4, 0.4))
    )
    defaults = {
        "name": name, "kind": kind, "missing": 1, "infinite": 0, "distinct": 3, "least": 0.0,
        "greatest": 2.0, "mean": 1.0, "deviation": 0.5, "quantiles": {"0.5": 1.0}, "top": ((1.0, 4),),
        "histogram": Histogram((0.0, 1.0, 2.0), (6, 3)), "label": label, "by_day": by_day,
    }  # fmt: skip
    return ColumnProfile(**(defaults | fields))


def keep(pages: Path, name: str, *columns: ColumnProfile, at: int = 1_000_000) -> None:
    """Write a profile of these columns, as it would be kept."""
    path = f"profile/toy/{name}"
    pairs = (("spend", "visits", 0.9), ("spend", LABEL, 0.4), ("recency", "spend", -0.3))
    table = TableProfile("features", 10, 2, 10, columns, pairs)
    record = ProfileRecord("toy", *DAYS, 2, (table,), f"{path}.html", f"{path}.json")
    file = pages / f"{path}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record.to_json()))
    os.utime(file, (at, at))


@pytest.fixture
def pages(tmp_path):
    """Return a pages folder with two profiles, the training's the newer."""
    keep(tmp_path, "2026-01-01_2026-01-04", column("spend"))
    keep(tmp_path, "version-2", column("spend"), column("visits", relation=0.4), column(LABEL), at=2_000_000)
    return tmp_path


def test_the_newest_profile_is_shown(pages):
    """Without its label's own column; the others can be chosen by name."""
    found = features.run(make_case(), pages)
    other = features.run(make_case(), pages, profile="2026-01-01_2026-01-04")

    assert (found.profile.name, found.profile.title) == ("version-2", "training of version 2")
    assert [each.name for each in found.features] == ["spend", "visits"]
    assert (found.first, found.last, found.days, found.rows) == ("2026-01-01", "2026-01-04", 2, 10)
    assert (other.profile.title, len(other.features)) == ("2026-01-01 to 2026-01-04", 1)
    assert dict(found.kinds) == {"number": 2}


def test_a_row_tells_values_time_label_and_correlations(pages):
    """0.75 is halfway from a guess to certainty; of the correlations that with the label is left out."""
    spend, visits = features.run(make_case(), pages).features

    assert (spend.missing, spend.mean, spend.counts, spend.over_time) == (0.1, 1.0, (6, 3), (2.0, 3.0))
    assert (spend.relation, spend.strength, spend.groups) == (0.75, 0.5, (0.2, 0.4))
    assert [(each.name, each.value) for each in spend.correlations] == [("visits", 0.9), ("recency", -0.3)]
    assert visits.strength == pytest.approx(0.2)  # as far below a guess as 0.6 is above it


def test_one_feature_has_charts_over_time_of_its_values_and_by_label(pages):
    """Bars stand in the middle of their bins."""
    found = features.one(make_case(), pages, "visits")

    assert [panel.title for panel in found.over_time.panels] == ["Mean", "Missing"]
    assert found.distribution.traces[0].x == (0.5, 1.5)
    assert found.by_label.traces[0].texts == ("5 rows", "4 rows")
    assert (found.before, found.after, found.missing) == ("spend", "", 0.1)


def test_a_text_is_told_by_its_most_frequent_value(tmp_path):
    """Its values stand where a histogram would, and its share over time where a mean would."""
    by_day = tuple(ByDay(day, 5, 0.0, None, 0.6) for day in DAYS)
    gone = {"mean": None, "deviation": None, "histogram": None, "quantiles": {}, "least": "a", "greatest": "b"}
    label = LabelRelation("mean of the label by value", None, (LabelGroup("a", 6, 0.3),))
    keep(
        tmp_path,
        "version-1",
        column("segment", kind="text", top=(("a", 6), ("b", 4)), by_day=by_day, label=label, **gone),
    )
    (row,) = features.run(make_case(), tmp_path).features
    one = features.one(make_case(), tmp_path, "segment")

    assert (row.counts, row.over_time, row.strength) == ((6, 4), (0.6, 0.6), None)
    assert one.distribution.traces[0].x == ("a", "b")
    assert one.over_time.panels[0].title == "Share of the most frequent value"


def test_without_a_profile_there_is_none(tmp_path):
    """All features are shown empty; one feature names the command that makes a profile."""
    assert features.run(make_case(), tmp_path).profile is None
    with pytest.raises(DataError, match="perennial profile toy"):
        features.one(make_case(), tmp_path, "spend")


@pytest.mark.parametrize("name", ["../../etc/passwd", "version-9", "<script>", "x" * 10_000])
def test_a_profile_of_another_name_is_refused(pages, name):
    """Only what lies in the folder can be chosen, so no address leads out of it."""
    with pytest.raises(DataError, match="There is no profile"):
        features.run(make_case(), pages, profile=name)


def test_an_unknown_feature_says_what_was_probably_meant(pages):
    """A typing error, or a feature that a later spec has renamed."""
    with pytest.raises(DataError, match="Did you mean 'spend'"):
        features.one(make_case(), pages, "spent")


def test_a_profile_that_cannot_be_read_is_named(pages):
    """A file that a full disk has cut off; the others can still be chosen."""
    (pages / "profile/toy/version-2.json").write_text('{"case": "toy"')
    found = features.run(make_case(), pages)

    assert "version-2" in found.outages[0]
    assert (found.features, len(found.profiles)) == ((), 2)
