"""A probation on the real things: a champion that is really worse is rolled back in the days that were foreseen."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import toy
from perennial import probations, supervising
from perennial.adapters import Adapters
from perennial.cli import main
from perennial.io.warehouse import Asked
from perennial.records import Window
from perennial.settings import load_settings
from perennial.spec import UseCase
from perennial.stages import audit, evaluate, forget, maintain, promote, score, send, tell, train

pytestmark = pytest.mark.integration
NOW = datetime(2026, 9, 1, tzinfo=UTC)
TODAY = toy.FIRST + timedelta(days=70)  # as of which both champions are trained
LOSS, LONGEST, CUSTOMERS = 0.042, 45, 400
GOOD = {"name": "good", "estimator": "sklearn.linear_model.LogisticRegression"}
# So much regularised that its scores lie closer together than they should: worse by about LOSS, honestly measured.
WORSE = {**GOOD, "name": "worse", "params": {"C": 3e-4}}


@dataclass
class Shop:
    """A shop of 400 customers whose champion 2 is on probation against 1."""

    folder: Path
    case: UseCase
    adapters: Adapters

    def day(self, day: date) -> supervising.Watched:
        """Score a day and watch the probation, as the two daily DAGs do."""
        score.run(self.case, day, self.adapters, run=f"score {day}")
        return supervising.run(self.case, day, self.adapters, run=f"watch {day}", now=NOW)

    def promoted(self, candidate: dict[str, Any], folder: Path) -> UseCase:
        """Train a candidate, hold it against the gates, and promote it."""
        case = declared(folder / candidate["name"], candidates=[candidate])
        version = train.run(case, TODAY, self.adapters, run="test").version
        evaluate.run(case, self.adapters, version=version, now=NOW, who="ada", run="test")
        promote.run(case, version, self.adapters, who="ada", reason="passed", now=NOW)
        return case


def declared(folder: Path, *, candidates: list[dict[str, Any]]) -> UseCase:
    """Return the use case with a probation."""
    spec = toy.spec(
        training__candidates=candidates, training__window_days=50, training__holdout_days=20,
        probation={"metric": "log_loss", "loss": LOSS, "days": LONGEST},
    )  # fmt: skip
    return toy.shop(folder, declared=spec)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop with snapshots of 110 days, whose second champion is worse."""
    folder = tmp_path_factory.mktemp("trying")
    case, adapters = declared(folder / "first", candidates=[GOOD]), toy.adapters(folder / "home")
    orders = toy.order_rows(125, customers=CUSTOMERS)
    of_day = pc.cast(orders["ordered_at"], pa.date32())
    lived = [toy.FIRST + timedelta(days=offset) for offset in range(125)]
    rows = {day: orders.filter(pc.equal(of_day, day)) for day in lived}
    adapters.lake.write_days(case.raw_table("orders"), rows, metadata={})
    adapters.lake.write_day(case.raw_table("customers"), toy.FIRST, toy.customer_rows(CUSTOMERS), metadata={})
    days = tuple(lived[12:120])
    (found,) = adapters.warehouse.compute_features(
        case, [Asked(days, days[-1])], pins=adapters.warehouse.pins(case)
    )  # fmt: skip
    snapshots = {day: found.filter(pc.equal(found["day"], day)) for day in days}
    adapters.lake.write_days(case.features_table, snapshots, metadata={})
    made = Shop(folder, case, adapters)
    made.promoted(GOOD, folder)
    score.run(case, TODAY, adapters, run="before")
    made.case = made.promoted(WORSE, folder)
    return made


def test_the_command_line_says_how_a_probation_stands(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """JSON, and nothing changes; with --apply what follows is done, and on the first day nothing does."""
    first = str(TODAY + timedelta(days=1))
    score.run(shop.case, TODAY + timedelta(days=1), shop.adapters, run="first")
    monkeypatch.setenv("PERENNIAL_HOME", str(shop.folder / "home"))
    monkeypatch.setenv("PERENNIAL_USE_CASES", str(shop.folder / WORSE["name"]))
    load_settings.cache_clear()
    before = shop.adapters.ledger.history("shop", limit=None)
    shown = []
    for more in ((), ("--apply",)):
        monkeypatch.setattr(sys, "argv", ["perennial", "probation", "shop", first, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        shown.append(capsys.readouterr().out)
    load_settings.cache_clear()

    found = json.loads(shown[0])
    assert (found["new"], found["former"], found["verdict"], found["start"]) == ("2", "1", "going on", first)
    assert "shop: version 2 on probation, going on: On probation by log_loss against version 1." in shown[1]
    assert shop.adapters.ledger.history("shop", limit=None) == before


def test_a_worse_champion_is_rolled_back_within_the_days_foreseen(shop: Shop):
    """By the labels, in the ledger whose chain holds, mailed once; the shadow stays and the daily look falls silent."""
    ledger, lake = shop.adapters.ledger, shop.adapters.lake
    start = TODAY + timedelta(days=1)
    assert probations.running("shop", ledger).declared.start == start

    for offset in range(LONGEST):
        watched = shop.day(start + timedelta(days=offset))
        if watched.rolled_back is not None:
            break
    mails: list[Any] = []
    for _ in range(2):
        tell.run(shop.case, shop.adapters, now=NOW)
        send.run(shop.adapters, deliver=mails.append, now=NOW)

    assert watched.look.by == "matured labels"
    assert watched.look.foreseen_days is not None
    assert offset + 1 <= watched.look.foreseen_days <= LONGEST
    assert ledger.champion("shop") == shop.adapters.registry.aliases("shop")["champion"] == "1"
    assert [mail.subject for mail in mails] == ["[Perennial] shop: rolled back to version 1"]
    assert lake.days(shop.case.shadow_table) == tuple(Window(start, start + timedelta(days=offset + 1)).days())
    assert shop.day(start + timedelta(days=offset + 1)).told() == "no probation is on"
    assert audit.run(shop.adapters).faults == ()


def test_the_shadow_is_maintained_and_forgotten_like_the_scores(shop: Shop):
    """A vacuum looks at it, and nobody who is forgotten stays in it."""
    shadow = shop.case.shadow_table
    customer = str(shop.adapters.lake.read(shadow, Window.of_day(TODAY + timedelta(days=1)))["customer"][0])
    freed = maintain.run(shop.case, shop.adapters, dry_run=True)
    record = forget.run(shop.case, customer, shop.adapters, who="ada", reason="asked", now=NOW)

    assert shadow in {each.table for each in freed}
    assert record.rows[shadow] > 0
    left = shop.adapters.lake.dataset(shadow).to_table(columns=["customer"])["customer"]
    assert customer not in {str(each) for each in left.unique().to_pylist()}
