"""The pages of pipelines, runs and artifacts for a browser: real pipelines, and runs that a test plays as it likes.

Add here what every test of these pages needs. The API is the whole application on a real PostgreSQL; only runs and what
they leave are played (`played_runs`), at the routes that tell of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from mlops_assets.api.app import create_app
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration import browser
from tests.integration.browser import Tab
from tests.integration.pipeline_pages.played_routes import artifact_routes, run_routes
from tests.integration.pipeline_pages.played_runs import PlayedRun, PlayedRuns
from tests.integration.serving_thread import served

TOKEN = "operators-token-of-a-test"
MARKUP = "<img src=x onerror=\"document.title='owned'\">"

TWO_STAGES: dict[str, Any] = {
    "name": "two_stage",
    "title": "Two stages",
    "stages": [
        {
            "name": "prepare",
            "stage_type": "DATA_PREPROCESSING",
            "source": "import pandas as pd\ndef run():\n    return pd.DataFrame({'x': [1, 2, 3]})\n",
        },
        {
            "name": "train",
            "stage_type": "MODEL_TRAINING",
            "dependencies": ["prepare"],
            "retry_count": 2,
            "source": "def run(prepare, context):\n    total = prepare.x.sum()\n    return total / 0\n",
        },
    ],
}

# Why a stage failed, as a run tells it.
ERROR: dict[str, Any] = {
    "type": "ZeroDivisionError",
    "message": "division by zero",
    "traceback": 'Traceback (most recent call last):\n  File "<stage train>", line 3, in run\n',
    "line": 3,
}


@dataclass(frozen=True)
class Platform:
    """The API at `url`, and the runs that are played behind it."""

    url: str
    database: Database
    played: PlayedRuns

    def client(self) -> httpx.Client:
        """A client with the operators' token."""
        return httpx.Client(base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20)

    def create(self, spec: dict[str, Any], deploy: bool = True) -> dict[str, Any]:
        """A pipeline as the API tells it."""
        with self.client() as client:
            answer = client.post("/pipelines", json=spec, params={"deploy": deploy})
            assert answer.status_code == 201, answer.text
            created: dict[str, Any] = answer.json()
        self.played.pipelines[created["id"]] = created
        return created


@contextmanager
def platform(database: Database, home: Path) -> Iterator[Platform]:
    """The API, with played runs in front of its own."""
    # Deleting asks Dagster for active runs: it has none, in files of the test's own.
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    app = create_app(Settings(home=home), database, token=TOKEN, subjects=[])
    played = PlayedRuns()
    own = list(app.router.routes)
    app.include_router(run_routes(played))
    app.include_router(artifact_routes(played))
    app.router.routes[:] = [*app.router.routes[len(own) :], *own]
    with served(app) as url:
        yield Platform(url, database, played)


def sign_in(page: Page, token: str = TOKEN) -> None:
    browser.sign_in(page, token)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def rows(page: Page) -> Locator:
    """What a list shows."""
    return page.locator("#rows tbody tr")


def lines(page: Page) -> Locator:
    """What a log shows."""
    return page.locator(".log-line")


def looked_at(tab: Tab, api: Platform, run: PlayedRun) -> Page:
    """The run's page, once it follows the run or has nothing to follow."""
    tab.page.goto(f"{api.url}/runs/{run.id}")
    expect(tab.page.get_by_role("heading", name="Run of two_stage")).to_be_visible()
    if run.view["ended_at"] is None:
        expect(tab.page.locator(".head")).to_contain_text("Shown as it happens")
    return tab.page
