"""What the operators' page says while there is little to show."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from mlops_assets.api.app import create_app
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.browser import open_tab, sign_in
from tests.integration.looked_rollout import TOKEN, looked
from tests.integration.serving_thread import served


def test_an_installation_without_products_says_so(browser: Browser, database: Database, tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path), database, token=TOKEN, subjects=[])
    with served(app) as url, open_tab(browser, f"{url}/rollouts") as tab:
        sign_in(tab.page, TOKEN)
        expect(tab.page.locator("#rollout")).to_have_text("No product is served by this installation yet.")


def test_a_product_whose_candidate_has_no_users_yet(browser: Browser, database: Database, tmp_path: Path) -> None:
    with looked(database, tmp_path, looks=0) as api, open_tab(browser, f"{api.url}/rollouts") as tab:
        sign_in(tab.page, TOKEN)
        expect(tab.page.locator(".head .chip").first).to_have_text("Loading")
        expect(tab.page.locator(".steps")).to_contain_text("gets 5% of the users")
        expect(tab.page.get_by_text("There is no comparison to draw yet.")).to_be_visible()
