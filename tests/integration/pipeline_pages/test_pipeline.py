"""One pipeline's page in a real browser against the API on a real PostgreSQL; its runs are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.storage.database import Database
from tests.integration.browser import Tab, open_tab
from tests.integration.pipeline_pages.played_platform import TWO_STAGES, Platform, button, sign_in

BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)

DECLARED: dict[str, Any] = {
    "rows": {"type": "integer", "default": 1000, "minimum": 10, "maximum": 5000, "description": "How many rows"},
    "share": {"type": "number", "default": 0.2, "minimum": 0, "maximum": 1},
    "mode": {"type": "string", "default": "fast", "choices": ["fast", "slow"]},
    "dry": {"type": "boolean", "default": False},
    "more": {"type": "json"},
    "target": {"type": "string", "required": True},
}


def test_a_pipeline_shows_its_graph_the_same_as_a_table_and_the_newest_run_in_it(tab: Tab, api: Platform) -> None:
    page = tab.page
    two = api.create(TWO_STAGES)
    run = api.played.add(two, "RUNNING")
    run.stage("prepare", "RUNNING")
    page.goto(f"{api.url}/pipelines/two_stage")
    graph = page.get_by_role("group", name="Stages from above to below")
    expect(graph.get_by_role("link", name="prepare, Data preprocessing, running")).to_be_visible()
    expect(graph.get_by_role("link", name="train, Model training, waiting, needs prepare")).to_be_visible()
    table = page.locator('[data-key="stages"]')
    expect(table.get_by_role("row", name="train")).to_contain_text("prepare")
    run.stage("prepare", "COMPLETED")
    run.stage("train", "RUNNING")
    expect(graph.get_by_role("link", name="prepare, Data preprocessing, completed 0.42 s")).to_be_visible()
    expect(table.get_by_role("row", name="train")).to_contain_text("running")
    above, below = (graph.locator(f'[data-stage="{name}"]').bounding_box() for name in ("prepare", "train"))
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] < below["y"]


def test_the_graph_is_walked_with_the_keyboard_and_opens_a_stage(tab: Tab, api: Platform) -> None:
    page = tab.page
    api.create(TWO_STAGES)
    page.goto(f"{api.url}/pipelines/two_stage")
    first, second = (page.locator(f'.node[data-stage="{name}"]') for name in ("prepare", "train"))
    first.focus()
    page.keyboard.press("ArrowDown")
    expect(second).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    stage = page.locator('[data-key="stage"]')
    expect(stage).to_contain_text("total = prepare.x.sum()")
    expect(stage).to_contain_text("2, the first after 10.0 s")
    expect(second).to_have_attribute("aria-current", "true")
    expect(second).to_be_focused()
    page.reload()
    expect(stage).to_contain_text("Stage train")
    stage.get_by_role("link", name="Close").click()
    expect(stage).to_have_count(0)


def test_a_run_is_started_with_what_its_parameters_allow(tab: Tab, api: Platform) -> None:
    page = tab.page
    two = api.create(TWO_STAGES | {"parameters": DECLARED})
    page.goto(f"{api.url}/pipelines/two_stage")
    button(page, "Run …").click()
    dialog = page.get_by_role("dialog", name="Run two_stage")
    expect(dialog.get_by_label("rows")).to_have_value("1000")
    expect(dialog.get_by_label("mode")).to_have_value("0")
    dialog.get_by_label("rows").fill("9")
    dialog.get_by_label("share").fill("half")
    dialog.get_by_label("more").fill("{")
    button(page, "Start the run").click()
    expect(dialog.locator('[aria-invalid="true"]').first).to_be_focused()
    for said in ("10 or more", "such as 0.5", "This is no JSON", "Please fill this in"):
        expect(dialog).to_contain_text(said)
    assert api.played.orders == []
    dialog.get_by_label("rows").fill("13")
    dialog.get_by_label("share").fill("0.2")
    dialog.get_by_label("mode").select_option("slow")
    dialog.get_by_label("more").fill('{"deep": [1, null]}')
    dialog.get_by_label("target").fill("price")
    dialog.get_by_text("Environment, tags, notes").click()
    dialog.get_by_label("Notes").fill("by hand")
    dialog.get_by_label("Tags").fill("risk")
    button(page, "Start the run").click()
    expect(dialog).to_contain_text("Each line is name=value.")
    dialog.get_by_label("Tags").fill("team=risk\n")
    button(page, "Start the run").click()
    expect(dialog).to_contain_text("Not done: thirteen rows are unlucky")
    dialog.get_by_label("rows").fill("14")
    button(page, "Start the run").click()
    expect(page.get_by_role("heading", name="Run of two_stage")).to_be_visible()
    assert api.played.orders[-1] == {
        "pipeline": two["id"],
        "parameters": {"rows": 14, "mode": "slow", "more": {"deep": [1, None]}, "target": "price"},
        "tags": {"team": "risk"},
        "notes": "by hand",
        "trigger": "MANUAL",
    }


def test_versions_are_deployed_and_rolled_back_and_paused_and_resumed(tab: Tab, api: Platform) -> None:
    page = tab.page
    two = api.create(TWO_STAGES)
    with api.client() as client:
        changed = TWO_STAGES | {"description": "The second one"}
        put = client.put(f"/pipelines/{two['id']}", json=changed, params={"deploy": False}, headers={"If-Match": "*"})
        assert put.status_code == 200, put.text
    page.goto(f"{api.url}/pipelines/two_stage")
    expect(page.locator(".head")).to_contain_text("The second one")
    page.get_by_role("link", name="Show version 1").click()
    expect(page.locator(".head")).to_contain_text("This is version 1; the newest is 2.")
    expect(page.locator('[data-key="yaml"]')).to_contain_text("YAML of version 1")
    page.get_by_role("button", name="Deploy version 2").click()
    button(page, "Deploy").click()
    expect(page.locator("#announce")).to_have_text("Version 2 is deployed.")
    page.get_by_role("button", name="Roll back to version 1").click()
    button(page, "Roll back").click()
    expect(page.locator('[data-key="versions"] tr', has_text="deployed")).to_contain_text("Version 1")
    button(page, "Pause").click()
    expect(page.locator(".head .chip").first).to_have_text("Paused")
    button(page, "Resume").click()
    expect(page.locator(".head .chip").first).to_have_text("Active")


def test_the_yaml_is_shown_and_kept_as_a_file(tab: Tab, api: Platform) -> None:
    page = tab.page
    api.create(TWO_STAGES)
    page.goto(f"{api.url}/pipelines/two_stage")
    card = page.locator('[data-key="yaml"]')
    card.get_by_role("link", name="Show the text").click()
    expect(card.locator("pre")).to_contain_text("name: two_stage")
    with page.expect_download() as download:
        card.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "two_stage.yaml"
    assert "stage_type: MODEL_TRAINING" in Path(download.value.path()).read_text()


def test_deleting_asks_first_and_is_refused_for_what_somebody_changed(tab: Tab, api: Platform) -> None:
    page = tab.page
    two = api.create(TWO_STAGES)
    page.goto(f"{api.url}/pipelines/two_stage")
    button(page, "Delete …").click()
    button(page, "Cancel").click()
    button(page, "Delete …").click()
    dialog = page.get_by_role("dialog", name="Delete two_stage")
    expect(dialog).to_contain_text("Its runs and artifacts can still be looked at")
    with api.client() as client:
        assert client.post(f"/pipelines/{two['id']}/pause").status_code == 200
    button(page, "Delete").click()
    expect(dialog).to_contain_text("was changed since you read it")
    button(page, "Cancel").click()
    page.reload()
    expect(button(page, "Resume")).to_be_visible()
    button(page, "Delete …").click()
    button(page, "Delete").click()
    expect(page.locator("#rows")).to_contain_text("There is no pipeline yet")
    page.goto(f"{api.url}/pipelines/two_stage")
    expect(page.locator("#pipeline")).to_contain_text("There is no pipeline two_stage")


def test_a_name_that_is_taken_and_a_role_that_is_too_small_are_told(
    browser: Browser, api: Platform, database: Database
) -> None:
    api.create(TWO_STAGES | {"name": "my_pipeline"})
    reader = tokens.create(database, BY, "reader", Role.VIEWER)
    with open_tab(browser, f"{api.url}/pipelines/my_pipeline") as tab:
        page = tab.page
        sign_in(page, reader)
        button(page, "Pause").click()
        expect(page.locator(".head .error")).to_contain_text("this needs the role editor")
        expect(button(page, "Pause")).to_be_visible()
        button(page, "Sign out").click()
        sign_in(page)
        page.goto(f"{api.url}/pipelines/new")
        button(page, "Create").click()
        expect(page.locator("#result")).to_contain_text("my_pipeline")
        expect(page.locator("#result .banner")).to_be_visible()
