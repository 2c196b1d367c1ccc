"""The sign-in page in a real browser: with the provider and back, with a token, by keyboard, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from mlops_assets.storage.database import Database
from tests.integration.browser import DESKTOP, PHONE, Tab, open_tab, sign_in
from tests.integration.pipeline_pages.test_accessibility import SCHEMES, violations
from tests.integration.sign_in.console import TOKEN, Console, console


def with_token(page: Page, token: str = TOKEN) -> None:
    sign_in(page, token)


@contextmanager
def tab_at(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """A page that may go to the provider too; leaving fails if it raised errors."""
    context = browser.new_context(viewport=options.pop("viewport", DESKTOP), **options)
    tab = Tab(context)
    tab.page.goto(url)
    yield tab
    assert not tab.complaints, tab.complaints
    context.close()


def at_the_provider(page: Page, issuer: str, subject: str) -> None:
    expect(page).to_have_url(re.compile(f"^{re.escape(issuer)}/"))
    page.get_by_role("button", name=subject, exact=True).click()


def test_a_link_leads_through_the_provider_back_to_its_page(browser: Browser, api: Console, issuer: str) -> None:
    with tab_at(browser, f"{api.url}/sign-in?next=/pipelines%23label=risk") as tab:
        page = tab.page
        page.get_by_role("link", name="Sign in with localhost").click()
        at_the_provider(page, issuer, "0001")
        expect(page).to_have_url(f"{api.url}/pipelines#label=risk")
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#signed-in")).to_have_text("Signed in as ada@example.org operator")
        tab.shoot("signed_in_pipelines")
        page.set_viewport_size(PHONE)
        assert tab.overflow() == 0
        tab.shoot("signed_in_phone", full_page=False)
        page.set_viewport_size(DESKTOP)
        (cookie,) = tab.context.cookies(api.url)
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("mlops_session", True, "Strict")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("You are signed out.")).to_be_visible()
        tab.shoot("sign_in_on_a_page", full_page=False)
        # The page's own form leads there too, and back to what was shown.
        page.get_by_role("link", name="Sign in with localhost").click()
        at_the_provider(page, issuer, "0002")
        expect(page).to_have_url(f"{api.url}/pipelines#label=risk")
        expect(page.locator("#signed-in")).to_have_text("Signed in as kim@example.org editor")


def test_who_has_no_role_reads_so_and_may_try_again(browser: Browser, api: Console, issuer: str) -> None:
    with tab_at(browser, f"{api.url}/sign-in?next=/runs", viewport=PHONE) as tab:
        page = tab.page
        page.get_by_role("link", name="Sign in with").click()
        at_the_provider(page, issuer, "0003")
        expect(page.get_by_role("alert").first).to_contain_text("'eve@example.org' is in no group that has a role here")
        assert tab.overflow() == 0
        tab.shoot("sign_in_refused")
        with_token(page)
        expect(page).to_have_url(f"{api.url}/runs")


def test_a_session_that_is_there_goes_on_by_itself(browser: Browser, api: Console) -> None:
    with open_tab(browser, f"{api.url}/sign-in?next=/drift") as tab:
        page = tab.page
        with_token(page, "not the token of this place")
        expect(page.locator("#sign-in-error")).to_have_text("This is not the operators' token.")
        with_token(page)
        expect(page).to_have_url(f"{api.url}/drift")
        expect(page.locator("#signed-in")).to_have_text("Signed in as operator")
        # As from a chat: the browser sends no session with a link of another site, and there is no way to go back to.
        page.goto(f"data:text/html,<a href='{api.url}/sign-in?next=/runs'>look</a>")
        page.get_by_role("link", name="look").click()
        expect(page).to_have_url(f"{api.url}/runs")
        expect(page.locator("#connection")).to_have_text("Live")


@pytest.mark.parametrize(
    "wanted",
    ["//127.0.0.1:1/x", "/%5C127.0.0.1:1", "http://127.0.0.1:1", "/%09/127.0.0.1:1", "/.//127.0.0.1:1", "/sign-in"],
)
def test_nobody_is_led_to_another_site(browser: Browser, api: Console, wanted: str) -> None:
    with open_tab(browser, f"{api.url}/sign-in?next={wanted}") as tab:
        with_token(tab.page)
        expect(tab.page).to_have_url(f"{api.url}/overview")
        expect(tab.page.locator("#signed-in")).to_be_visible()


def test_it_is_used_by_keyboard(browser: Browser, api: Console) -> None:
    with open_tab(browser, f"{api.url}/sign-in?next=/trace") as tab:
        page = tab.page
        expect(page.get_by_label("Operator token")).to_be_visible()
        for where in (page.get_by_role("link", name="Skip"), page.get_by_role("link", name="Sign in with")):
            page.keyboard.press("Tab")
            expect(where).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{api.url}/trace")


def test_axe_finds_nothing_to_object_to(browser: Browser, api: Console) -> None:
    wrong = []
    with open_tab(browser, f"{api.url}/sign-in/callback?state=old&code=old") as tab:
        for address in (f"{api.url}/sign-in", f"{api.url}/sign-in/callback?state=old&code=old"):
            tab.page.goto(address)
            for size in (DESKTOP, PHONE):
                tab.page.set_viewport_size(size)
                for scheme in SCHEMES:
                    tab.page.emulate_media(color_scheme=scheme)
                    name = f"sign_in_{'old_' if 'old' in address else ''}{scheme}_{size['width']}"
                    wrong += violations(tab, name)
                    tab.shoot(name)
                    assert tab.overflow() == 0
    assert not wrong, "\n".join(wrong)


def test_without_a_provider_only_a_token_is_asked_for(browser: Browser, database: Database, tmp_path: Path) -> None:
    with console(database, tmp_path, None) as api, open_tab(browser, f"{api.url}/sign-in") as tab:
        expect(tab.page.get_by_label("Operator token")).to_be_visible()
        expect(tab.page.get_by_role("link")).to_have_count(1)
        tab.shoot("sign_in_token_only")
        assert tab.page.request.get(f"{api.url}/sign-in/provider").status == 404


def test_without_javascript_the_provider_is_still_offered(browser: Browser, api: Console, issuer: str) -> None:
    with tab_at(browser, f"{api.url}/sign-in?next=/runs", java_script_enabled=False) as tab:
        tab.page.get_by_role("link", name="Sign in with").click()
        at_the_provider(tab.page, issuer, "0001")
        expect(tab.page).to_have_url(f"{api.url}/runs")
