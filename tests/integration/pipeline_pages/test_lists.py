"""The lists of runs and of artifacts, and what is inside an artifact, in a real browser. Runs are played."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.browser import PHONE, Tab, open_tab
from tests.integration.pipeline_pages.played_platform import (
    ERROR,
    MARKUP,
    Platform,
    button,
    lines,
    looked_at,
    sign_in,
)


def test_artifacts_are_looked_into_without_being_trusted(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    run = api.played.add(two, "COMPLETED", ago=5)
    table = {"kind": "table", "columns": ["x", MARKUP], "rows": [[1, MARKUP], [2.5, None]], "total_rows": 900}
    api.played.leave(run, "prepare", "result.parquet", table, is_result=True, metadata={"rows": 900})
    api.played.leave(run, "train", "report.txt", {"kind": "text", "text": MARKUP, "truncated": True}, type="REPORT")
    api.played.leave(run, "train", "plot.png", {"kind": "image", "image": "https://elsewhere.invalid/x.png"})
    api.played.leave(run, "train", "model.pkl", {"kind": "none", "reason": "A pickle is never opened."})
    page = looked_at(tab, api, run)
    dialog = page.get_by_role("dialog")
    button(page, "result.parquet").click()
    expect(dialog.get_by_role("row")).to_have_count(3)
    expect(dialog).to_contain_text("The first 2 of 900 rows.")
    expect(dialog.get_by_role("cell", name=MARKUP)).to_be_visible()
    button(page, "Close").click()
    expect(button(page, "result.parquet")).to_be_focused()
    button(page, "report.txt").click()
    expect(dialog.locator("pre.preview")).to_have_text(MARKUP)
    page.keyboard.press("Escape")
    button(page, "plot.png").click()
    picture = dialog.get_by_role("img", name="plot.png")
    expect(picture).to_be_visible()
    page.wait_for_function("() => document.querySelector('dialog img')?.naturalWidth === 120")
    button(page, "Close").click()
    button(page, "model.pkl").click()
    expect(dialog).to_contain_text("A pickle is never opened.")
    button(page, "Close").click()
    expect(page.get_by_role("link", name="Download model.pkl")).to_have_attribute("href", re.compile("/content$"))


def test_runs_are_narrowed_and_turned_back_and_forth(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    page = tab.page
    page.goto(f"{api.url}/runs")
    expect(page.locator("#rows")).to_contain_text("Nothing has run yet")
    for number in range(120):
        status, trigger = ("FAILED", "SCHEDULED") if number % 40 == 0 else ("COMPLETED", "API")
        api.played.add(two, status, ago=4000.0 - number, trigger=trigger)
    page.reload()
    rows = page.locator("#rows tbody tr")
    expect(rows).to_have_count(50)
    first = rows.first.inner_text()
    button(page, "Older →").click()
    expect(rows.first).not_to_have_text(first)
    button(page, "Older →").click()
    expect(rows).to_have_count(20)
    expect(button(page, "Older →")).to_be_disabled()
    button(page, "← Newer").click()
    expect(rows).to_have_count(50)
    button(page, "← Newer").click()
    expect(button(page, "← Newer")).to_be_disabled()
    page.get_by_label("Status").select_option("failed")
    expect(rows).to_have_count(3)
    page.get_by_label("Started by").select_option("API")
    expect(page.locator("#rows")).to_contain_text("No run is like that")
    page.get_by_label("Status").select_option("Any")
    page.get_by_label("Pipeline").fill("two_stage")
    expect(page).to_have_url(re.compile("pipeline=two_stage"))
    expect(rows).to_have_count(50)
    page.get_by_label("Pipeline").fill("unknown")
    expect(page.locator("#rows")).to_contain_text("No run is like that")
    expect(page.locator("#connection")).to_have_text("Live")


def test_artifacts_are_listed_narrowed_and_lead_to_their_run(tab: Tab, api: Platform, two: dict[str, Any]) -> None:
    page = tab.page
    run = api.played.add(two, "COMPLETED", ago=5)
    api.played.leave(run, "prepare", "rows.parquet", {"kind": "none", "reason": ""})
    gone = {"location": None, "removed_at": "2026-01-01T00:00:00Z"}
    api.played.leave(run, "train", "loss.json", {"kind": "none", "reason": "It was removed."}, type="METRICS", **gone)
    page.goto(f"{api.url}/artifacts")
    rows = page.locator("#rows tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="loss.json")).to_contain_text("removed")
    expect(page.get_by_role("link", name="Download loss.json")).to_have_count(0)
    page.get_by_label("Type").select_option("metrics")
    expect(rows).to_have_count(1)
    button(page, "loss.json").click()
    expect(page.get_by_role("dialog")).to_contain_text("Its file was removed")
    button(page, "Close").click()
    page.get_by_label("Search").fill("rows")
    expect(page.locator("#rows")).to_contain_text("No artifact is like that")
    page.get_by_label("Type").select_option("Any")
    rows.get_by_role("link", name="prepare").click()
    expect(page).to_have_url(f"{api.url}/runs/{run.id}#stage=prepare")
    expect(page.get_by_role("combobox", name="Stage")).to_have_value("prepare")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(browser: Browser, api: Platform, two: dict[str, Any], scheme: Any) -> None:
    run = api.played.add(two, "RUNNING", ago=5, notes="n" * 300, tags={"tag": "v" * 200}, environment="e" * 90)
    run.stage("prepare", "RUNNING")
    run.say("prepare", "x" * 900)
    run.stage("prepare", "FAILED", error=ERROR | {"message": "m" * 400, "traceback": "t" * 400})
    run.end("FAILED", error="e" * 400)
    table = {"kind": "table", "columns": ["c" * 40] * 12, "rows": [["v" * 40] * 12], "total_rows": 1}
    api.played.leave(run, "prepare", "result" * 20, table)
    with open_tab(browser, f"{api.url}/runs", PHONE, color_scheme=scheme, has_touch=True) as tab:
        sign_in(tab.page)
        expect(tab.page.locator("#rows tbody tr")).to_have_count(1)
        assert tab.overflow() == 0
        looked_at(tab, api, run)
        expect(lines(tab.page)).to_have_count(1)
        assert tab.overflow() == 0
        button(tab.page, "result" * 20).click()
        expect(tab.page.get_by_role("dialog").get_by_role("row")).to_have_count(2)
        assert tab.page.get_by_role("dialog").evaluate("d => d.scrollWidth - d.clientWidth") == 0
        tab.page.goto(f"{api.url}/artifacts")
        expect(tab.page.locator("#rows tbody tr")).to_have_count(1)
        assert tab.overflow() == 0
