"""The page for people who want an estimate, in a real browser, against a service that can fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.integration.browser import PHONE, Tab, open_tab
from tests.integration.estimate_stand_in import PREDICTION, StandIn
from tests.integration.serving_thread import served

MARKUP = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def service() -> StandIn:
    return StandIn()


@pytest.fixture
def tab(browser: Browser, service: StandIn) -> Iterator[Tab]:
    with served(service.app) as url, open_tab(browser, f"{url}/") as found:
        yield found


def fill(page: Page, location: str = "Hebbal") -> None:
    """The required fields."""
    page.get_by_label("Area in square feet").fill("1,200")
    page.get_by_role("combobox", name="Location").fill(location)
    page.get_by_label("Bedrooms", exact=True).fill("2")
    page.get_by_label("Bathrooms", exact=True).fill("3")


def ask(page: Page) -> None:
    page.get_by_role("button", name="Estimate").click()


def test_from_the_form_to_the_estimate_to_the_rating(tab: Tab, service: StandIn) -> None:
    page = tab.page
    fill(page)
    page.get_by_text("More details").click()
    page.get_by_label("Balconies", exact=True).press("ArrowUp")
    ask(page)
    expect(page.locator(".value")).to_have_text("₹\u00a01.26\u00a0crore")
    answer = page.locator("#estimate")
    for shown in ("₹\u00a01,25,50,000", "₹\u00a098.25\u00a0lakh", "₹\u00a01.60\u00a0crore", "sample data", "release 7"):
        expect(answer).to_contain_text(shown)
    expect(page.locator("#status")).to_contain_text("Estimate: ₹\u00a01.26\u00a0crore, likely between")
    assert service.records == [{"total_sqft": 1200, "location": "Hebbal", "bhk": 2, "bath": 3, "balcony": 0}]

    page.get_by_title("4 of 5, good").click()
    page.get_by_text("Too high").click()
    page.get_by_text("Tell us the actual price").click()
    page.get_by_label("Actual price").fill("110.5")
    page.get_by_label("Comment").fill("close to the lake")
    tab.shoot("buyers_feedback")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".thanks")).to_contain_text("Thank you")
    assert service.feedback == [
        {"prediction_id": PREDICTION, "feedback_type": "rating", "feedback_value": 4},
        {"prediction_id": PREDICTION, "feedback_type": "too_high"},
        {"prediction_id": PREDICTION, "feedback_type": "actual_price", "feedback_value": 110.5},
        {"prediction_id": PREDICTION, "feedback_type": "comment", "feedback_text": "close to the lake"},
    ]


def test_the_keyboard_is_enough(tab: Tab, service: StandIn) -> None:
    page = tab.page
    page.get_by_label("Area in square feet").focus()
    for keys in ("900", "Tab", "city", "ArrowDown", "ArrowDown"):
        page.keyboard.press(keys) if keys[0].isupper() else page.keyboard.type(keys)
    chosen = page.locator('[role="option"][aria-selected="true"]')
    expect(chosen).to_have_text("Electronic City Phase II")
    box = page.get_by_role("combobox", name="Location")
    expect(box).to_have_attribute("aria-activedescendant", chosen.get_attribute("id") or "")
    for keys in ("Enter", "Tab", "2", "Tab", "1"):
        page.keyboard.press(keys)
    expect(box).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(page.locator(".value")).to_be_visible()
    assert service.records[0]["location"] == "Electronic City Phase II"
    page.locator("#star-1").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Send").press("Enter")
    expect(page.locator(".thanks")).to_be_visible()
    assert [given["feedback_value"] for given in service.feedback] == [2]


def test_suggestions_put_the_best_match_first_and_escape_closes_them(tab: Tab) -> None:
    box = tab.page.get_by_role("combobox", name="Location")
    box.fill("r")
    expect(tab.page.get_by_role("listbox").get_by_role("option")).to_have_text(
        ["Old Airport Road", "Electronic City", "Electronic City Phase II"]
    )
    box.press("Escape")
    expect(tab.page.get_by_role("listbox")).to_be_hidden()
    expect(box).to_have_value("r")


def test_an_empty_form_names_each_field_and_asks_nothing(tab: Tab, service: StandIn) -> None:
    page = tab.page
    expect(page.get_by_label("Area in square feet")).to_be_visible()
    ask(page)
    expect(page.get_by_text("Please fill this in.")).to_have_count(4)
    expect(page.get_by_label("Area in square feet")).to_be_focused()
    page.get_by_label("Bedrooms", exact=True).fill("2.5")
    page.get_by_label("Bathrooms", exact=True).fill("51")
    ask(page)
    expect(page.locator("#field-bhk-error")).to_have_text("Please give a whole number.")
    expect(page.locator("#field-bath-error")).to_have_text("Please give 50 or less.")
    assert service.records == []


def test_what_the_service_refuses_is_shown_at_its_field(tab: Tab) -> None:
    page = tab.page
    fill(page)
    page.get_by_text("More details").click()
    page.get_by_label("Available from").fill("soon")
    page.get_by_text("More details").click()
    ask(page)
    field = page.get_by_label("Available from")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#field-availability-error")).to_contain_text("Ready To Move")
    field.fill("Ready To Move")
    expect(page.locator("#field-availability-error")).to_be_empty()
    ask(page)
    expect(page.locator(".value")).to_be_visible()


def test_an_unknown_place_is_told_and_answered(tab: Tab) -> None:
    page = tab.page
    fill(page, "Atlantis")
    page.get_by_label("Bedrooms", exact=True).focus()
    expect(page.locator("#field-location-hint")).to_contain_text("Not in our list")
    ask(page)
    expect(page.locator("#estimate")).to_contain_text("unknown location Atlantis")


def test_a_place_given_before_the_list_of_places_has_come_is_told_too(browser: Browser, service: StandIn) -> None:
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    with served(service.app) as url:
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.route("**/api/get_location_names*", hold)
        page.goto(url)
        fill(page, "Atlantis")
        hint = page.locator("#field-location-hint")
        expect(hint).not_to_contain_text("Not in our list")
        assert len(waiting) == 1
        waiting[0].continue_()
        expect(hint).to_contain_text("Not in our list")
        context.close()


def test_a_busy_service_can_be_asked_again(tab: Tab, service: StandIn) -> None:
    page = tab.page
    fill(page)
    service.failing = [503]
    ask(page)
    expect(page.locator("#problem")).to_contain_text("busy")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".value")).to_be_visible()
    expect(page.locator("#problem")).to_be_empty()


def test_a_network_that_is_down_is_said_for_the_form_and_for_the_estimate(browser: Browser, service: StandIn) -> None:
    def cut(route: Route) -> None:
        route.abort()

    with served(service.app) as url:
        context = browser.new_context(base_url=url)
        page = context.new_page()
        page.route("**/api/**", cut)
        page.goto(url)
        expect(page.locator("#load")).to_contain_text("can't be reached")
        page.unroute("**/api/**")
        page.get_by_role("button", name="Try again").click()
        fill(page)
        page.route("**/api/predict*", cut)
        ask(page)
        expect(page.locator("#problem")).to_contain_text("can't be reached")
        page.unroute("**/api/predict*")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".value")).to_be_visible()
        context.close()


def test_an_impatient_person_sends_one_request(tab: Tab, service: StandIn) -> None:
    page = tab.page
    fill(page)
    service.held = asyncio.Event()
    ask(page)
    button = page.get_by_role("button", name="Estimating")
    button.click()
    button.press("Enter")
    service.held.set()
    # The stand-in's loop runs in another thread; a second request makes it look at the event again.
    page.evaluate("fetch('api/form')")
    expect(page.locator(".value")).to_be_visible()
    assert len(service.records) == 1


def test_feedback_is_sent_again_while_the_service_is_busy(tab: Tab, service: StandIn) -> None:
    page = tab.page
    fill(page)
    ask(page)
    page.get_by_title("5 of 5, very good").click()
    page.get_by_text("About right").click()
    service.failing = [503, 503]
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".thanks")).to_be_visible()
    assert [given["feedback_type"] for given in service.feedback] == ["rating", "accurate"]


def test_feedback_that_fails_stays_and_only_the_rest_is_sent_again(tab: Tab, service: StandIn) -> None:
    page = tab.page
    fill(page)
    ask(page)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".feedback")).to_contain_text("Choose some stars")
    page.get_by_title("1 of 5, very poor").click()
    service.failing = [500]
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".feedback .banner")).to_contain_text("send it again")
    expect(page.locator("#star-1")).to_be_checked()
    page.get_by_text("Too low").click()
    page.get_by_role("button", name="Send again").click()
    expect(page.locator(".thanks")).to_be_visible()
    assert [given["feedback_type"] for given in service.feedback] == ["rating", "too_low"]


def test_markup_in_a_place_is_text(tab: Tab) -> None:
    page = tab.page
    fill(page, MARKUP)
    ask(page)
    expect(page.locator("#estimate .note").first).to_have_text(f"unknown location {MARKUP}")
    expect(page.locator("#estimate")).to_contain_text(MARKUP)
    assert page.title() == "House prices"
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(browser: Browser, service: StandIn, scheme: str) -> None:
    with served(service.app) as url, open_tab(browser, url, PHONE, color_scheme=scheme, has_touch=True) as tab:
        page = tab.page
        expect(page.get_by_role("button", name="Estimate")).to_be_visible()
        tab.shoot(f"buyers_phone_{scheme}_form")
        assert tab.overflow() == 0
        page.get_by_text("More details").click()
        ask(page)
        expect(page.get_by_text("Please fill this in.")).to_have_count(4)
        assert tab.overflow() == 0
        fill(page, "A" * 120)
        ask(page)
        expect(page.locator(".value")).to_be_visible()
        tab.shoot(f"buyers_phone_{scheme}_answer")
        assert tab.overflow() == 0


def test_dark_mode_has_dark_ground_and_light_text(browser: Browser, service: StandIn) -> None:
    with served(service.app) as url, open_tab(browser, url, color_scheme="dark") as tab:
        colours = tab.page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        ground, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert ground < 150 < 600 < ink


def test_the_page_works_below_a_prefix(browser: Browser, service: StandIn) -> None:
    below = Starlette(routes=[Mount("/house_prices", service.app)])
    with served(below) as url, open_tab(browser, f"{url}/house_prices/") as tab:
        fill(tab.page)
        ask(tab.page)
        expect(tab.page.locator(".value")).to_be_visible()
        tab.page.get_by_title("3 of 5, fair").click()
        tab.page.get_by_role("button", name="Send").click()
        expect(tab.page.locator(".thanks")).to_be_visible()
