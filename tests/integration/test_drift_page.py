"""The drift page in a real browser, against the control API on a month of stored verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mlops_assets.api.app import create_app
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.browser import PHONE, Tab, open_tab, sign_in
from tests.integration.drift_pages import CALM, NEW, PRODUCT, TOKEN, Drifted, drifted
from tests.integration.serving_thread import served
from tests.made_verdicts import category, keep, number, verdict

MARKUP = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Drifted]:
    with drifted(database, tmp_path) as found:
        yield found


@pytest.fixture
def tab(browser: Browser, api: Drifted) -> Iterator[Tab]:
    with open_tab(browser, f"{api.url}/drift") as found:
        sign_in(found.page, TOKEN)
        expect(found.page.locator(".map")).to_be_visible()
        yield found


def cell(page: Page, column: str | None, day: str) -> Locator:
    """The button of a column on a day; None is the day as a whole."""
    of_column = f'[data-column="{column}"]' if column else ":not([data-column])"
    return page.locator(f'.map .cell[data-day="{day}"]{of_column}')


def test_the_newest_day_is_told_first(tab: Tab, api: Drifted) -> None:
    page = tab.page
    head = page.locator(".head")
    expect(head.get_by_role("heading", name="House prices")).to_be_visible()
    expect(head.locator(".chip")).to_have_text(["▲ drifted", "Promotions blocked"])
    expect(head).to_contain_text("5 columns drifted")
    follows = page.locator('[data-key="follows"]')
    expect(follows).to_contain_text("Promotions are blocked: total_sqft and estimate drifted")
    expect(follows).to_contain_text("2 more days without drift lift it")
    expect(page.locator(".blocks .chip")).to_have_text(["Blocked", "Lifted", "Blocked"])
    facts = page.locator(".facts-card")
    expect(facts).to_contain_text("5 of 10 columns drifted: total_sqft, bhk, bath, estimate, error")
    expect(facts.locator("tbody tr").first).to_contain_text("total_sqft")
    expect(page.locator("#connection")).to_have_text("Live")
    tab.shoot("drift_desktop")


def test_each_cell_says_in_words_what_its_colour_says(tab: Tab, api: Drifted) -> None:
    page = tab.page
    expect(page.get_by_role("columnheader")).to_have_count(31 + 5)
    expect(page.locator(".map tbody tr")).to_have_count(11)
    strong = cell(page, "total_sqft", api.day(0))
    expect(strong).to_have_text("2.9")
    expect(strong).to_have_accessible_name(_like("total_sqft, ", ": drifted, 2.9 times its limit"))
    expect(cell(page, "location", api.day(0))).to_have_accessible_name(_like("location, ", ": no drift"))
    few = cell(page, None, api.day(7))
    expect(few).to_have_text("–")
    expect(few).to_have_accessible_name(_like("Whole day, ", ": too few rows"))
    expect(cell(page, "bhk", api.day(7))).to_have_accessible_name(_like("bhk, ", ": too few rows"))
    expect(cell(page, None, api.day(29))).to_have_accessible_name(_like("Whole day, ", ": no reference"))
    missing = page.locator(f'.map [data-key="{api.day(12)}"]')
    expect(missing).to_have_count(11)
    expect(missing.first).to_have_text("no verdict")
    expect(page.locator(".map-legend li")).to_have_count(7)


def _like(before: str, after: str) -> re.Pattern[str]:
    return re.compile(f"^{re.escape(before)}.+{re.escape(after)}$")


def test_a_cell_of_numbers_opens_to_both_sides(tab: Tab, api: Drifted) -> None:
    page = tab.page
    cell(page, "total_sqft", api.day(0)).click()
    facts = page.locator(".facts-card")
    expect(facts.get_by_role("heading")).to_contain_text("total_sqft, ")
    expect(page).to_have_url(f"{api.url}/drift#{PRODUCT}/{api.day(0)}/total_sqft")
    expect(cell(page, "total_sqft", api.day(0))).to_have_attribute("aria-pressed", "true")
    expect(page.locator('.map [aria-pressed="true"]')).to_have_count(1)
    expect(facts).to_contain_text("moved by 0.29 standard deviations, from 1,276 to 1,438 (median)")
    expect(facts.locator(".key.turned")).to_have_count(2)
    expect(facts.locator(".keys")).to_contain_text("0.29 limit 0.1")
    expect(facts.locator(".keys")).to_contain_text("< 10⁻⁹ limit 0.001")
    expect(facts.get_by_role("row", name="Median")).to_contain_text("1,276")
    expect(facts.get_by_role("row", name="Median")).to_contain_text("1,438")
    expect(facts.get_by_role("row", name="Missing").first).to_contain_text("no")
    boxes = [facts.locator(f".range.{side} .half").bounding_box() for side in ("reference", "current")]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] < boxes[1]["x"], "the day's values lie further right"
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=2)
    expect(page.locator("#announce")).to_contain_text("drifted, 2.9 × its limit")
    tab.shoot("drift_column")


def test_a_cell_of_words_opens_to_the_commonest_values(tab: Tab, api: Drifted) -> None:
    page = tab.page
    cell(page, "location", api.day(17)).click()
    facts = page.locator(".facts-card")
    expect(facts.get_by_role("row", name="Whitefield")).to_contain_text("31")
    expect(facts.get_by_role("row", name="Devanahalli")).to_contain_text("36")
    expect(facts.locator(".risen")).to_contain_text("Not in the training data")
    expect(facts).to_contain_text("For example: Sunrise Layout, Airport City")
    widths = facts.get_by_role("row", name="Devanahalli").locator(".bar").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )  # fmt: skip
    assert widths[1] > 3 * widths[0]


def test_days_that_say_nothing_are_shown_as_such(tab: Tab, api: Drifted) -> None:
    page = tab.page
    cell(page, None, api.day(7)).click()
    facts = page.locator(".facts-card")
    expect(facts).to_contain_text("84 rows are too few: 200 are needed")
    expect(facts.locator(".chip")).to_have_text("– too few rows")
    cell(page, "bhk", api.day(7)).click()
    expect(facts).to_contain_text("bhk was not compared on this day")
    page.goto(f"{api.url}/drift/{PRODUCT}/{api.day(12)}")
    expect(facts).to_contain_text("This day was not compared")


def test_the_map_is_walked_with_the_keyboard(tab: Tab, api: Drifted) -> None:
    page = tab.page
    expect(page.locator('.map .cell[tabindex="0"]')).to_have_count(1)
    cell(page, None, api.day(0)).focus()
    page.keyboard.press("ArrowDown")
    expect(cell(page, "total_sqft", api.day(0))).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(cell(page, "total_sqft", api.day(1))).to_be_focused()
    page.keyboard.press("Home")
    expect(cell(page, "total_sqft", api.day(29))).to_be_focused()
    page.keyboard.press("End")
    cell(page, "total_sqft", api.day(11)).focus()
    page.keyboard.press("ArrowLeft")
    expect(cell(page, "total_sqft", api.day(13))).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(cell(page, None, api.day(13))).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(cell(page, None, api.day(13))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{api.url}/drift#{PRODUCT}/{api.day(13)}")
    expect(cell(page, None, api.day(13))).to_be_focused()
    expect(page.locator('.map .cell[tabindex="0"]')).to_have_count(1)


def test_a_day_can_be_linked_to_and_leads_back_and_forth(tab: Tab, api: Drifted) -> None:
    page = tab.page
    page.goto(f"{api.url}/drift/{PRODUCT}/{api.day(2)}")
    expect(page).to_have_url(f"{api.url}/drift#{PRODUCT}/{api.day(2)}")
    facts = page.locator(".facts-card")
    expect(facts).to_contain_text("4 of 10 columns drifted")
    facts.get_by_role("link", name="estimate").click()
    expect(facts.get_by_role("heading")).to_contain_text("estimate, ")
    page.go_back()
    expect(facts).to_contain_text("4 of 10 columns drifted")
    page.locator(".names").get_by_role("button", name="bath").click()
    expect(facts.get_by_role("heading")).to_contain_text("bath, ")
    page.goto(f"{api.url}/drift/{CALM}")
    expect(page.get_by_role("heading", name="Loans")).to_be_visible()
    expect(page.locator(".head .chip")).to_have_text("· no drift")
    expect(page.get_by_text("Drift has never blocked a promotion.")).to_be_visible()


def test_the_full_report_draws_and_reaches_nothing(tab: Tab, api: Drifted) -> None:
    with tab.page.expect_popup() as opened:
        tab.page.get_by_role("link", name="Full report").click()
    report = opened.value
    expect(report.locator("#said")).to_have_text("drawn, kept in, no cookie")
    run = tab.page.get_by_role("link", name="Dagster run")
    expect(run).to_have_attribute("href", re.compile(f"/runs/run-of-{api.day(0)}$"))
    keep(api.database, verdict(api.last, number("total_sqft", 1276, 560)))
    tab.page.reload()
    expect(tab.page.locator(".facts-card")).to_contain_text("the reports of the newest 30 days are kept")
    expect(tab.page.get_by_role("link", name="Full report")).to_have_count(0)


def test_older_days_are_paged_to(tab: Tab, api: Drifted) -> None:
    page = tab.page
    keep(api.database, verdict(api.last.replace(year=api.last.year - 1), number("old", 1, 1, effect=0.3)))
    page.reload()
    page.get_by_role("button", name="← Earlier").click()
    expect(page.locator('.map [data-key="total_sqft"]')).to_have_count(0)
    expect(page.get_by_role("button", name="Later →")).to_be_enabled()
    page.get_by_role("button", name="Later →").click()
    expect(cell(page, "total_sqft", api.day(0))).to_be_visible()
    expect(page.get_by_role("button", name="Later →")).to_be_disabled()
    page.goto(f"{api.url}/drift/{PRODUCT}/{api.last.replace(year=api.last.year - 1)}")
    expect(page.locator('.map [data-column="old"]')).to_have_text("3.0")


def test_what_people_sent_is_text(tab: Tab, api: Drifted) -> None:
    page = tab.page
    column = category("location", effect=0.3, top={"Hebbal": 0.6, MARKUP: 0.4}, unseen=0.3, examples=(MARKUP,))
    keep(api.database, verdict(api.last, column, reasons=(MARKUP,)))
    page.goto(f"{api.url}/drift#{PRODUCT}/{api.day(0)}/location")
    page.reload()
    expect(page.locator(".values")).to_contain_text(MARKUP)
    cell(page, None, api.day(0)).click()
    expect(page.locator(".sentences")).to_have_text(MARKUP)
    assert page.title() == "Drift: House prices"
    assert page.locator("main img").count() == 0


def test_a_product_that_was_not_compared_yet_says_what_to_expect(tab: Tab, api: Drifted) -> None:
    page = tab.page
    page.get_by_role("link", name="Rents").click()
    expect(page).to_have_url(f"{api.url}/drift#{NEW}")
    expect(page.locator(".head .empty")).to_contain_text("No day was compared yet.")
    expect(page.locator(".head .empty")).to_contain_text(f"backfill the asset {NEW}/drift_report")
    expect(page.locator(".map")).to_have_count(0)


def test_an_installation_without_products_says_so(browser: Browser, database: Database, tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), database, token=TOKEN, subjects=[])
    with served(app) as url, open_tab(browser, f"{url}/drift") as tab:
        sign_in(tab.page, TOKEN)
        expect(tab.page.locator("#drift")).to_have_text("No product is served by this installation yet.")


def test_it_says_when_it_lost_the_api_and_comes_back(tab: Tab) -> None:
    page = tab.page
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("link", name="Loans").click()
    expect(page.locator("#connection")).to_contain_text("Disconnected: the API can't be reached")
    page.unroute("**/api/**")
    expect(page.locator("#connection")).to_have_text("Live", timeout=20_000)
    expect(page.get_by_role("heading", name="Loans")).to_be_visible()


def test_the_pages_lead_to_each_other_and_share_the_session(tab: Tab) -> None:
    page = tab.page
    page.get_by_role("link", name="Rollouts").click()
    expect(page.get_by_role("heading", name="Rollouts")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_role("link", name="Drift", exact=True).click()
    expect(page.locator(".map")).to_be_visible()
    tab.context.clear_cookies()
    page.get_by_role("link", name="Loans").click()
    expect(page.get_by_text("The session is over.")).to_be_visible()
    expect(page.locator("#drift")).to_be_hidden()
    sign_in(page, TOKEN)
    expect(page.get_by_role("heading", name="Loans")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_map_and_not_the_page(browser: Browser, api: Drifted, scheme: str) -> None:
    with open_tab(browser, f"{api.url}/drift", PHONE, color_scheme=scheme, has_touch=True) as tab:
        page = tab.page
        assert tab.overflow() == 0
        sign_in(page, TOKEN)
        expect(page.locator(".map")).to_be_visible()
        assert tab.overflow() == 0
        scroller = page.locator(".map-scroll")
        assert scroller.evaluate("node => node.scrollLeft + node.clientWidth >= node.scrollWidth - 1")
        for day, column in ((0, "total_sqft"), (17, "location")):
            page.goto(f"{api.url}/drift#{PRODUCT}/{api.day(day)}/{column}")
            expect(page.locator(".facts-card h3")).to_contain_text(f"{column}, ")
            expect(page.locator(".sides")).to_be_visible()
            assert tab.overflow() == 0
            tab.shoot(f"drift_phone_{scheme}_{column}")
        head = page.locator('.map [data-key="total_sqft"] th').bounding_box()
        assert head is not None
        assert head["x"] >= 0, "the names stay in sight"
