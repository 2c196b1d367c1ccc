"""The health page in a real browser: nothing yet, well, and degraded; by eye, by keyboard, by axe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize, expect

from mlops_assets.api.app import create_app
from mlops_assets.observability.health import store
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.browser import DESKTOP, PHONE, Tab, open_tab
from tests.integration.health.kept_report import MARKUP, degraded, keep, of_day
from tests.integration.pipeline_pages.played_platform import TOKEN, sign_in
from tests.integration.serving_thread import served
from tests.unit.observability.health.healthy import facts, runs

OPTIONS = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}}


@pytest.fixture
def url(database: Database, tmp_path: Path) -> Iterator[str]:
    with served(create_app(Settings(home=tmp_path), database, token=TOKEN, subjects=[])) as found:
        yield f"{found}/health"


@contextmanager
def opened(browser: Browser, url: str, size: ViewportSize = DESKTOP, **options: Any) -> Iterator[Tab]:
    with open_tab(browser, url, size, **options) as tab:
        sign_in(tab.page)
        expect(tab.page.locator("#connection")).to_have_text("Live")
        yield tab


def test_before_the_first_report_the_page_says_when_there_will_be_one(browser: Browser, url: str) -> None:
    with opened(browser, url) as tab:
        expect(tab.page.locator("#health")).to_contain_text(
            "No health report has been made yet; one is made every hour"
        )


def test_a_platform_that_is_well(browser: Browser, url: str, database: Database) -> None:
    now = datetime.now(UTC)
    keep(database, facts(at=now, runs=runs(100, hours_of=of_day(now)[:9])))
    with opened(browser, url) as tab:
        expect(tab.page.get_by_text("✓ healthy")).to_be_visible()
        expect(tab.page.locator(".issue")).to_have_count(0)
        expect(tab.page).to_have_title("Health: healthy")
        tab.shoot("health_well")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desk", DESKTOP), ("phone", PHONE)])
def test_a_degraded_platform_with_issues_on_top(
    browser: Browser, url: str, database: Database, scheme: Any, name: str, size: ViewportSize
) -> None:
    keep(database, degraded(datetime.now(UTC)))
    with opened(browser, url, size, color_scheme=scheme) as tab:
        page = tab.page
        headings = page.locator("#health h2").all_inner_texts()
        assert headings[:2] == ["The platform", "Too large a share of failed runs"]
        # The worst first, and all of them before what they were found in.
        severities = [text.split()[-1] for text in page.locator(".issue .chip").all_inner_texts()]
        assert severities == sorted(severities)
        kept = store.newest(database)
        assert kept is not None
        assert len(severities) == len(kept[1].issues)
        issue = page.get_by_role("region", name="Runs wait for long")
        expect(issue).to_contain_text("The one place for runs is taken")
        expect(page.locator("#health")).to_contain_text(MARKUP)
        expect(page).to_have_title("Health: degraded")
        bars = page.locator(".chart .bar")
        assert bars.count() >= 28
        assert tab.overflow() <= 0
        tab.shoot(f"health_{name}_{scheme}")
        found = Axe().run(page, options=OPTIONS).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_the_chart_says_its_numbers_to_the_keyboard_and_in_a_table(
    browser: Browser, url: str, database: Database
) -> None:
    keep(database, degraded(datetime.now(UTC)))
    with opened(browser, url) as tab:
        page = tab.page
        page.get_by_role("group", name="Chart of 24 hours").focus()
        page.keyboard.press("End")
        expect(page.locator("#announce")).to_contain_text("7 succeeded, 0 canceled, 3 failed")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#announce")).to_contain_text("0 failed")
        page.get_by_text("Numbers").click()
        rows = page.get_by_role("group", name="Runs by hour").get_by_role("row")
        expect(rows).to_have_count(25)
        expect(rows.nth(1)).to_contain_text("7")


def test_without_a_token_nothing_of_the_report_is_told(browser: Browser, url: str, database: Database) -> None:
    keep(database, degraded(datetime.now(UTC)))
    with open_tab(browser, url) as tab:
        expect(tab.page.get_by_label("Operator token")).to_be_visible()
        expect(tab.page.locator("#health")).to_be_hidden()
        assert "psycopg2" not in tab.page.content()


def test_a_late_report_is_told_as_late(browser: Browser, url: str, database: Database) -> None:
    keep(database, facts(at=datetime.now(UTC) - timedelta(hours=3)))
    with opened(browser, url) as tab:
        expect(tab.page.locator("#health")).to_contain_text("The next report should have come")
