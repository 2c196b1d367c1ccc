"""An analyst's way through the pages, with every process at work: declare, run, watch, look at what it left, cancel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.browser import Tab, open_tab
from tests.integration.pipeline_pages.played_platform import button, lines, sign_in
from tests.integration.pipeline_rig import PipelineRig

DECLARED = {
    "name": "watched",
    "title": "Watched closely",
    "parameters": {"rows": {"type": "integer", "default": 3, "minimum": 1}},
    "stages": [
        {
            "name": "prepare",
            "stage_type": "DATA_PREPROCESSING",
            "source": "import time\nimport pandas as pd\ndef run(context):\n    print('preparing', flush=True)\n"
            "    time.sleep(1)\n    return pd.DataFrame({'x': range(context.parameters['rows'])})",
        },
        {
            "name": "check",
            "stage_type": "DATA_VALIDATION",
            "dependencies": ["prepare"],
            "source": "import time\ndef run(prepare, context):\n    context.logger.warning('%d rows', len(prepare))\n"
            "    time.sleep(context.parameters['rows'] - 5)\n    return {'rows': len(prepare)}",
        },
    ],
}


@pytest.fixture(scope="module")
def rig() -> Iterator[PipelineRig]:
    with PipelineRig() as running:
        running.create(DECLARED)
        yield running


@pytest.fixture
def tab(browser: Browser, rig: PipelineRig) -> Iterator[Tab]:
    with open_tab(browser, f"{rig.settings.api_server_url}/pipelines/watched") as found:
        sign_in(found.page, rig.token)
        yield found


def started(tab: Tab, rows: int) -> None:
    """Start a run by the form; its page is shown."""
    page = tab.page
    button(page, "Run …").click()
    page.get_by_label("rows").fill(str(rows))
    page.get_by_role("dialog").get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}"))


def test_a_run_is_started_watched_and_its_artifacts_are_looked_at(tab: Tab) -> None:
    page = tab.page
    started(tab, rows=6)
    expect(lines(page).filter(has_text="preparing")).to_have_count(1)
    expect(page.locator(".head .chip").first).to_have_text("✓ completed")
    expect(page.locator(".head")).to_contain_text("2 of 2 completed")
    page.get_by_role("combobox", name="Stage").select_option("check")
    expect(lines(page)).to_have_text([re.compile("6 rows$")])
    left = page.get_by_role("region", name="Artifacts")
    expect(left).to_contain_text("parquet")
    left.get_by_role("button", name="prepare").click()
    expect(page.get_by_role("columnheader", name="x")).to_be_visible()
    tab.shoot("pipeline_console_run")


def test_a_run_is_cancelled_from_its_page(tab: Tab) -> None:
    page = tab.page
    started(tab, rows=65)
    expect(lines(page).filter(has_text="65 rows")).to_have_count(1)
    button(page, "Cancel …").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Cancel")).last.click()
    expect(page.locator(".head .chip").first).to_have_text(re.compile("cancelled"))
    expect(page.locator('.node[data-stage="check"]')).to_have_accessible_name(re.compile("cancelled"))
