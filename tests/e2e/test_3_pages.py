"""The pages inside Airflow, in a real browser: who sees them, whether all can use them, and what their forms do.

The tests tell one story, in the order they stand here, on the stack of `test_1_the_loop` and `test_2_decisions`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from live import await_true
from perennial import projection
from perennial.adapters import Adapters
from perennial.io import rows
from perennial.io.registry import CHAMPION
from perennial.local import stack
from perennial.local.airflow_api import Airflow, Run
from perennial.local.demo import Demo
from perennial.local.layout import Layout
from perennial.local.stack import SetupError
from perennial.local.steps import Steps
from perennial.local.supervision import Supervisor
from perennial.records import Window
from perennial.stages import quarantine
from visits import PHONE, Visits, framed, overhang, violations, visiting

pytestmark = pytest.mark.e2e
CASE = "/models/coupons"
PAGES = {
    "models": "/models",
    "model": CASE,
    "data": f"{CASE}/data",
    "drift": f"{CASE}/drift",
    "explain": f"{CASE}/explain",
    "backfill": f"{CASE}/backfill",
}
DAG_TABS = ("Model", "Data", "Drift", "Backfill plan")
RUN_TABS = ("Data", "Drift")
ACTING = {"viewer": False, "operator": True, "admin": True}
MODELS_SECONDS = 1.0  # of the server, for all use cases
WHY = "households behave otherwise since the holidays"


@pytest.fixture(scope="module")
def visits(layout: Layout, program: Callable[[str], str]) -> Iterator[Visits]:
    """Return a browser in which each login has a window, for all tests of this file."""
    with visiting(layout, program("chromium")) as opened:
        yield opened


@pytest.fixture(scope="module")
def adapters(demo: Demo) -> Adapters:
    """Return ledger, lake and registry of the stack."""
    return Adapters(demo.settings)


@pytest.fixture(scope="module")
def training(airflow: Airflow) -> Callable[[], Run]:
    """Return the newest run that trains; what it leads to is kept from beginning."""
    airflow.ask("PATCH", "/dags/coupons__model_promotion", json={"is_paused": True})
    return lambda: airflow.runs("coupons__continuous_training")[0]


def starter(airflow: Airflow, run: Run) -> str:
    """Return who started a run, as Airflow keeps it."""
    return str(airflow.ask("GET", f"/dags/{run.dag}/dagRuns/{run.id}")["triggering_user_name"])


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_nobody_sees_a_page_without_a_login(layout: Layout, path: str) -> None:
    """A browser is led to the login, with the way back; a program gets 401, from the page and from its JSON."""
    address = f"{layout.airflow_url}/perennial"
    browser = httpx.get(f"{address}{path}", headers={"Accept": "text/html"}, trust_env=False)
    programs = [httpx.get(f"{address}{each}", trust_env=False).status_code for each in (path, f"/api{path}")]

    assert (browser.status_code, browser.headers["location"]) == (303, f"/api/v2/auth/login?next=/perennial{path}")
    assert programs == [401, 401]


@pytest.mark.parametrize("login", ACTING)
def test_every_page_is_a_tab_of_airflow(visits: Visits, airflow: Airflow, login: str, pictures: Path) -> None:
    """In the navigation, on a DAG and on a run, for whoever logs in; who only looks finds no form that acts."""
    page, run = visits.of(login), airflow.runs("coupons__feature_build", state="success")[0]
    page.goto("/plugin/models")
    assert framed(page, "Models").locator("h1").inner_text() == "Models"
    page.screenshot(path=pictures / f"pages-{login}-navigation.png")
    seen = {}
    for place, tabs in ((f"/dags/{run.dag}", DAG_TABS), (f"/dags/{run.dag}/runs/{run.id}", RUN_TABS)):
        page.goto(place)
        for tab in tabs:
            page.get_by_role("link", name=tab, exact=True).first.click()
            frame = framed(page, tab)
            assert frame.get_by_label("Pages of coupons").locator("[aria-current=page]").inner_text() in tab
            seen[place, tab] = frame.locator("form[method=post]").count()
        page.screenshot(path=pictures / f"pages-{login}-{'run' if 'runs' in place else 'dag'}.png")

    assert bool(seen[f"/dags/{run.dag}", "Model"]) is ACTING[login]
    assert ACTING[login] or not any(seen.values())


def test_a_run_leads_to_its_day(visits: Visits, airflow: Airflow) -> None:
    """What its tab shows is of the day that it built."""
    run = airflow.runs("coupons__feature_build", state="success")[0]
    page = visits.of("viewer")
    page.goto(f"/perennial/dags/{run.dag}/runs/{run.id}/data")

    assert page.url.endswith(f"/perennial{CASE}/data/{run.key}")


def test_a_page_has_the_theme_of_airflow(visits: Visits) -> None:
    """Also when it is changed while the page is open."""
    page = visits.of("viewer")
    page.goto("/plugin/models")
    root = framed(page, "Models").locator("html")
    for theme, other in (("dark", "light"), ("light", "dark")):
        page.evaluate(f"document.documentElement.classList.replace('{other}', '{theme}')")
        page.evaluate(f"document.documentElement.classList.add('{theme}')")
        await_true(lambda theme=theme: root.get_attribute("data-theme") == theme, seconds=5)


def look_at(visits: Visits, path: str, name: str, pictures: Path) -> list[str]:
    """Return what keeps people from using a page: in light, in dark, on a phone; and of what the browser complains."""
    page = visits.of("operator")
    visits.complaints.clear()
    found = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        answer = page.goto(f"/perennial{path}", wait_until="load")
        found += [f"{theme}: {each}" for each in violations(page)]
        page.screenshot(path=pictures / f"page-{name}-{theme}.png", full_page=True)
        found += [] if answer and answer.ok else [f"{path} is not there"]
    page.set_viewport_size(PHONE)
    page.screenshot(path=pictures / f"page-{name}-phone.png", full_page=True)
    wider = overhang(page)
    return [*found, *visits.complaints, *([f"{wider} px wider than a phone"] if wider > 0 else [])]


@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_use_a_page(visits: Visits, name: str, pictures: Path) -> None:
    """In light and dark axe finds nothing serious, a phone shows all of it, and the browser complains of nothing."""
    assert look_at(visits, PAGES[name], name, pictures) == []


@pytest.fixture(scope="module")
def deeper(demo: Demo, adapters: Adapters) -> dict[str, str]:
    """Return the addresses of what the pages lead to, of the newest day and somebody who was scored on it."""
    day, case = demo.plan.yesterday, demo.plan.case
    entity = adapters.lake.read(case.predictions_table, Window.of_day(day))[case.entity][0].as_py()
    return {
        "day": f"{CASE}/data/{day}",
        "profile": f"{CASE}/data/features/spend_3d",
        "feature": f"{CASE}/drift/spend_3d",
        "prediction": f"{CASE}/explain?entity={entity}&day={day}&part=model",
        "plan": f"{CASE}/backfill?first_day={day}&last_day={day}&what=raw&what=features&what=predictions&which=all",
    }


@pytest.mark.parametrize("name", ["day", "profile", "feature", "prediction", "plan"])
def test_everybody_can_use_what_a_page_leads_to(
    visits: Visits, deeper: dict[str, str], name: str, pictures: Path
) -> None:
    """A day, a feature's profile and its drift, one prediction with its parts, a plan before it is applied."""
    assert look_at(visits, deeper[name], name, pictures) == []


def test_a_page_of_all_models_is_quick(visits: Visits) -> None:
    """The middle one of five times that the server takes, once it has read everything."""
    request, times = visits.of("viewer").request, []
    for _ in range(5):
        begun = time.perf_counter()
        answer = request.get("/perennial/models")
        times.append(time.perf_counter() - begun)
        assert answer.status == 200

    assert sorted(times)[2] < MODELS_SECONDS, times


def test_without_mlflow_the_pages_show_what_is_known(visits: Visits, layout: Layout, adapters: Adapters) -> None:
    """It is stopped: every page still comes, what does not answer is named, the champion is that of the ledger."""
    request, supervisor = visits.of("viewer").request, Supervisor(layout)
    supervisor.stop_one("mlflow")
    try:
        shown = {name: request.get(f"/perennial{path}") for name, path in PAGES.items()}
        texts = {name: answer.text() for name, answer in shown.items()}
    finally:
        supervisor.start_group("services")
        with Steps().step("Start MLflow again") as bar:
            stack.await_healthy(layout, bar=bar)

    assert {name: answer.status for name, answer in shown.items()} == dict.fromkeys(PAGES, 200)
    for name in ("models", "model"):
        assert "does not answer" in texts[name]
        assert f"version {adapters.ledger.champion('coupons')}" in texts[name]
    assert "How the days are" in texts["backfill"]
    assert "does not answer" not in request.get("/perennial/models").text()


def test_an_operator_takes_an_incident_on(visits: Visits, adapters: Adapters, demo: Demo, pictures: Path) -> None:
    """Acknowledged and snoozed on the page of the model, in their name; a viewer sees who is at work."""
    now, case = datetime.now(UTC), demo.plan.case
    adapters.registry.set_alias("coupons", CHAMPION, "2")
    projection.watch("coupons", adapters, now=now, who="airflow", run="by hand")
    page, viewer = visits.of("operator"), visits.of("viewer")
    try:
        for button, reason in (("Acknowledge", "I moved it"), ("Snooze", "until the meeting")):
            page.goto(f"/perennial{CASE}")
            page.get_by_text("Acknowledge or snooze").first.click()
            form = page.locator("form", has=page.get_by_role("button", name=button))
            form.locator("input[name=reason]").fill(reason)
            page.screenshot(path=pictures / f"pages-{button.lower()}.png")
            form.get_by_role("button").click()
            page.get_by_text("Entered in the ledger").wait_for()
        viewer.goto("/perennial/models")
        said = viewer.locator(".incident").first.inner_text()
        forms = viewer.locator("form[method=post]").count()
    finally:
        projection.repair("coupons", adapters, reason="a try", now=datetime.now(UTC), who="operator", run="by hand")
    made = adapters.ledger.history(case.name, actions=("incident acknowledged", "incident snoozed"), limit=2)

    assert [(entry.action, entry.who, entry.reason) for entry in made] == [
        ("incident snoozed", "operator", "until the meeting"), ("incident acknowledged", "operator", "I moved it"),
    ]  # fmt: skip
    assert "At work on it: operator" in said
    assert forms == 0


def test_an_operator_starts_a_training(
    visits: Visits, airflow: Airflow, training: Callable[[], Run], pictures: Path
) -> None:
    """From the page, with a reason; Airflow has the run in their name."""
    page, before = visits.of("operator"), training().id
    page.goto(f"/perennial{CASE}")
    form = page.locator(f"form[action='/perennial{CASE}/retrain']")
    form.locator("input[name=reason]").fill(WHY)
    page.screenshot(path=pictures / "pages-retrain.png", full_page=True)
    form.get_by_role("button").click()
    page.get_by_text("Airflow has started the training").wait_for()

    assert training().id != before
    assert starter(airflow, training()) == "operator"


def test_a_backfill_is_planned_and_applied_within_airflow(
    visits: Visits, airflow: Airflow, adapters: Adapters, demo: Demo, pictures: Path
) -> None:
    """The page says what it touches and saves nothing; its button starts the run, which leads out of the frame."""
    first = demo.plan.built.start
    plans, page = adapters.plans.names("coupons"), visits.of("operator")
    page.goto("/dags/coupons__backfill/plugin/perennial_dag_backfill_plan")
    frame = framed(page, "Backfill plan")
    frame.get_by_label("First day").fill(str(first))
    frame.get_by_label("Last day").fill(str(first + timedelta(days=1)))
    frame.get_by_label("Which days").select_option("all")
    frame.get_by_role("button", name="Show what it touches").click()
    button = frame.get_by_role("button", name="Build 2 days")
    button.wait_for()
    page.screenshot(path=pictures / "pages-backfill-plan.png")
    assert adapters.plans.names("coupons") == plans
    button.click()
    frame.get_by_text("Airflow has started the backfill.").wait_for()
    frame.get_by_role("link", name="Open").first.click()
    page.wait_for_url("**/dags/coupons__backfill/runs/**")
    run = airflow.await_success(airflow.runs("coupons__backfill")[0])
    entry = adapters.ledger.history("coupons", actions=("backfill applied",))[0]

    assert page.url.split("/runs/")[1].replace("%3A", ":").replace("%2B", "+").startswith(run.id)
    assert starter(airflow, run) == entry.who == "operator"
    assert entry.run == run.id
    assert entry.report["plan"] in adapters.plans.names("coupons")
    page.goto(f"/perennial{CASE}/backfill")
    assert f"entry {entry.id} of the ledger" in page.locator("body").inner_text()


def test_a_day_is_built_again_from_its_page(visits: Visits, airflow: Airflow, demo: Demo) -> None:
    """One click starts the run of that day in the operator's name, and the page says so."""
    page, day = visits.of("operator"), demo.plan.yesterday
    page.goto(f"/perennial{CASE}/data/{day}")
    page.locator(f"form[action='/perennial{CASE}/data/{day}/build'] button").click()
    page.get_by_text("Airflow has started to build the day again.").wait_for()
    run = airflow.await_success(airflow.runs("coupons__feature_build")[0])

    assert (run.key, starter(airflow, run)) == (str(day), "operator")


def test_refused_rows_are_driven_again_from_the_page(
    visits: Visits, airflow: Airflow, adapters: Adapters, demo: Demo
) -> None:
    """With a reason; the run knows who asked, and the row, which passes today's checks, is in quarantine no more."""
    page, case, day = visits.of("operator"), demo.plan.case, demo.plan.yesterday
    marks = rows.Marks(suite="an older one", run="test")

    def refused(stored: Mapping[date, pa.Table]) -> dict[date, pa.Table]:
        return {day: rows.refuse(stored[day], {0: ("an old limit",)}, marks)}

    adapters.lake.update_days(case.raw_table("transactions"), [day], refused, metadata={"run": "test"})
    page.goto(f"/perennial{CASE}/data")
    assert "an old limit" in page.locator("#refusals").inner_text()
    page.get_by_text("Re-drive refused rows").first.click()
    form = page.locator(f"form[action='/perennial{CASE}/data/redrive']")
    form.locator("input[name=reason]").fill("the suite was too strict")
    form.get_by_role("button").click()
    page.get_by_text("Airflow has started to re-drive the rows.").wait_for()
    run = airflow.await_success(airflow.runs("coupons__redrive")[0])

    assert starter(airflow, run) == "operator"
    assert quarantine.listed(case, adapters) == ()


def test_an_operator_rolls_back(visits: Visits, airflow: Airflow, adapters: Adapters, pictures: Path) -> None:
    """To a former champion, with a reason; the ledger has both, and the alias follows."""
    page, before = visits.of("operator"), adapters.ledger.champion("coupons")
    page.goto(f"/perennial{CASE}")
    form = page.locator(f"form[action='/perennial{CASE}/rollback']")
    version = form.locator("select[name=to_version] option").first.get_attribute("value")
    form.locator("input[name=reason]").fill("it loses money again")
    form.get_by_role("button").click()
    page.get_by_text("Airflow has started the rollback").wait_for()
    run = airflow.await_success(airflow.runs("coupons__rollback")[0])
    crowned = adapters.ledger.reigns("coupons")[-1]
    page.goto(f"/perennial{CASE}")
    page.screenshot(path=pictures / "pages-rolled-back.png", full_page=True)

    assert (crowned.action, crowned.from_version, crowned.to_version) == ("rolled back", before, version)
    assert (crowned.who, crowned.reason, starter(airflow, run)) == ("operator", "it loses money again", "operator")
    assert adapters.registry.version_of("coupons", CHAMPION) == version
    assert f"version {version}" in page.locator("main").inner_text()


def test_the_training_names_who_asked_for_it(airflow: Airflow, adapters: Adapters, training: Callable[[], Run]) -> None:
    """In the ledger, with the reason that was given on the page."""
    run = airflow.await_success(training())
    entry = adapters.ledger.latest("coupons", "trained")

    assert entry is not None
    assert (entry.who, entry.run) == ("operator", run.id)
    assert WHY in entry.reason


@pytest.mark.parametrize("path", ["retrain", "rollback", "backfill", "data/redrive"])
def test_who_only_looks_starts_nothing(layout: Layout, airflow: Airflow, path: str) -> None:
    """The forms that a viewer does not see are refused where they send them all the same."""
    day = str(datetime.now(UTC).date() - timedelta(days=9))
    form = {"reason": "me too", "to_version": "1", "first_day": day, "last_day": day, "what": "features"}
    dags = ("continuous_training", "rollback", "backfill", "redrive")
    before = [airflow.runs(f"coupons__{dag}")[0].id for dag in dags]

    with pytest.raises(SetupError, match="403"):
        Airflow(layout, login="viewer").submit(f"models/coupons/{path}", **form)
    assert [airflow.runs(f"coupons__{dag}")[0].id for dag in dags] == before
