"""Every page of the console as axe sees it: with something to show, light and dark, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from mlops_assets.api.pages import PAGES, Page
from mlops_assets.storage.database import Database
from tests.integration.browser import DESKTOP, PHONE, Tab, open_tab
from tests.integration.drift_pages import drifted
from tests.integration.health.kept_report import reported
from tests.integration.looked_rollout import looked
from tests.integration.overview.seen_platform import HOUSES, overlooked
from tests.integration.pipeline_pages.played_platform import ERROR, TWO_STAGES, platform, sign_in
from tests.integration.trace.desk import traced
from tests.integration.usage.made_attempts import used
from tests.scored_months import month, put

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
SCHEMES: tuple[Any, ...] = ("light", "dark")
# A browser doesn't draw the lines of a log that are below the window, and axe doesn't judge what isn't drawn.
TALL = 4000
DECLARED = TWO_STAGES | {
    "description": "Fits a slope.",
    "owner": "risk",
    "schedule": "0 3 * * *",
    "tags": {"team": "risk"},
    "parameters": {"rows": {"type": "integer", "default": 3}},
}


@contextmanager
def filled(page: Page, database: Database, home: Path) -> Iterator[str]:
    """The address of a page that has something to show."""
    if page.name in ("rollouts", "drift"):
        opened: AbstractContextManager[Any] = {"rollouts": looked, "drift": drifted}[page.name](database, home)
        with opened as api:
            yield f"{api.url}{page.path}"
        return
    if page.name == "resources":
        with used(database, home) as console:
            yield f"{console.url}{page.path}"
        return
    if page.name in ("overview", "product_page"):
        with overlooked(database, home) as console_url:
            yield f"{console_url}{page.path.format(name=HOUSES)}"
        return
    if page.name == "health":
        with reported(database, home) as console_url:
            yield f"{console_url}{page.path}"
        return
    if page.name == "trace":
        with traced(database, home) as (console_url, answer):
            yield f"{console_url}{page.path.format(prediction_id=answer)}"
        return
    with platform(database, home) as api:
        put(database, month("2026-01"), month("2026-02", 4, 2, in_training=True), month("2026-03", 5, 3, release=2))
        pipeline = api.create(DECLARED)
        api.create(TWO_STAGES | {"name": "draft"}, deploy=False)
        api.played.add(pipeline, "COMPLETED", ago=600)
        run = api.played.add(pipeline, "RUNNING", ago=5, tags={"team": "risk"}, notes="slowly", parameters={"rows": 3})
        run.stage("prepare", "RUNNING")
        run.stage("prepare", "COMPLETED")
        run.stage("train", "RUNNING")
        run.say("train", "fitting", "nothing to divide by")
        run.stage("train", "FAILED", error=ERROR, exit_code=1)
        run.end("FAILED", error="train: division by zero")
        api.played.leave(run, "prepare", "rows.parquet", {"kind": "none", "reason": ""}, is_result=True)
        yield f"{api.url}{page.path.format(name='two_stage', run_id=run.id)}"


def violations(tab: Tab, when: str) -> list[str]:
    """What axe finds wrong, each with the element and what would make it right."""
    found = Axe().run(tab.page, options=OPTIONS).response["violations"]
    return [
        f"{when}: {one['id']} at {node['target']}: {node['failureSummary']}" for one in found for node in one["nodes"]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_axe_finds_nothing_to_object_to(browser: Browser, database: Database, tmp_path: Path, page: Page) -> None:
    with filled(page, database, tmp_path) as url, open_tab(browser, url) as tab:
        expect(tab.page.get_by_label("Operator token")).to_be_visible()
        wrong = violations(tab, "signed out")
        sign_in(tab.page)
        expect(tab.page.locator("#connection")).to_have_text("Live")
        tab.page.wait_for_load_state("networkidle")
        expect(tab.page.locator("main .empty")).to_have_count(0)
        for width in (DESKTOP["width"], PHONE["width"]):
            tab.page.set_viewport_size({"width": width, "height": TALL})
            for scheme in SCHEMES:
                tab.page.emulate_media(color_scheme=scheme)
                name = f"{page.name}_{scheme}_{width}"
                wrong += violations(tab, name)
                tab.shoot(f"axe_{name}")
            assert tab.overflow() == 0
        tab.page.get_by_role("button", name="Menu").click()
        expect(tab.page.locator("#pages a[aria-current]")).to_be_visible()
        wrong += violations(tab, "menu")
        tab.shoot(f"axe_{page.name}_menu", full_page=False)
    assert not wrong, "\n".join(wrong)
