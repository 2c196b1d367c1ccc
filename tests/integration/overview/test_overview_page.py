"""The overview and the page of a product in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.browser import DESKTOP, PHONE, Tab, open_tab
from tests.integration.overview.seen_platform import HOUSES, Seen, fill
from tests.integration.pipeline_pages.played_platform import sign_in


@pytest.fixture
def tab(browser: Browser, seen: Seen) -> Iterator[Tab]:
    fill(seen)
    with seen.served() as url, open_tab(browser, f"{url}/") as found:
        sign_in(found.page)
        yield found


def test_the_first_page_shows_what_needs_somebody_and_leads_to_it(tab: Tab) -> None:
    page = tab.page
    expect(page).to_have_url(re.compile("/overview$"))
    houses = page.get_by_role("region", name="House prices")
    expect(houses).to_contain_text("look at it")
    expect(houses.get_by_role("row", name="Drift")).to_contain_text("2026-03-30: total_sqft drifted.")
    expect(page.get_by_role("region", name="At a glance")).to_contain_text("Something should be looked at.")
    names = page.get_by_role("main").get_by_role("heading", level=2)
    expect(names).to_have_text(["At a glance", "House prices", "Traffic anomalies"])
    tab.shoot("overview")
    houses.get_by_role("link", name="House prices").click()
    expect(page.get_by_role("region", name="Assets")).to_contain_text("median_ape_gate")
    expect(page.get_by_role("region", name="Newest runs").get_by_role("row")).to_have_count(2)
    tab.shoot("product")


def test_what_changes_is_seen_without_being_asked_for(tab: Tab, seen: Seen) -> None:
    page = tab.page
    expect(page.get_by_role("region", name="House prices")).to_contain_text("1,200 answers")
    seen.down(f"{HOUSES}_production")
    page.clock.install()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("region", name="House prices")).to_contain_text("The production service hasn't answered")
    expect(page).to_have_title("Overview: Something is broken.")


def test_an_unknown_product_is_told_of(tab: Tab) -> None:
    tab.page.goto("/products/loans")
    expect(tab.page.get_by_role("main")).to_contain_text("No product 'loans'; there are: house_prices")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_pages_fit_every_window(browser: Browser, seen: Seen, size: object, scheme: str) -> None:
    fill(seen)
    with seen.served() as url, open_tab(browser, f"{url}/overview", size, color_scheme=scheme) as found:  # type: ignore[arg-type]
        sign_in(found.page)
        expect(found.page.get_by_role("region", name="House prices")).to_be_visible()
        assert found.overflow() == 0
        found.shoot(f"overview_{scheme}_{size['width']}")  # type: ignore[index]
        found.page.goto(f"/products/{HOUSES}")
        expect(found.page.get_by_role("region", name="Assets")).to_be_visible()
        assert found.overflow() == 0
        found.shoot(f"product_{scheme}_{size['width']}")  # type: ignore[index]
