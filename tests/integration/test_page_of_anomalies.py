"""The page for people who ask whether a record is unusual, against the real service of traffic anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.integration.browser import DESKTOP, PHONE, open_tab
from tests.integration.serving_thread import served
from tests.unit.inference.fake_journal import FakeJournal
from tests.unit.inference.traffic_release import ODD, USUAL, traffic_app, write_traffic_release

MARKUP = "<IMG SRC=X ONERROR=ALERT(1)>"


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
def url(tmp_path: Path, journal: FakeJournal) -> Iterator[str]:
    with served(traffic_app(write_traffic_release(tmp_path / "one", version=3), journal)) as found:
        yield f"{found}/"


def fill(page: Page, record: dict[str, object]) -> None:
    """Fields by their names: what they are called for people is the product's business."""
    page.locator("#field-crash_date").fill(str(record["crash_date"]))
    page.get_by_text("More details").click()
    for name, value in record.items():
        page.locator(f"#field-{name}").fill(str(value))


def ask(page: Page) -> None:
    page.get_by_role("button", name="Check").click()


def test_from_the_form_to_the_reasons_to_the_feedback(browser: Browser, url: str, journal: FakeJournal) -> None:
    with open_tab(browser, url) as tab:
        page = tab.page
        fill(page, ODD)
        ask(page)
        expect(page.locator(".value")).to_have_text("Unusual")
        answer = page.locator("#estimate")
        for shown in ("Score −0.", "What makes it unusual", "sample data", "release 3"):
            expect(answer).to_contain_text(shown)
        (line,) = journal.records()
        assert page.locator(".reasons li").all_text_contents() == line["output"]["reasons"]
        expect(page.locator("#status")).to_contain_text("Unusual, score −0.")
        assert line["features"]["num_units"] == ODD["num_units"]

        expect(page.get_by_text("Actual price")).to_have_count(0)
        expect(page.get_by_text("Too high")).to_have_count(0)
        page.get_by_title("4 of 5, good").click()
        page.get_by_text("The answer is right").click()
        page.get_by_text("Tell us more").click()
        page.get_by_label("Comment").fill("seen on the news")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".thanks")).to_be_visible()
    assert [line.get("type") for line in journal.records()] == [None, "rating", "accurate", "comment"]


def test_a_usual_record_with_a_word_of_ones_own(browser: Browser, url: str) -> None:
    with open_tab(browser, url) as tab:
        page = tab.page
        fill(page, {**USUAL, "weather_condition": MARKUP})
        ask(page)
        expect(page.locator(".value")).to_have_text("Usual")
        expect(page.locator("#estimate")).to_contain_text("What is least usual about it")
        expect(page.locator("#estimate .note").first).to_contain_text(MARKUP)
        assert page.title() == "Traffic anomalies"
        assert page.locator("img").count() == 0


def test_a_date_that_does_not_exist_is_shown_at_its_field(browser: Browser, url: str, journal: FakeJournal) -> None:
    with open_tab(browser, url) as tab:
        page = tab.page
        ask(page)
        expect(page.get_by_text("Please fill this in.")).to_have_count(2)
        page.locator("#field-crash_date").fill("02/30/2023 01:00:00 PM")
        page.locator("#field-first_crash_type").fill("rear end")
        ask(page)
        expect(page.locator("#field-crash_date")).to_be_focused()
        expect(page.locator("#field-crash_date-error")).to_contain_text("no such date")
        page.locator("#field-crash_date").fill("02/28/2023 01:00:00 PM")
        ask(page)
        expect(page.locator(".value")).to_be_visible()
    assert len(journal.records()) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_page_never_scrolls_sideways(browser: Browser, url: str, scheme: str, size: ViewportSize) -> None:
    name = f"anomalies_{size['width']}_{scheme}"
    with open_tab(browser, url, size, color_scheme=scheme) as tab:
        page = tab.page
        expect(page.get_by_role("button", name="Check")).to_be_visible()
        tab.shoot(f"{name}_empty")
        assert tab.overflow() == 0
        fill(page, ODD)
        ask(page)
        expect(page.locator(".value")).to_be_visible()
        assert tab.overflow() == 0
        tab.shoot(f"{name}_answer")
        page.get_by_text("More details").click()
        fill(page, {**USUAL, "prim_contributory_cause": "W" * 80})
        ask(page)
        expect(page.locator(".value")).to_have_text("Usual")
        tab.shoot(f"{name}_usual")
        assert tab.overflow() == 0
