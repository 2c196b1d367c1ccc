"""A real browser for tests: the system's Chromium, headless, without a way to the outside.

Add here what every test of a page needs. Keep out what a page should show.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 30_000
DESKTOP = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=360, height=740)
SHOTS = "MLOPS_TEST_SHOTS"


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Chromium; a machine without one fails the test."""
    # Pages ask again every five seconds: what is expected may come with the second answer.
    expect.set_options(timeout=3 * WAIT_MS / 2)
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium on this machine: the pages can't be tested (apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS, timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A page of its own context, and everything that it complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _console(self, message: Any) -> None:
        # A refused request is logged by the browser itself; that is the server's business, not the page's.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wider

    def shoot(self, name: str, full_page: bool = True) -> None:
        """Keep a picture, in the folder that MLOPS_TEST_SHOTS names."""
        folder = os.environ.get(SHOTS)
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=full_page)


@contextlib.contextmanager
def open_tab(browser: Browser, url: str, size: ViewportSize = DESKTOP, **options: Any) -> Iterator[Tab]:
    """A fresh page at `url`; leaving fails if it raised errors or asked another host for anything."""
    context = browser.new_context(viewport=size, base_url=url, **options)
    try:
        tab = Tab(context)
        tab.page.goto(url)
        yield tab
        assert not tab.complaints, tab.complaints
        outside = [asked for asked in tab.asked if not asked.startswith((_origin(url), "data:"))]
        assert not outside, f"asked elsewhere: {outside}"
    finally:
        context.close()


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def sign_in(page: Page, token: str, name: str = "") -> None:
    """Give the token, and wait for the answer to it."""
    page.get_by_label("Operator token").fill(token)
    if name:
        page.get_by_label("Your name").fill(name)
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/session")):
        page.get_by_role("button", name="Sign in").click()
