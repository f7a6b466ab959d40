"""The card of a model that was really trained, and the command that writes it."""

from __future__ import annotations

import pytest
import toy
from perennial.cards import path
from test_model_loop import Shop, open_shop
from test_reproduction import crowned, reproduced, shell

pytestmark = pytest.mark.integration
WORDS = {"owner": "Shop team, shop@example.org", "purpose": "Whom to remind.", "limits": ["Sixty customers only."]}

SHOWN = ("Shop team", "Sixty customers only.", "champion", "raw/shop/orders", "features/shop", "logistic_regression",
         "orders_again", "days_since_order", "training", "newest evaluation")  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop whose champion, version 1, has a card with words."""
    found = open_shop(tmp_path_factory.mktemp("shop"))
    found.case = toy.shop(found.folder / "use_cases", declared=toy.spec(card=WORDS))
    return crowned(found)


def read(shop: Shop, ending: str) -> str:
    """Return a file of the champion's card."""
    return (shop.adapters.settings.pages_root / path("shop", "1", ending=ending)).read_text()


def test_a_champion_has_both_files(shop: Shop):
    """Words, figures of the real training, its picture, its tables, and what it took."""
    html, markdown = read(shop, "html"), read(shop, "md")

    for text in (html, markdown):
        for expected in SHOWN:
            assert expected in text
    assert "data:image/png;base64," in html
    assert "What its training took was not recorded." not in markdown


def test_mlflow_leads_to_the_card_and_keeps_the_cost(shop: Shop):
    """A tag and the description of the version; metrics of the run, equal to the ledger's."""
    import mlflow

    client = mlflow.MlflowClient(shop.adapters.settings.mlflow)
    version = client.get_model_version("shop", "1")
    metrics = client.get_run(version.run_id).data.metrics
    cost = shop.adapters.ledger.latest("shop", "trained", version="1").report["cost"]

    assert version.tags["card"].endswith("/perennial/pages/cards/shop/version-1.html")
    assert f"[Model card]({version.tags['card']})" in version.description
    assert {name: metrics[f"cost_{name}"] for name in cost} == cost
    assert cost["compute_seconds"] > 0


def test_the_command_writes_the_card_anew_after_a_reproduction(shop: Shop):
    """The receipt stands on it, with money where a rate is set; the path is printed, or the Markdown of the file."""
    assert reproduced(shop, today=shop.case).reason == "rebuilt, every stage equal"
    assert "Not reproduced yet" in read(shop, "md")
    done = shell(shop, "card", "shop", PERENNIAL_COMPUTE_RATE="0.05", PERENNIAL_COMPUTE_CURRENCY="EUR")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(shop.adapters.settings.pages_root / path("shop", "1"))
    assert "At 0.05 EUR a CPU hour." in read(shop, "md")
    assert "| predictions | equal |" in read(shop, "md")
    printed = shell(shop, "card", "shop@champion", "--markdown")

    assert printed.stdout.strip() == read(shop, "md").strip()
    assert "EUR" not in printed.stdout


def test_a_version_that_is_not_there_is_exit_2_with_the_nearest(shop: Shop):
    """The same words as for a reproduction."""
    done = shell(shop, "card", "shop@champoin")

    assert (done.returncode, done.stdout) == (2, "")
    assert "shop has no version 'champoin'. Did you mean 'champion'" in done.stderr
