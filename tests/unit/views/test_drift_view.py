"""A day against what the champion was trained on, as the Drift page shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from perennial.core import drift
from perennial.errors import DataError, LakeError, LedgerError, RegistryError
from perennial.records import ColumnDrift
from perennial.stages import monitor
from perennial.views import drift as view
from perennial.views import feature
from perennial.views.references import References
from perennial.views.shelf import Shelf
from servedworlds import NOW, Dead, Served, served_world
from worlds import everything_moved


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Served:
    """Return a world of four days that were looked at."""
    return served_world(tmp_path_factory, tmp_path)


@pytest.fixture
def references() -> References:
    """Return an empty shelf."""
    return Shelf(most=4)


def moved(served: Served) -> None:
    """Let all numbers of the newest day be far away, and look at it again."""
    day = served.days[-1]
    served.write(served.case.features_table, day, everything_moved(_snapshot(served)))
    monitor.run(served.case, day, served.adapters, run="again", now=NOW + timedelta(hours=1))


def _snapshot(served: Served):
    from perennial.records import Window

    return served.adapters.lake.read(served.case.features_table, Window.of_day(served.days[-1]))


def test_the_newest_day_is_shown_with_its_verdict(served: Served, references: References):
    """Against the champion of then; the day before is linked, and none comes after."""
    found = view.page(served.case, None, served.adapters, references=references)

    assert (found.state, found.day, found.version) == ("looked at", served.days[-1], "2")
    assert (found.earlier, found.later, found.newest) == (served.days[-2], None, served.days[-1])
    assert (found.verdict, found.drifted, found.judged) == ("stable", 0, 4)
    assert found.at_stake is not None
    assert (found.at_stake.value, found.at_stake.limit) == (0.0, 0.3)
    assert found.outages == ()


def test_an_older_day_is_held_against_the_champion_of_then(served: Served, references: References):
    """And has a day on both sides."""
    found = view.page(served.case, served.days[1], served.adapters, references=references)

    assert (found.version, found.earlier, found.later) == ("1", served.days[0], served.days[2])


def test_features_stand_by_importance_times_drift(served: Served, references: References):
    """The score first; the shares of the importance add up to one."""
    moved(served)
    found = view.page(served.case, None, served.adapters, references=references)

    score, *features = found.rows
    assert (score.name, score.importance, score.strength) == ("score", None, None)
    assert sum(row.importance for row in features) == pytest.approx(1)
    strengths = [row.strength for row in features]
    assert strengths == sorted(strengths, reverse=True)
    for row in features:
        assert row.ratio == pytest.approx(row.found.psi / row.found.limit)
        assert row.strength == pytest.approx(row.importance * row.ratio)
    assert {row.name for row in features if row.drifted} == {"recency", "spend", "visits"}
    assert (found.drifted, found.judged, found.verdict) == (3, 4, "drifted")


def test_the_scatter_names_every_feature_and_draws_the_limit(served: Served, references: References):
    """Those that have drifted apart from the others."""
    moved(served)
    chart = view.page(served.case, None, served.adapters, references=references).scatter

    assert chart is not None
    assert chart.panels[0].limit == 1.0
    assert {trace.name: sorted(trace.texts) for trace in chart.traces} == {
        "within its limit": ["town"], "drifted": ["recency", "spend", "visits"],
    }  # fmt: skip
    assert all(y >= 1 for y in chart.traces[1].y if y is not None)


def test_a_trend_has_each_day_once_and_the_newest_look(served: Served, references: References):
    """The second look at the newest day replaces the first."""
    moved(served)
    found = view.page(served.case, None, served.adapters, references=references)
    row = next(row for row in found.rows if row.name == "recency")

    assert found.trend_days == served.days
    assert row.trend[-1] == row.found.psi
    assert row.path.startswith("M0.0")


def test_what_moved_most_is_drawn_as_it_is_compared(served: Served, references: References):
    """The bins' parts add up to the PSI that the monitor entered."""
    moved(served)
    found = view.page(served.case, None, served.adapters, references=references)
    psi = {row.name: row.found.psi for row in found.rows}

    assert [each.name for each in found.movers] == [row.name for row in found.rows if row.name != "score"]
    for each in found.movers:
        assert each.psi == pytest.approx(psi[each.name])
        assert each.bins is not None
        for trace in each.bins.traces:
            assert sum(trace.y) == pytest.approx(100)
            assert len({*trace.x}) == len(trace.x)


def test_the_page_is_json(served: Served, references: References):
    """With every chart."""
    found = view.page(served.case, None, served.adapters, references=references)

    assert json.loads(json.dumps(found.to_json()))["rows"][0]["name"] == "score"


def test_a_day_that_was_not_looked_at_says_so(served: Served, references: References):
    """The newest one is linked."""
    day = served.days[-1] + timedelta(days=3)
    found = view.page(served.case, day, served.adapters, references=references)

    assert (found.state, found.day, found.earlier, found.newest) == (
        "not looked at", day, served.days[-1], served.days[-1],
    )  # fmt: skip


def test_before_the_first_look_there_is_nothing_yet(served: Served, references: References):
    """Of a use case that is new."""
    found = view.page(served.case.model_copy(update={"name": "new"}), None, served.adapters, references=references)

    assert (found.state, found.day, found.rows) == ("nothing yet", None, ())


def test_without_a_champion_only_the_state_is_told(served: Served, references: References):
    """As the monitor kept it."""
    record = served.adapters.ledger.monitor("toy", served.days[0])
    assert record is not None
    day = served.days[0] - timedelta(days=1)
    served.adapters.ledger.add_monitor(
        replace(record, day=day, model_version="", verdict="unknown", reason="no champion yet"), at=NOW, run="x"
    )
    found = view.page(served.case, day, served.adapters, references=references)

    assert (found.state, found.verdict, found.reason) == ("no champion", "unknown", "no champion yet")


def test_without_mlflow_the_findings_are_still_told(served: Served, references: References):
    """Importances and distributions are not known, and it is said once."""
    served.adapters.registry = Dead(RegistryError)
    found = view.page(served.case, None, served.adapters, references=references)

    assert (found.state, found.verdict, len(found.rows)) == ("looked at", "stable", 5)
    assert (found.scatter, found.movers) == (None, ())
    assert {row.importance for row in found.rows} == {None}
    assert found.outages == ("MLflow does not give what version 2 was trained on: file does not answer",)


def test_without_the_lake_all_but_the_distributions_is_told(served: Served, references: References):
    """Which is said."""
    served.adapters.lake = Dead(LakeError)
    found = view.page(served.case, None, served.adapters, references=references)

    assert found.scatter is not None
    assert (found.movers, found.outages) == ((), ("dataset does not answer",))


def test_a_file_of_the_lake_that_is_gone_is_an_outage(served: Served, references: References):
    """Not a mistake of the page."""
    for file in (served.adapters.lake.root / served.case.features_table).rglob("*.parquet"):
        file.unlink()
    found = view.page(served.case, None, served.adapters, references=references)

    assert found.movers == ()
    assert "features/toy" in found.outages[0]


def test_without_the_ledger_nothing_is_known(served: Served, references: References):
    """And nothing else is asked."""
    served.adapters.ledger.transaction = Dead(LedgerError).transaction
    found = view.page(served.case, None, served.adapters, references=references)

    assert (found.state, found.rows, found.outages) == ("not known", (), ("transaction does not answer",))


def test_a_champion_without_importances_has_no_scatter(served: Served, references: References):
    """One that was trained before they were kept."""
    run_id = served.adapters.registry.load("toy", "2").run_id
    kept = served.adapters.registry.runs[run_id].kept
    profile = json.loads(kept["reference_profile.json"])
    del profile["importance"]
    kept["reference_profile.json"] = json.dumps(profile).encode()
    found = view.page(served.case, None, served.adapters, references=references)

    assert (found.scatter, found.outages) == (None, ())
    assert len(found.movers) == 4


def _row(name: str, importance: float, ratio: float | None, found: ColumnDrift) -> view.Row:
    return view.Row(name, importance, ratio, None, drift.counts_as_drift(found), found, ())


def test_a_feature_that_is_gone_stands_first():
    """It has no PSI, and counts as drift."""
    gone = _row("b", 0.1, None, ColumnDrift("b", "missing column", None, None, "wasserstein"))
    far = _row("a", 0.5, 3.0, ColumnDrift("a", "drifted", 0.75, None, "wasserstein", "", 0.25))
    new = _row("c", 0.0, None, ColumnDrift("c", "new column", None, None, "wasserstein"))

    assert sorted([new, far, gone], key=view._strongest_first) == [gone, far, new]


@pytest.mark.parametrize("name", ["recency", "town", "score"])
def test_a_column_has_its_distribution_and_its_days(served: Served, references: References, name: str):
    """Numbers with steps, texts without; the PSI of each day, with the limit of then."""
    found = feature.page(served.case, name, None, served.adapters, references=references)

    assert found.row is not None
    assert found.distribution is not None
    assert (found.distribution.steps is None) is (name == "town")
    assert (found.changed, found.unseen) == ("", "")
    psi, limit = found.psi.panels[0].traces
    assert psi.x == tuple(day.isoformat() for day in served.days)
    assert psi.y[-1] == found.row.found.psi
    assert limit.y == tuple(0.25 if name != "score" else limit.y[0] for _ in psi.x)


def test_a_new_champion_is_marked_on_the_days(served: Served, references: References):
    """From its first day on the reference is another one."""
    chart = feature.page(served.case, "recency", None, served.adapters, references=references).psi

    assert [(mark.day, mark.text) for mark in chart.marks] == [(served.days[-1].isoformat(), "version 2")]


def test_a_day_that_was_built_again_says_that_its_finding_is_older(served: Served, references: References):
    """Both figures are told."""
    served.write(served.case.features_table, served.days[-1], everything_moved(_snapshot(served)))
    found = feature.page(served.case, "recency", None, served.adapters, references=references)

    assert "has been built again since it was looked at" in found.changed


def test_a_day_without_rows_has_no_distribution(served: Served, references: References):
    """There is a finding, and nothing to draw; it says so."""
    served.write(served.case.features_table, served.days[-1], _snapshot(served).slice(0, 0))
    found = feature.page(served.case, "recency", None, served.adapters, references=references)

    assert found.row is not None
    assert (found.distribution, found.unseen) == (None, "The day has no rows, or the champion does not know it.")


def test_a_feature_that_nobody_knows_is_refused(served: Served, references: References):
    """With the nearest one."""
    with pytest.raises(DataError, match=r"no feature 'recensy'\. Did you mean 'recency'\?"):
        feature.page(served.case, "recensy", None, served.adapters, references=references)


def test_parts_of_the_psi_are_those_of_the_sum():
    """The page draws the parts, the monitor decides by their sum."""
    generator = np.random.default_rng(4)
    reference, current = generator.integers(0, 9, (2, 30, 7))

    assert np.allclose(drift.psi_terms(reference, current).sum(axis=-1), drift.psis(reference, current))
    assert (drift.psi_terms(reference, current) >= 0).all()
