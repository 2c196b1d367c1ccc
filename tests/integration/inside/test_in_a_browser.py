"""Both pages in a browser, at the paths and by the roles that the door gives them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Route, expect

from mlops_assets.settings import MLFLOW_PREFIX, Settings
from tests.integration.browser import open_tab


def test_mlflow_below_a_path(browser: Browser, mlflow: str, settings: Settings) -> None:
    """The path is taken off on the way, as the door does."""
    experiment = _experiment(mlflow, settings)
    asked: list[str] = []

    def behind_the_door(route: Route) -> None:
        url = route.request.url
        asked.append(url.removeprefix(mlflow))
        headers = route.request.headers | {k.lower(): v for k, v in settings.inner_headers("viewer").items()}
        route.continue_(url=url.replace(f"{mlflow}{MLFLOW_PREFIX}/", f"{mlflow}/"), headers=headers)

    context = browser.new_context(base_url=mlflow)
    try:
        context.route("**/*", behind_the_door)
        page = context.new_page()
        page.goto(f"{MLFLOW_PREFIX}/#/experiments/{experiment}")
        expect(page.get_by_text("seen below a path").first).to_be_visible(timeout=30_000)
        page.goto(f"{MLFLOW_PREFIX}/#/models")
        expect(page.get_by_text("Registered Models").first).to_be_visible(timeout=30_000)
    finally:
        context.close()
    assert any("ajax-api" in path for path in asked)
    assert [path for path in asked if not path.startswith(f"{MLFLOW_PREFIX}/")] == []


def _experiment(mlflow: str, settings: Settings) -> str:
    import httpx

    answer = httpx.post(
        f"{mlflow}/api/2.0/mlflow/experiments/create",
        json={"name": "seen below a path"},
        headers=settings.inner_headers(),
    )
    return str(answer.raise_for_status().json()["experiment_id"])


def test_dagster_greys_out_what_a_viewer_may_not_do(browser: Browser, webserver: str, settings: Settings) -> None:
    job = f"{webserver}/locations/jobs/jobs/hourly"
    for role, may in (("viewer", False), ("operator", True)):
        headers: Any = settings.inner_headers(role)
        with open_tab(browser, job, extra_http_headers=headers) as tab:
            launching = tab.page.get_by_role("tab", name="Launchpad", disabled=not may)
            expect(launching).to_be_visible(timeout=30_000)
            reloading = tab.page.get_by_role("button", name="refresh", disabled=not may)
            expect(reloading).to_be_visible(timeout=30_000)
            tab.shoot(f"dagster_{role}")
