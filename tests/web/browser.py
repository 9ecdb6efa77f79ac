"""A real browser on the pages of a node: what went wrong in it is kept, and pictures are taken where CI wants them."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]  # fmt: skip


def chromium() -> Path:
    """The browser of this machine. None is downloaded; `.ci/run` promises one."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        wanted = "Chromium is needed to run pages and clients of browsers: install your system's package `chromium`"
        if os.environ.get("PUNA_NPM") == "required":
            pytest.fail(wanted)
        pytest.skip(wanted)
    return Path(found)


@contextmanager
def a_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A person's window on the explorer. `wrong` collects what the browser complained about."""

    def __init__(self, context: BrowserContext, gateway: str):
        self.context = context
        self.gateway = gateway
        self.wrong: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("pageerror", lambda error: self.wrong.append(f"{error}"))
        self.page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        self.page.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not re.match(r"(http://127\.0\.0\.1:|data:|blob:)", url):
            self.wrong.append(f"the page asked for {url}")

    def open(self, place: str = "") -> Page:
        self.page.goto(f"{self.gateway}/#/{place}")
        return self.page

    def picture(self, name: str) -> None:
        """Take the page as it is on a desk and on a phone, when PUNA_SHOTS names a folder for pictures."""
        folder = os.environ.get("PUNA_SHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        for label, size in (("1280x800", DESK), ("390x844", PHONE)):
            self.page.set_viewport_size(size)
            self.page.screenshot(path=Path(folder) / f"{name}-{label}.png")
        self.page.set_viewport_size(DESK)
