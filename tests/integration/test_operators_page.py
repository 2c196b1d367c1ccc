"""The operators' page in a real browser, against the control API on a real ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from mlops_assets.rollout.phases import Phase
from mlops_assets.storage.database import Database
from tests.integration.browser import PHONE, Tab, open_tab, sign_in
from tests.integration.looked_rollout import PRODUCT, TOKEN, Looked, looked

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
LIST = "**/api/v1/rollouts"


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Looked]:
    with looked(database, tmp_path) as found:
        yield found


@pytest.fixture
def tab(browser: Browser, api: Looked) -> Iterator[Tab]:
    with open_tab(browser, f"{api.url}/rollouts") as found:
        sign_in(found.page, TOKEN, "Kim")
        yield found


def refreshed(page: Page) -> None:
    """Wait until the page has asked again by itself."""
    with page.expect_response(LIST, timeout=20_000):
        pass


def order(page: Page, name: str, reason: str) -> None:
    """Open the dialog of an order, give the reason and send it."""
    page.locator("#rollout").get_by_role("button", name=name, exact=True).click()
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()


def test_nothing_is_shown_without_the_token(browser: Browser, api: Looked) -> None:
    with open_tab(browser, f"{api.url}/rollouts") as tab:
        page = tab.page
        sign_in(page, "not the token of this place", "Kim")
        expect(page.locator("#sign-in-error")).to_have_text("This is not the operators' token.")
        expect(page.locator("#rollout")).to_be_hidden()
        sign_in(page, TOKEN, "Kim")
        expect(page.get_by_role("heading", name="House prices")).to_be_visible()
        assert TOKEN not in page.evaluate("JSON.stringify([document.cookie, localStorage, sessionStorage])")
        (cookie,) = tab.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert TOKEN not in cookie["value"]
        page.reload()
        expect(page.get_by_role("heading", name="House prices")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        page.reload()
        expect(page.get_by_label("Operator token")).to_be_visible()


def test_the_page_tells_where_the_rollout_stands(tab: Tab) -> None:
    page = tab.page
    expect(page.locator(".head")).to_contain_text("Look 5 came to continue.")
    expect(page.get_by_role("img", name="80\u00a0% of the users to production")).to_be_visible()
    expect(page.locator(".releases")).to_contain_text("BO1")
    expect(page.locator(".steps")).to_contain_text("rises to 50%")
    expect(page.locator(".arms")).to_contain_text("3.90 ★")
    expect(page.get_by_role("meter", name="Slow requests, e-value")).to_have_attribute(
        "aria-valuetext", "60 of 1,000: suspicious"
    )
    expect(page.locator("#connection")).to_have_text("Live")
    tab.shoot("operators_desktop")
    page.get_by_role("link", name="Loans").click()
    expect(page.locator(".head")).to_contain_text("Nothing is served yet")
    expect(page.get_by_role("button", name="Promote")).to_be_disabled()


def test_the_chart_shows_values_to_pointer_and_keyboard(tab: Tab) -> None:
    page = tab.page
    chart = page.locator(".chart")
    expect(chart.locator(".decision.advance")).to_have_count(1)
    expect(chart).to_contain_text("candidate better")
    expect(chart).to_contain_text("promotion needs +0.04")
    chart.hover()
    expect(chart.locator(".tip")).to_contain_text("raters")
    page.mouse.move(0, 0)
    expect(chart.locator(".tip")).to_be_hidden()
    chart.focus()
    page.keyboard.press("End")
    expect(chart.locator(".tip")).to_contain_text("+0.20 stars (+0.00 … +0.40)")
    page.keyboard.press("Home")
    expect(page.locator("#announce")).to_contain_text("60 raters")


def test_a_pause_needs_a_reason_and_is_in_the_ledger(tab: Tab, api: Looked) -> None:
    page = tab.page
    page.get_by_role("button", name="Pause").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("nothing except a rollback happens by itself")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("#order-reason-error")).to_have_text("Please say why.")
    assert not api.state.paused
    page.get_by_label("Reason").fill("checking the numbers")
    dialog.get_by_role("button", name="Pause").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(".head .chip.warn")).to_have_text("Paused")
    expect(page.locator(".ledger li").first).to_contain_text("checking the numbers")
    entry = api.ledger.history(PRODUCT, 1)[0]
    assert (entry.event, entry.actor, entry.reason) == ("paused", "Kim", "checking the numbers")
    assert (entry.key or "").startswith("api:pause:")
    order(page, "Resume", "all is well")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_another_release_than_the_candidate_is_told_and_chosen_on_purpose(tab: Tab, api: Looked) -> None:
    page = tab.page
    api.ledger.reserve(PRODUCT, "run-3", 1)
    api.ledger.publish(PRODUCT, 3, "/releases/3", {}, actor="training")
    refreshed(page)
    expect(page.locator(".releases")).to_contain_text("CO2")
    page.get_by_role("button", name="Promote").click()
    release, dialog = page.get_by_label("Release", exact=True), page.get_by_role("dialog")
    expect(release).to_have_value("3")
    release.select_option("2")
    expect(dialog).to_contain_text("Release 2 becomes production for everybody. The candidate, release 3, is withdrawn")
    page.get_by_label("Reason").fill("the older one")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.locator(".head")).to_contain_text("Promoted by Kim")
    assert (api.state.production, api.state.candidate) == (2, None)
    page.get_by_role("button", name="Promote").click()
    page.get_by_label("Reason").fill("again")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.locator("#order-version-error")).to_have_text("Please choose the release.")
    assert api.state.production == 2


def test_promotion_and_the_way_back(tab: Tab, api: Looked) -> None:
    page = tab.page
    page.get_by_role("button", name="Promote").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Release 2 (CO1) becomes production for everybody")
    expect(page.get_by_label("Release", exact=True)).to_have_value("2")
    page.get_by_label("Reason").fill("better on the new district")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.locator(".head")).to_contain_text("Promoted by Kim")
    expect(page.locator(".head .chip").first).to_have_text("Promoting")
    assert (api.state.production, api.state.phase) == (2, Phase.PROMOTING)
    page.get_by_role("button", name="Roll back").click()
    expect(dialog).to_contain_text("Release 1 (BO1) becomes production again")
    page.keyboard.press("Escape")
    order(page, "Roll back", "complaints")
    expect(page.locator(".head .chip").first).to_have_text("Rolled back")
    assert api.state.production == 1


def test_the_share_is_set_with_the_keyboard(tab: Tab, api: Looked) -> None:
    page = tab.page
    page.get_by_role("button", name="Set share").click()
    share = page.get_by_label("Share of the candidate")
    expect(share).to_be_focused()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#order-share-hint")).to_have_text("25\u00a0% to the candidate, 75\u00a0% to production")
    page.get_by_label("Reason").fill("more")
    page.get_by_role("dialog").get_by_role("button", name="Set share").click()
    expect(page.get_by_role("img", name="75\u00a0% of the users to production")).to_be_visible()
    assert page.locator(".part.candidate").evaluate("node => node.style.flexGrow") == "0.25"
    assert api.state.candidate_share == 0.25


def test_what_the_ledger_refuses_stays_in_the_dialog(tab: Tab, api: Looked) -> None:
    page = tab.page
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").fill("me too")
    api.ledger.pause(PRODUCT, actor="somebody else", reason="first")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("dialog")).to_contain_text("house_prices is paused already")
    expect(page.get_by_label("Reason")).to_have_value("me too")


def test_markup_in_a_reason_is_text(tab: Tab, api: Looked) -> None:
    page = tab.page
    order(page, "Pause", MARKUP)
    row = page.locator(".ledger li").first
    expect(row.locator(".reason")).to_have_text(MARKUP)
    row.locator("summary").click()
    expect(row.locator(".whole-reason")).to_have_text(MARKUP)
    api.ledger.promote(PRODUCT, actor=MARKUP, reason=MARKUP)
    refreshed(page)
    expect(page.locator(".head .said")).to_have_text(MARKUP)
    assert page.title() == "Rollouts"
    assert page.locator("img, main script").count() == 0


def test_a_refresh_leaves_dialog_focus_and_opened_rows_alone(tab: Tab, api: Looked) -> None:
    page = tab.page
    row = page.locator('.ledger [data-key="entry-9"]')
    row.locator("summary").click()
    page.locator(".chart").evaluate("node => { node.dataset.marked = 'yes' }")
    refreshed(page)
    expect(page.locator(".chart")).to_have_attribute("data-marked", "yes")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").type("half a sen")
    api.look(6)
    expect(page.locator(".head")).to_contain_text("Look 6 came to continue.", timeout=20_000)
    page.keyboard.type("tence")
    expect(page.get_by_label("Reason")).to_have_value("half a sentence")
    expect(page.locator(".chart")).not_to_have_attribute("data-marked", "yes")
    page.keyboard.press("Escape")
    expect(row.locator(".facts")).to_be_visible()
    expect(row.locator("pre")).to_contain_text('"verdict": "continue"')


def test_older_decisions_come_when_asked_for_and_stay(tab: Tab, api: Looked) -> None:
    page = tab.page
    for number in range(6, 30):
        api.look(number)
    rows = page.locator(".ledger > li")
    expect(rows).to_have_count(33, timeout=20_000)
    page.reload()
    expect(rows).to_have_count(25)
    page.get_by_role("button", name="Show older").click()
    expect(rows).to_have_count(33)
    expect(page.get_by_role("button", name="Show older")).to_have_count(0)
    api.look(30)
    expect(rows).to_have_count(34, timeout=20_000)
    page.get_by_role("button", name="Only what changed something").click()
    expect(page.locator(".ledger .chip")).to_have_text(
        ["Share raised", "First users", "New candidate", "First release"]
    )


def test_a_page_that_lost_the_api_says_so_and_comes_back(browser: Browser, api: Looked) -> None:
    with open_tab(browser, f"{api.url}/rollouts") as tab:
        page = tab.page
        sign_in(page, TOKEN, "Kim")
        expect(page.locator("#connection")).to_have_text("Live")
        page.route("**/api/**", lambda route: route.abort())
        expect(page.locator("#connection")).to_contain_text("Disconnected: the API can't be reached", timeout=20_000)
        expect(page.get_by_role("heading", name="House prices")).to_be_visible()
        tab.shoot("operators_stale")
        page.unroute("**/api/**")
        expect(page.locator("#connection")).to_have_text("Live", timeout=20_000)


def test_a_session_that_ended_leads_back_to_the_sign_in(tab: Tab) -> None:
    expect(tab.page.get_by_role("heading", name="House prices")).to_be_visible()
    tab.context.clear_cookies()
    expect(tab.page.get_by_text("The session is over.")).to_be_visible(timeout=20_000)
    sign_in(tab.page, TOKEN, "Kim")
    expect(tab.page.get_by_role("heading", name="House prices")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(browser: Browser, api: Looked, scheme: str) -> None:
    api.ledger.pause(PRODUCT, actor="a" * 80, reason="W" * 500)
    with open_tab(browser, f"{api.url}/rollouts", PHONE, color_scheme=scheme, has_touch=True) as tab:
        assert tab.overflow() == 0
        sign_in(tab.page, TOKEN, "Kim")
        expect(tab.page.locator(".chart svg")).to_be_visible()
        tab.page.locator(".ledger summary").first.click()
        tab.shoot(f"operators_phone_{scheme}")
        assert tab.overflow() == 0
        tab.page.get_by_role("button", name="Promote").click()
        tab.shoot(f"operators_phone_{scheme}_dialog", full_page=False)
        assert tab.overflow() == 0


def test_the_documentation_works_for_who_is_signed_in(tab: Tab) -> None:
    page = tab.page
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_role("link", name="API").click()
    expect(page.get_by_text("/api/v1/rollouts/{product}/pause")).to_be_visible()
    assert re.search("Swagger|swagger", page.locator("#swagger-ui").inner_html())
