"""The list of pipelines and what holds for all pages, in a real browser against the API on a real PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.browser import PHONE, Tab, open_tab
from tests.integration.pipeline_pages.played_platform import (
    MARKUP,
    TWO_STAGES,
    Platform,
    button,
    rows,
    sign_in,
)

SCHEDULED = TWO_STAGES | {"name": "nightly", "title": "Nightly", "schedule": "0 3 * * *", "tags": {"team": "risk"}}


def test_the_list_tells_state_schedule_and_last_runs(tab: Tab, api: Platform) -> None:
    page = tab.page
    expect(page.locator("#rows")).to_contain_text("There is no pipeline yet")
    nightly, two = api.create(SCHEDULED), api.create(TWO_STAGES)
    api.create(TWO_STAGES | {"name": "draft", "title": None}, deploy=False)
    with api.client() as client:
        assert client.post(f"/pipelines/{two['id']}/pause").status_code == 200
    for status in ("COMPLETED", "FAILED"):
        api.played.add(nightly, status, ago=600)
    page.reload()
    expect(rows(page)).to_have_count(3)
    row = rows(page).filter(has_text="Nightly")
    expect(row).to_contain_text("0 3 * * *")
    expect(row).to_contain_text(re.compile("next in .+ h"))
    expect(row.get_by_role("link", name="failed 10 min ago")).to_be_visible()
    expect(row.get_by_role("img", name="Newest last: completed, failed")).to_be_visible()
    expect(rows(page).filter(has_text="Two stages").locator(".chip").first).to_have_text("Paused")
    expect(rows(page).filter(has_text="draft").locator(".chip")).to_have_text("Not deployed")
    expect(page.locator("#statistics")).to_contain_text("1 completed, 1 failed")


def test_the_list_is_searched_narrowed_sorted_and_comes_back_by_its_address(tab: Tab, api: Platform) -> None:
    page = tab.page
    for spec in (SCHEDULED, TWO_STAGES):
        api.create(spec)
    page.reload()
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Search").fill("night")
    expect(rows(page)).to_have_count(1)
    expect(page).to_have_url(f"{api.url}/pipelines?q=night")
    page.reload()
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Search")).to_have_value("night")
    page.get_by_label("Search").fill("nothing like it")
    expect(page.locator("#rows")).to_contain_text("No pipeline is like that")
    page.get_by_label("Search").fill("")
    expect(rows(page)).to_have_count(2)
    page.get_by_role("button", name="Pipeline").click()
    expect(page.get_by_role("columnheader", name="Pipeline")).to_have_attribute("aria-sort", "descending")
    expect(rows(page).first).to_contain_text("two_stage")
    button(page, "team=risk").click()
    expect(page.get_by_role("searchbox", name="Tag")).to_have_value("team=risk")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("State").select_option("Paused")
    expect(rows(page)).to_have_count(0)


def test_a_long_list_is_paged(tab: Tab, api: Platform) -> None:
    page = tab.page
    for number in range(52):
        api.create(TWO_STAGES | {"name": f"pipeline_{number:02}", "title": None}, deploy=False)
    page.reload()
    expect(rows(page)).to_have_count(50)
    expect(page.locator(".turning")).to_contain_text("1–50 of 52")
    button(page, "Next →").click()
    expect(rows(page)).to_have_count(2)
    expect(button(page, "Next →")).to_be_disabled()
    page.get_by_label("Search").fill("pipeline_0")
    expect(rows(page)).to_have_count(10)


def test_a_pipeline_named_like_the_page_for_new_ones_is_reached(tab: Tab, api: Platform) -> None:
    page = tab.page
    made = api.create(TWO_STAGES | {"name": "new", "title": "Newcomer"})
    page.reload()
    page.get_by_role("link", name="Newcomer").click()
    expect(page).to_have_url(f"{api.url}/pipelines/{made['id']}")
    expect(page.get_by_role("heading", name="Newcomer")).to_be_visible()


def test_what_strangers_wrote_is_text(tab: Tab, api: Platform) -> None:
    page = tab.page
    stage = TWO_STAGES["stages"][0] | {"stage_type": "CUSTOM", "custom_name": MARKUP}
    spec = {"name": "odd", "title": MARKUP, "description": MARKUP, "owner": MARKUP, "tags": {"a": MARKUP}}
    api.create(spec | {"stages": [stage]})
    page.reload()
    expect(rows(page)).to_contain_text(MARKUP)
    page.get_by_role("link", name=MARKUP).click()
    expect(page.get_by_role("heading", name=MARKUP)).to_be_visible()
    page.goto(f"{api.url}/pipelines/odd#stage=prepare&yaml=shown")
    expect(page.locator('[data-key="stage"]')).to_contain_text(MARKUP)
    assert page.locator("main img").count() == 0
    assert "owned" not in page.title().split("<")[0]


def test_every_page_leads_to_every_other_and_a_session_that_ends_is_noticed(tab: Tab, api: Platform) -> None:
    page = tab.page
    for name in ("Runs", "Artifacts", "Rollouts", "Drift", "Scores", "Pipelines"):
        page.get_by_role("navigation", name="Pages").get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        expect(page.locator("#connection")).to_have_text("Live")
    api.create(TWO_STAGES)
    page.goto(f"{api.url}/pipelines/two_stage")
    expect(button(page, "Pause")).to_be_visible()
    tab.context.clear_cookies()
    button(page, "Pause").click()
    expect(page.get_by_text("The session is over.")).to_be_visible()
    expect(page.locator("#pipeline")).to_be_hidden()
    sign_in(page)
    expect(button(page, "Pause")).to_be_visible()


def test_the_menu_of_a_phone_needs_no_more_than_a_keyboard(tab: Tab) -> None:
    page = tab.page
    pages = page.get_by_role("navigation", name="Pages")
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()
    page.set_viewport_size(PHONE)
    expect(pages).to_be_hidden()
    page.get_by_role("button", name="Menu").press("Enter")
    expect(pages.get_by_role("link", name="Pipelines")).to_have_attribute("aria-current", "page")
    page.keyboard.press("Tab")
    expect(pages.get_by_role("link").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(pages).to_be_hidden()
    expect(page.get_by_role("button", name="Menu")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(browser: Browser, api: Platform, scheme: Any) -> None:
    wide = [
        {"name": f"branch_{n}" + "x" * 40, "stage_type": "CLEANUP", "source": "def run():\n    ..."} for n in range(6)
    ]
    api.create(SCHEDULED | {"title": "W" * 150, "tags": {"long": "v" * 200}, "stages": wide})
    with open_tab(browser, f"{api.url}/pipelines", PHONE, color_scheme=scheme, has_touch=True) as tab:
        sign_in(tab.page)
        expect(rows(tab.page)).to_have_count(1)
        assert tab.overflow() == 0
        for path, seen in (("nightly#stage=" + wide[0]["name"], '[data-key="stage"]'), ("new", ".editor")):
            tab.page.goto(f"{api.url}/pipelines/{path}")
            expect(tab.page.locator(seen)).to_be_visible()
            assert tab.overflow() == 0
