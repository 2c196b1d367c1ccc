"""The resources page in a real browser: what changed, the sums and how they sort, one run, both schemes, a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import text

from mlops_assets.storage.database import Database
from tests.integration.browser import DESKTOP, PHONE, open_tab, sign_in
from tests.integration.usage.made_attempts import TOKEN, Filled, used

SLOWER = r"▲ slower.*model of house_prices: 2\.\d × slower \(4\.\d s → [89]"
SCHEMES: tuple[Any, ...] = ("light", "dark")


@pytest.fixture
def console(with_dagster: Database, tmp_path: Path) -> Iterator[Filled]:
    """A fortnight of attempts behind the console."""
    with used(with_dagster, tmp_path) as filled:
        yield filled


def enter(page: Page) -> None:
    """Sign in, and wait for all that is asked first."""
    sign_in(page, TOKEN)
    expect(page.locator("#connection")).to_have_text("Live")


def first_cells(page: Page) -> list[str]:
    """The rows' names."""
    return [text.strip() for text in page.locator("[data-key=sums] tbody th").all_text_contents()]


def test_the_page_answers_what_got_slower_or_bigger_and_what_it_costs(browser: Browser, console: Filled) -> None:
    with open_tab(browser, f"{console.url}/resources") as tab:
        page = tab.page
        enter(page)
        changes = page.locator("#changes")
        expect(changes.locator("li").first).to_contain_text(re.compile(SLOWER))
        expect(changes.locator("li", has_text="the memory")).to_contain_text("▲ bigger")
        improved = changes.get_by_text("× faster")
        expect(improved).to_be_hidden()
        changes.get_by_text("Faster or smaller").click()
        expect(improved).to_be_visible()
        assert first_cells(page) == ["traffic_anomalies", "house_prices", "nightly_sums pipeline"]
        row = page.locator("[data-key='product traffic_anomalies product'], tr", has_text="traffic_anomalies").first
        expect(row).to_contain_text("1 died")
        expect(page.locator("#strip")).to_contain_text("a CPU hour")
        expect(page.locator("#strip")).to_contain_text(re.compile(r"Cost\$0\.\d+"))


def test_the_table_sorts_and_the_address_keeps_what_is_asked(browser: Browser, console: Filled) -> None:
    with open_tab(browser, f"{console.url}/resources?by=stage") as tab:
        page = tab.page
        enter(page)
        expect(page.get_by_role("heading", name="Usage by stage")).to_be_visible()
        page.get_by_role("button", name="Stage").click()
        expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Stage")
        assert first_cells(page) == ["data", "load", "metrics", "model", "scores"]
        page.get_by_role("button", name="Peak memory").click()
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("Peak memory")
        assert first_cells(page)[0] == "scores"
        page.get_by_label("Period").select_option("24 hours")
        expect(page.locator("[data-key=sums] tbody tr")).to_have_count(5)
        assert "sort=-peak_memory_bytes" in page.url
        assert "period=day" in page.url
        page.reload()
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("Peak memory")


def test_one_run_with_what_is_known_and_what_is_not(browser: Browser, console: Filled) -> None:
    with open_tab(browser, f"{console.url}/resources") as tab:
        page = tab.page
        enter(page)
        page.get_by_label("One run").fill(console.run_id)
        card = page.locator("[data-key=run]")
        expect(card.locator("tbody tr")).to_have_count(3)
        expect(card).to_contain_text("↻ tried again")
        expect(card.locator("tr", has_text="attempt 2")).to_contain_text("▶ running")
        page.get_by_label("One run").fill("<b>none</b>")
        expect(card).to_contain_text("There is no run “<b>none</b>”.")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_fits_and_is_readable_for_everybody(browser: Browser, console: Filled, size: ViewportSize) -> None:
    with open_tab(browser, f"{console.url}/resources?run={console.run_id}", size) as tab:
        enter(tab.page)
        expect(tab.page.locator("#changes li").first).to_be_visible()
        for scheme in SCHEMES:
            tab.page.emulate_media(color_scheme=scheme)
            found = Axe().run(tab.page).response["violations"]
            assert not found, [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]
            tab.shoot(f"resources_{scheme}_{size['width']}")
        assert tab.overflow() == 0


def test_nothing_measured_yet_is_said(browser: Browser, console: Filled, tables: Database) -> None:
    with tables.engine.begin() as connection:
        connection.execute(text("TRUNCATE mlops.stage_usage"))
    with open_tab(browser, f"{console.url}/resources") as tab:
        enter(tab.page)
        expect(tab.page.locator("#rows .empty")).to_contain_text("No stage has begun in this time")
        expect(tab.page.locator("#changes")).to_contain_text("Nothing got clearly slower or bigger.")
