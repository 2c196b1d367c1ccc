"""A platform whose runs are played, and a browser that is signed in to it.

Add a file here for a page of pipelines, runs or artifacts. Keep out what the API does without a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from mlops_assets.storage.database import Database
from tests.integration.browser import Tab, open_tab
from tests.integration.pipeline_pages.played_platform import TWO_STAGES, Platform, platform, sign_in


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(database, tmp_path) as found:
        yield found


@pytest.fixture
def two(api: Platform) -> dict[str, Any]:
    """The pipeline that is played."""
    return api.create(TWO_STAGES)


@pytest.fixture
def tab(browser: Browser, api: Platform) -> Iterator[Tab]:
    """The list of pipelines, signed in."""
    with open_tab(browser, f"{api.url}/pipelines") as found:
        sign_in(found.page)
        expect(found.page.locator("#connection")).to_have_text("Live")
        yield found
