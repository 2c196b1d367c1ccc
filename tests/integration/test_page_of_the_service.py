"""The page for people who want an estimate, against the real service of a product that it has never seen."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from inference.app import create_app
from inference.functions import load_functions
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings, VocabularyRoute
from tests.integration.browser import open_tab, running_browser
from tests.integration.serving_thread import served
from tests.unit.inference.fake_journal import KEY, FakeJournal
from tests.unit.inference.tiny_release import MODULE, PRODUCT, write_release


def test_from_the_form_to_the_journal(tmp_path: Path) -> None:
    release = write_release(tmp_path / "one", version=3, factor=0.1)
    settings = ServingSettings(
        product=PRODUCT, module=MODULE, route="predict_price", answer="price", pinned=release,
        vocabularies=(VocabularyRoute(route="get_towns", column="town", key="towns"),),
    )  # fmt: skip
    functions = load_functions(MODULE, allowed=MODULE)
    now = Served("production", Serving(Model.load(release, functions), "production"))
    journal = FakeJournal()
    app = create_app(
        settings, functions, now, Metrics(PRODUCT, now, tmp_path, journal), Recorder(journal, KEY, PRODUCT)
    )
    with served(app) as url, running_browser() as browser, open_tab(browser, url) as tab:
        page = tab.page
        page.get_by_label("Area in square feet").fill("1000")
        page.get_by_role("combobox").fill("old")
        page.get_by_role("option", name="Old Town").click()
        page.get_by_label("Bedrooms", exact=True).fill("2")
        page.get_by_role("button", name="Estimate").click()
        expect(page.locator(".value")).to_have_text("220 coins")
        page.get_by_title("5 of 5, very good").click()
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".thanks")).to_be_visible()
    kinds = [(line["k"], line.get("type")) for line in journal.records()]
    assert kinds == [("p", None), ("f", "rating")]
