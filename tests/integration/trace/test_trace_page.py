"""The page of a trace in a real browser: from an id to the whole chain, values only for who asks and may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from inference.prediction_id import uuid7
from mlops_assets.access import audit, tokens
from mlops_assets.access.audit import Filters
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.settings import Settings
from tests.integration.browser import PHONE, Tab, open_tab, sign_in
from tests.integration.serving_thread import served
from tests.integration.trace.desk import MARKUP, TRACE, Desk, candidates_answer
from tests.unit.inference.tiny_release import PRODUCT

TOKEN = "operators-token-of-a-test"
BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)


@pytest.fixture
def url(desk: Desk, tmp_path: Path) -> Iterator[str]:
    app = create_app(Settings(home=tmp_path), desk.database, token=TOKEN, subjects=[Subject(PRODUCT, "Tiny homes")])
    with served(app) as at:
        yield at


@contextmanager
def signed_in(browser: Browser, url: str, token: str = TOKEN, **options: object) -> Iterator[Tab]:
    with open_tab(browser, url, **options) as tab:
        sign_in(tab.page, token)
        yield tab


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']]}" for one in found]


def test_from_an_id_to_the_chain_and_its_values(browser: Browser, url: str, desk: Desk, tmp_path: Path) -> None:
    identifier = candidates_answer(desk, tmp_path)
    with signed_in(browser, f"{url}/trace") as tab:
        page = tab.page
        tab.shoot("trace_form")
        field = page.get_by_label("Prediction id")
        field.fill("not an id")
        page.get_by_role("button", name="Trace", exact=True).click()
        expect(page.get_by_text("This is no prediction id")).to_be_visible()
        field.fill(identifier)
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{url}/trace/{identifier}")
        chain = page.get_by_role("region", name="From the answer to the data")
        for part in ("candidate", "release 2 (CO1)", "model version 12", "V4", "c0de"):
            expect(chain).to_contain_text(part)
        expect(page.get_by_role("region", name="Answer", exact=True)).to_contain_text(TRACE)
        release = page.get_by_role("region", name="Release 2")
        expect(release.get_by_role("link", name="mlflow-2")).to_have_attribute(
            "href", "http://127.0.0.1:8000/mlflow/#/runs/mlflow-2"
        )
        expect(release.get_by_role("link", name="dagster-2")).to_have_attribute(
            "href", "http://127.0.0.1:8000/dagster/runs/dagster-2"
        )
        expect(page.get_by_role("region", name="Rollout at that moment")).to_contain_text("20\u00a0% of the users")
        expect(page.get_by_role("region", name="Drift of")).to_contain_text("areas rose by a quarter")
        said = page.get_by_role("region", name="Feedback")
        expect(said).to_contain_text("rating 2")
        expect(said).not_to_contain_text("dear")
        expect(page.get_by_text("Pune")).to_have_count(0)
        tab.shoot("trace")
        assert violations(page) == []
        page.get_by_role("button", name="Show the request").click()
        expect(page.get_by_text("Pune")).to_be_visible()
        expect(said).to_contain_text(MARKUP)
        expect(page).not_to_have_title("owned")
        tab.shoot("trace_values")
        assert violations(page) == []
    (entry,) = audit.page(desk.database, Filters(action="prediction.read_values"), 5)
    assert (entry.object, entry.outcome, entry.kind) == (identifier, "done", "session")


def test_a_viewer_is_told_that_values_are_not_for_them(browser: Browser, url: str, desk: Desk) -> None:
    viewer = tokens.create(desk.database, BY, "dashboards", Role.VIEWER, None)
    identifier = desk.answer()
    with signed_in(browser, f"{url}/trace/{identifier}", viewer) as tab:
        tab.page.get_by_role("button", name="Show the request").click()
        expect(tab.page.get_by_text("are for operators")).to_be_visible()
        expect(tab.page.get_by_text("Pune")).to_have_count(0)
        expect(tab.page.get_by_role("region", name="Not known")).to_contain_text("once over")


def test_an_id_that_nobody_was_given_and_one_that_comes_later(browser: Browser, url: str, desk: Desk) -> None:
    with signed_in(browser, f"{url}/trace/{uuid7()}") as tab:
        expect(tab.page.get_by_text("no prediction of this installation")).to_be_visible()
        tab.shoot("trace_unknown")
    identifier = desk.ids.new()
    with signed_in(browser, f"{url}/trace/{identifier}") as tab:
        expect(tab.page.get_by_text("is not in the log yet")).to_be_visible()
        desk.answer(id=identifier)
        expect(tab.page.get_by_role("region", name="Release 1")).to_be_visible()


def test_on_a_phone_and_in_the_dark(browser: Browser, url: str, desk: Desk, tmp_path: Path) -> None:
    identifier = candidates_answer(desk, tmp_path)
    with signed_in(browser, f"{url}/trace/{identifier}", size=PHONE, color_scheme="dark") as tab:
        expect(tab.page.get_by_role("region", name="Release 2")).to_be_visible()
        tab.shoot("trace_phone_dark")
        assert tab.overflow() <= 0
        assert violations(tab.page) == []
