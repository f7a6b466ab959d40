"""Rollback on a real registry: processes killed midway, artifacts that are gone, and many deciders at once."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
import toy
from perennial import projection
from perennial.catalog import read_folder
from perennial.errors import PerennialError, RefusedError
from perennial.io.registry import CHAMPION, PREVIOUS
from perennial.stages import audit, promote, rollback, score
from test_model_loop import NOW, TODAY, Shop, open_shop

pytestmark = pytest.mark.integration
CONTEXT = multiprocessing.get_context("spawn")
FOUR = 4


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop whose champion is version 2 after 1; version 3 has passed its gates against it."""
    shop = open_shop(tmp_path_factory.mktemp("ready"))
    for _ in range(2):
        version = shop.evaluated(shop.challenger())
        promote.run(shop.case, version, shop.adapters, who="ada", reason="better", now=NOW)
    shop.evaluated(shop.challenger())
    return shop


@pytest.fixture
def shop(ready: Shop, tmp_path: Path) -> Shop:
    """Return a copy whose decisions are its own; the artifacts are shared."""
    return Shop(tmp_path, *opened(_copy(ready, tmp_path)))


def _copy(ready: Shop, folder: Path) -> Path:
    shutil.copytree(ready.folder / "use_cases", folder / "use_cases")
    (folder / "home").mkdir()
    for name in ("ledger.db", "mlflow.db"):
        shutil.copy(ready.folder / "home" / name, folder / "home" / name)
    shutil.copytree(ready.folder / "home" / "lake", folder / "home" / "lake")
    return folder


def opened(folder: Path) -> tuple[object, object]:
    """Return use case and adapters of a folder."""
    return read_folder(folder / "use_cases" / "shop"), toy.adapters(folder / "home")


def die(*_arguments: object, **_options: object) -> None:
    """End this process as the machine would."""
    os.kill(os.getpid(), signal.SIGKILL)


def roll_back_until(folder: Path, part: str, step: str) -> None:
    """Roll back in a process of its own that is killed at a step."""
    case, adapters = opened(folder)
    setattr(getattr(adapters, part), step, die)
    rollback.run(case, "1", adapters, who="ada", reason="it loses money", now=NOW)


KILLS = [("ledger", "crown", "2"), ("registry", "set_alias", "1"), ("registry", "note", "1")]


@pytest.mark.parametrize(("part", "step", "champion"), KILLS)
def test_a_killed_rollback_has_happened_or_not_and_heals_at_the_next_run(
    shop: Shop, part: str, step: str, champion: str
):
    """Before its entry, between the entry and the aliases, and after the aliases: never anything half-done."""
    process = CONTEXT.Process(target=roll_back_until, args=(shop.folder, part, step))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert shop.adapters.ledger.champion("shop") == champion

    assert score.run(shop.case, TODAY, shop.adapters, run="next").model_version == champion
    other = {"1": "2", "2": "1"}[champion]
    assert shop.adapters.registry.aliases("shop") == {"challenger": "3", CHAMPION: champion, PREVIOUS: other}
    assert shop.adapters.ledger.latest("shop", "incident opened") is None
    assert audit.run(shop.adapters).faults == ()


def decide(folder: Path, how: str, start: object) -> str:
    """Roll back to 1, or promote 3, at the same moment as others; run in a process of its own."""
    case, adapters = opened(folder)
    start.wait()  # type: ignore[attr-defined]
    try:
        if how == "rollback":
            rollback.run(case, "1", adapters, who=how, reason="it loses money", now=NOW, run=how)
        else:
            promote.run(case, "3", adapters, who=how, reason="better", now=NOW, run=how)
    except PerennialError as error:
        return f"refused: {error}"
    return "done"


def test_of_rollbacks_and_promotions_at_once_one_wins(shop: Shop):
    """Two of each: one new champion, the aliases follow it, and whoever wanted the other one is refused by an entry."""
    with CONTEXT.Manager() as manager:
        start = manager.Barrier(FOUR)
        with CONTEXT.Pool(FOUR) as pool:
            asked = [(shop.folder, how, start) for how in ("rollback", "promotion") * 2]
            outcomes = pool.starmap(decide, asked)
    ledger = shop.adapters.ledger
    winner = ledger.reigns("shop")[2:]

    assert len(winner) == 1
    assert shop.adapters.registry.aliases("shop")[CHAMPION] == winner[0].to_version
    refused = [entry for entry in ledger.history("shop") if entry.action == "refused"]
    assert len(refused) == sum(outcome.startswith("refused") for outcome in outcomes) >= 2
    assert audit.run(shop.adapters).faults == ()


def test_a_version_whose_artifact_is_gone_is_refused(ready: Shop, shop: Shop, tmp_path: Path):
    """Somebody has cleaned up the store."""
    store = ready.folder / "home" / "mlartifacts"
    shutil.move(store, tmp_path / "elsewhere")
    try:
        with pytest.raises(RefusedError, match=r"version 1: its artifact cannot be loaded. MLflow at sqlite"):
            rollback.run(shop.case, "1", shop.adapters, who="ada", reason="so", now=NOW)
    finally:
        shutil.move(tmp_path / "elsewhere", store)

    assert shop.adapters.registry.aliases("shop")[CHAMPION] == "2"


def test_a_model_whose_artifact_was_changed_is_not_promoted(ready: Shop, shop: Shop):
    """One byte of it is another; as it was, its fingerprint is the one that was evaluated."""
    run_id = shop.adapters.registry.load("shop", "3").run_id
    evaluated = shop.adapters.ledger.latest_evaluation("shop", version="3")
    models = (ready.folder / "home" / "mlartifacts").rglob("model.skops")
    (model,) = [path for path in models if run_id in (path.parent / "MLmodel").read_text()]
    kept = model.read_bytes()
    assert shop.adapters.registry.fingerprint("shop", "3") == evaluated.report["artifact"]
    model.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        with pytest.raises(RefusedError, match="version 3 is not the model that was evaluated"):
            promote.run(shop.case, "3", shop.adapters, who="ada", reason="so", now=NOW)
    finally:
        model.write_bytes(kept)

    assert shop.adapters.ledger.champion("shop") == "2"


def test_an_alias_can_be_taken_away_twice(shop: Shop):
    """As the adapter says; and MLflow's own hand-moved alias is seen."""
    for _ in range(2):
        shop.adapters.registry.delete_alias("shop", CHAMPION)

    assert "is gone" in projection.standing("shop", shop.adapters).moved


def test_notes_are_found_by_their_name(shop: Shop):
    """Each model with what it has noted; a model that is not there has none."""
    registry = shop.adapters.registry

    assert set(registry.noted("ledger.champion")) == {"shop"}
    assert registry.notes("shop")["ledger.champion"] == shop.adapters.ledger.reigns("shop")[-1].anchor
    assert registry.notes("nobody") == {}
