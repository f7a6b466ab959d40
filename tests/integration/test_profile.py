"""A profile says what a table holds, and its page shows it without a network."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import toy
from perennial.errors import DataError, LakeError
from perennial.io import profiles
from perennial.stages import features, ingest, profile

pytestmark = pytest.mark.integration
LAST = toy.FIRST + timedelta(days=25)


def written(folder: Path, days: dict[date, pa.Table]) -> dict[date, list[Path]]:
    """Write the files of a table as the lake lays them out."""
    files = {}
    for day, rows in days.items():
        path = folder / f"day={day}" / "part.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
        files[day] = [path]
    return files


def two_days(folder: Path) -> dict[date, list[Path]]:
    """Write five hand-made rows on two days."""
    first = pa.table({"x": [1.0, 2.0, None], "kind": ["a", "a", "b"], "who": [1, 2, 3]})
    second = pa.table({"x": [float("nan"), float("inf")], "kind": ["b", None], "who": [1, 2]})
    return written(folder, {date(2026, 1, 1): first, date(2026, 1, 2): second})


def by_name(table: profiles.TableProfile) -> dict[str, profiles.ColumnProfile]:
    """Return the columns of a profile by name."""
    return {column.name: column for column in table.columns}


def test_figures_are_those_worked_by_hand(tmp_path):
    """A NaN is missing, an infinite value is counted and in no mean."""
    found = profiles.profiled(profiles.Asked("t", two_days(tmp_path), ("x", "kind")))
    x, kind = by_name(found)["x"], by_name(found)["kind"]

    assert (found.rows, found.days, found.sampled) == (5, 2, 5)
    assert (x.missing, x.infinite, x.least, x.greatest, x.mean) == (2, 1, 1.0, 2.0, 1.5)
    assert x.histogram is not None
    assert (sum(x.histogram.counts), x.histogram.counts[0], x.histogram.counts[-1]) == (2, 1, 1)
    assert [(day.rows, round(day.missing, 3), day.mean) for day in x.by_day] == [(3, 0.333, 1.5), (2, 0.5, None)]
    assert x.top == ((1.0, 1), (2.0, 1))
    assert (kind.missing, kind.distinct, kind.top) == (1, 2, (("a", 2), ("b", 2)))


def test_what_a_column_tells_about_the_label_is_measured(tmp_path):
    """Rows of a day without labels tell nothing; an entity that the labels leave out has 0."""
    labels = pa.table({"day": [date(2026, 1, 1)], "who": [2], "y": [1]})
    asked = profiles.Asked("t", two_days(tmp_path), ("x", "kind"), entity="who", labels=labels, label="y")
    relation = by_name(profiles.profiled(asked))["kind"].label

    assert relation is not None
    assert {group.name: (group.rows, group.label) for group in relation.groups} == {"a": (2, 0.5), "b": (1, 0.0)}


def test_correlations_come_strongest_first(tmp_path):
    """A monotone function correlates fully by its ranks."""
    x = np.arange(50.0)
    rows = pa.table({"x": x, "cube": -(x**3), "noise": np.random.default_rng(0).normal(size=50), "same": [1.0] * 50})
    found = profiles.profiled(
        profiles.Asked("t", written(tmp_path, {date(2026, 1, 1): rows}), tuple(rows.column_names))
    )

    assert found.correlations[0] == ("cube", "x", pytest.approx(-1.0))
    assert not any("same" in pair for pair in found.correlations)


def test_rows_in_memory_are_profiled_like_files(tmp_path):
    """A training hands over what it read; the figures are those of the same rows in files."""
    files = two_days(tmp_path)
    rows = pa.concat_tables(
        pq.read_table(path, partitioning=None).append_column("day", pa.array([day] * count, pa.date32()))
        for (day, (path,)), count in zip(files.items(), (3, 2), strict=True)
    )
    found = profiles.profiled(profiles.Asked("t", {}, ("x", "kind"), rows=rows))

    assert found == profiles.profiled(profiles.Asked("t", files, ("x", "kind")))


def test_a_large_table_is_read_by_column_with_the_same_figures(tmp_path, monkeypatch):
    """Rows that do not fit into memory are left in their files."""
    asked = profiles.Asked("t", two_days(tmp_path), ("x", "kind"))
    held = profiles.profiled(asked)
    monkeypatch.setattr(profiles, "HELD", 0)

    assert profiles.profiled(asked) == held


def test_a_file_that_is_gone_is_said_with_its_table(tmp_path):
    """Whoever trains keeps the model; whoever asked for the profile reads which table it was."""
    files = two_days(tmp_path)
    files[date(2026, 1, 2)][0].unlink()

    with pytest.raises(LakeError, match=r"Table 't' cannot be profiled: .*part\.parquet"):
        profiles.profiled(profiles.Asked("t", files, ("x",)))


def built(case: Any, adapters: Any) -> None:
    """Publish some days of the shop and their features."""
    first = LAST - timedelta(days=6)
    ingest.run(case, first, adapters)
    days = [first + timedelta(days=offset) for offset in range(7)]
    for source in ("orders", "customers"):
        ingest.run_days(case, source, days, adapters, run="test")
    features.run_days(case, days, adapters, run="test")


def test_every_source_and_the_features_are_on_the_page_and_in_the_data(shop, adapters):
    """The page stands alone, in light and dark; the data is the record."""
    built(shop, adapters)
    made = profile.run(shop, adapters, first=LAST - timedelta(days=6))
    page = (adapters.settings.pages_root / made.page).read_text()
    data = json.loads((adapters.settings.pages_root / made.data).read_text())

    assert [table.name for table in made.tables] == ["orders", "customers", "features"]
    assert made.label_days == 4
    assert {column.name for column in made.tables[2].columns} == set(shop.features.columns)
    assert data == made.to_json()
    assert all(each in page for each in ("spend_10d", "prefers-color-scheme: dark", "<svg", "orders_again"))
    assert "http" not in page
    assert "<script" not in page


def test_no_profile_names_an_entity(shop, adapters):
    """Who asks to be forgotten is not left on a page or with a model: ids are counted, and none is shown."""
    built(shop, adapters)
    made = profile.run(shop, adapters, first=LAST - timedelta(days=6))
    customer = by_name(made.tables[0])["customer"]

    assert (customer.kind, customer.missing) == ("key", 0)
    assert customer.distinct > 20
    assert (customer.least, customer.greatest, customer.mean, customer.histogram, customer.label) == (None,) * 5
    assert (customer.top, customer.quantiles) == ((), {})
    assert all(day.top is None and day.mean is None for day in customer.by_day)


def test_a_refused_row_is_in_no_profile(make_shop, adapters):
    """The profile is of what SQL sees."""
    rows = toy.order_rows()
    amounts = [-1.0 if at % 10 == 0 else value for at, value in enumerate(rows.column("amount").to_pylist())]
    case = make_shop(orders=rows.set_column(2, "amount", pa.array(amounts)))
    built(case, adapters)
    made = profile.run(case, adapters, first=LAST - timedelta(days=6))

    assert by_name(made.tables[0])["amount"].least >= 0


def test_a_value_that_looks_like_html_is_shown_as_text(make_shop, adapters):
    """The page escapes what it shows."""
    case = make_shop()
    evil = toy.customer_rows().set_column(1, "segment", pa.array(["<script>alert(1)</script>"] * 60))
    pq.write_table(evil, case.source("customers").files["customers"])
    built(case, adapters)
    page = adapters.settings.pages_root / profile.run(case, adapters).page

    assert "<script>alert" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()


def test_without_rows_there_is_nothing_to_profile(shop, adapters):
    """The message names the command."""
    with pytest.raises(DataError, match="shop has no rows yet"):
        profile.run(shop, adapters)
