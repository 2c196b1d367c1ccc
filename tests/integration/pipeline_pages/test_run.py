"""A run's page as it goes, in a real browser. Runs are played by the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.integration.browser import Tab
from tests.integration.pipeline_pages.played_platform import (
    ERROR,
    MARKUP,
    Platform,
    button,
    lines,
    looked_at,
)


def log(page: Page) -> Locator:
    return page.get_by_role("log")


def node(page: Page, name: str) -> Locator:
    return page.locator(f'.node[data-stage="{name}"]')


def test_a_run_is_shown_as_it_goes_from_waiting_to_completed(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, notes="Try the new rows", parameters={"rows": 5})
    page = looked_at(tab, api, run)
    expect(page.locator(".head .chip").first).to_have_text("○ waiting")
    run.now("RUNNING")
    run.stage("prepare", "RUNNING")
    run.say("prepare", "reading", "done reading")
    expect(page.locator(".head .chip").first).to_have_text("▶ running")
    expect(node(page, "prepare")).to_have_accessible_name(re.compile("^prepare, Data preprocessing, running .+ s$"))
    expect(lines(page)).to_have_count(2)
    run.stage("prepare", "COMPLETED")
    run.stage("train", "RUNNING")
    run.say("train", "fitting")
    # Nobody chose a stage: the one that runs is followed.
    expect(page.get_by_role("combobox", name="Stage")).to_have_value("train")
    expect(lines(page)).to_have_text([re.compile("fitting$")])
    run.stage("train", "COMPLETED")
    run.end("COMPLETED")
    expect(page.locator(".head .chip").first).to_have_text("✓ completed")
    expect(page.locator("#announce")).to_have_text("The run is completed.")
    row = page.locator('[data-key="stages"]').get_by_role("row", name="train")
    for said in ("0.42 s", "0.31 s", "123 MB", "✓ completed"):
        expect(row).to_contain_text(said)
    expect(page.locator(".head")).to_contain_text("2 of 2 completed")
    expect(page.locator(".head")).to_contain_text("Try the new rows")
    assert page.get_by_role("link", name="Resources", exact=True).last.get_attribute("href") == (
        f"{api.url}/resources?run={run.id}"
    )
    expect(page.get_by_role("button", name="Cancel …")).to_have_count(0)


def test_a_failure_is_told_with_its_line_its_traceback_and_its_attempt(
    tab: Tab, api: Platform, two: dict[str, Any]
) -> None:
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    run.stage("prepare", "COMPLETED")
    run.stage("train", "RUNNING")
    run.say("train", "the first try")
    page = looked_at(tab, api, run)
    expect(lines(page)).to_have_count(1)
    run.stage("train", "FAILED", error=ERROR, exit_code=1)
    run.stage("train", "RUNNING")
    run.say("train", "the second try", "once more")
    expect(page.get_by_role("combobox", name="Attempt")).to_have_value("2")
    expect(lines(page)).to_have_count(2)
    run.stage("train", "FAILED", error=ERROR, exit_code=1)
    run.end("FAILED", error="train: division by zero")
    failure = page.locator('[data-key="failure"]')
    expect(failure).to_contain_text("Why train failed, attempt 2")
    expect(failure).to_contain_text("ZeroDivisionError in line 3")
    expect(failure.locator(".fault")).to_have_text("    return total / 0")
    expect(failure).to_contain_text("Traceback (most recent call last)")
    expect(failure).to_contain_text("ended with code 1")
    page.get_by_role("combobox", name="Attempt").select_option("1")
    expect(lines(page)).to_have_text([re.compile("the first try$")])
    node(page, "prepare").click()
    expect(failure).to_have_count(0)
    expect(log(page)).not_to_contain_text("try")


def test_a_line_that_breaks_is_taken_up_again_without_losing_or_doubling_anything(
    tab: Tab, api: Platform, two: dict[str, Any]
) -> None:
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    run.say("prepare", "one", "two")
    page = looked_at(tab, api, run)
    expect(lines(page)).to_have_count(2)
    api.played.cuts += 1
    run.say("prepare", "three")
    expect(lines(page)).to_have_count(3)
    api.played.cuts += 1
    # Lines that no event told of are asked for when the next one shows the gap.
    run.say("prepare", "four", "five", quietly=True)
    run.say("prepare", "six")
    expect(lines(page)).to_have_text(
        [re.compile(f"{word}$") for word in ("one", "two", "three", "four", "five", "six")]
    )
    run.end("CANCELLED")
    expect(page.locator(".head .chip").first).to_have_text("■ cancelled")


def test_without_a_line_of_events_the_page_asks_instead(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    api.played.events = 503
    tab.page.goto(f"{api.url}/runs/{run.id}")
    page = tab.page
    expect(page.locator(".head")).to_contain_text("Asking every 2 seconds")
    run.say("prepare", "one", "two")
    expect(lines(page)).to_have_count(2)
    run.stage("prepare", "COMPLETED")
    run.end("COMPLETED")
    expect(page.locator(".head .chip").first).to_have_text("✓ completed")
    expect(page.locator("#connection")).to_have_text("Live")


def test_the_page_says_when_the_api_is_gone_and_comes_back(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING")
    page = looked_at(tab, api, run)
    page.route("**/api/**", lambda route: route.abort())
    api.played.cuts += 1
    expect(page.locator("#connection")).to_contain_text("Disconnected: the API can't be reached")
    page.unroute("**/api/**")
    run.stage("prepare", "RUNNING")
    expect(node(page, "prepare")).to_have_accessible_name(re.compile("running"))
    expect(page.locator("#connection")).to_have_text("Live")


def test_the_log_follows_the_end_until_somebody_reads_further_up(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    run.say("prepare", *(f"line {number}" for number in range(1, 1501)))
    page = looked_at(tab, api, run)
    expect(lines(page)).to_have_count(1500)
    follow = button(page, "Follow the end")
    at_end = "log => log.scrollTop + log.clientHeight >= log.scrollHeight - 8"
    run.say("prepare", "the newest")
    expect(lines(page).last).to_contain_text("the newest")
    assert log(page).evaluate(at_end)
    log(page).evaluate("log => log.scrollTop = 100")
    expect(follow).to_have_attribute("aria-pressed", "false")
    run.say("prepare", "newer still")
    expect(lines(page).last).to_contain_text("newer still")
    assert log(page).evaluate("log => log.scrollTop") == 100
    follow.click()
    assert log(page).evaluate(at_end)
    with page.expect_download() as download:
        page.locator("#log").get_by_role("button", name="Download").click()
    assert Path(download.value.path()).read_text().splitlines()[-1] == "newer still"


def test_a_log_that_is_longer_than_a_page_holds_keeps_its_end(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    run.say("prepare", *(f"line {number}" for number in range(1, 3002)), quietly=True)
    page = looked_at(tab, api, run)
    expect(page.locator("#log > p")).to_have_text("The newest 2,000 of 3,001 lines.")
    expect(lines(page).last).to_contain_text("line 3001")
    expect(lines(page).first).to_contain_text("line 1002")


def test_a_run_is_cancelled_after_asking_and_started_again_as_it_was(
    tab: Tab, api: Platform, two: dict[str, Any]
) -> None:
    run = api.played.add(two, "RUNNING", notes="with care", tags={"team": "risk"}, environment="test")
    page = looked_at(tab, api, run)
    button(page, "Cancel …").click()
    dialog = page.get_by_role("dialog", name="Cancel the run")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    assert run.view["status"] == "RUNNING"
    button(page, "Cancel …").click()
    dialog.get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".head .chip").first).to_have_text("■ cancelled")
    button(page, "Run again …").click()
    again = page.get_by_role("dialog", name="Run two_stage again")
    expect(again.get_by_label("Environment")).to_have_value("test")
    button(page, "Start the run").click()
    expect(page).not_to_have_url(f"{api.url}/runs/{run.id}")
    expect(page.locator(".head .chip").first).to_have_text("○ waiting")
    assert api.played.orders == [
        {
            **{"pipeline": two["id"], "parameters": {}, "notes": "with care", "trigger": "MANUAL"},
            **{"tags": {"team": "risk"}, "environment": "test"},
        }
    ]


def test_a_run_that_ended_before_the_order_to_cancel_came_says_so(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING")
    page = looked_at(tab, api, run)
    button(page, "Cancel …").click()
    run.view["status"] = "COMPLETED"
    button(page, "Cancel the run").click()
    expect(page.get_by_role("dialog")).to_contain_text("Not done: the run is over.")


def test_what_a_stage_said_is_text(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "RUNNING", notes=MARKUP, parameters={"rows": MARKUP}, triggered_by=MARKUP)
    run.stage("prepare", "RUNNING")
    run.say("prepare", MARKUP, "\x1b[31mred\x1b[0m", level=MARKUP)
    run.stage("prepare", "FAILED", error=ERROR | {"type": MARKUP, "message": MARKUP, "traceback": MARKUP, "line": 99})
    page = looked_at(tab, api, run)
    expect(lines(page).first).to_contain_text(MARKUP)
    expect(page.locator('[data-key="failure"]')).to_contain_text(MARKUP)
    expect(page.locator(".excerpt")).to_have_count(0)
    assert page.locator("main img").count() == 0
    assert page.title() == "Run of two_stage: running"


def test_a_run_of_a_deleted_pipeline_and_an_unknown_one_are_told(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "COMPLETED", ago=5)
    with api.client() as client:
        assert client.delete(f"/pipelines/{two['id']}").status_code == 204
    page = looked_at(tab, api, run)
    expect(page.locator('[data-key="graph"]')).to_contain_text("The pipeline was deleted since")
    expect(button(page, "Run again …")).to_have_count(0)
    expect(page.locator('[data-key="stages"] tbody tr')).to_have_count(2)
    page.goto(f"{api.url}/runs/nothing")
    expect(page.locator("#run")).to_contain_text("There is no run nothing")
