"""People who look at the pages, each in a browser window of their own that stays open for a file of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from perennial.local import credentials
from perennial.local.layout import Layout
from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright

QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
FRAME_MILLISECONDS = 30_000
SERIOUS = {"serious", "critical"}
DESK, PHONE = {"width": 1400, "height": 900}, {"width": 360, "height": 740}


@dataclass
class Visits:
    """Opens a window for each login once.

    Attributes:
        browser: Chromium.
        layout: of the running stack.
        complaints: what the browser refused or could not run, a line each, since somebody last looked.
        windows: by login.
    """

    browser: Browser
    layout: Layout
    complaints: list[str] = field(default_factory=list)
    windows: dict[str, Page] = field(default_factory=dict)

    def window(self) -> Page:
        """Return a window in which nobody is logged in."""
        page = self.browser.new_context(viewport=DESK, base_url=self.layout.airflow_url).new_page()
        page.set_default_timeout(FRAME_MILLISECONDS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        return page

    def of(self, login: str) -> Page:
        """Return somebody's window; the first time they come to the Models page, which leads to the login and back."""
        if login not in self.windows:
            page = self.windows[login] = self.window()
            page.goto("/perennial/models")
            page.fill("input[name=username]", login)
            page.fill("input[name=password]", credentials.passwords(self.layout)[login])
            page.click("button[type=submit]")
            page.wait_for_url("**/perennial/models")
        self.windows[login].set_viewport_size(DESK)
        return self.windows[login]

    def _hear(self, message: Any) -> None:
        place = str(message.location.get("url", ""))
        if message.type == "error" and "/perennial/" in place:
            self.complaints.append(f"{place}: {message.text}")


@contextmanager
def visiting(layout: Layout, chromium: str) -> Iterator[Visits]:
    """Keep a browser open for as long as the block runs."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, *sandbox])
        yield Visits(browser, layout)
        browser.close()


def framed(page: Page, name: str) -> FrameLocator:
    """Return a view within Airflow's page, by its name, once it shows something."""
    frame = page.frame_locator(f'iframe[title="{name}"]')
    frame.locator("h1").wait_for()
    return frame


def violations(page: Page) -> list[str]:
    """Return what keeps people from using a page, by the rules of axe that are serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in SERIOUS
    ]


def overhang(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
