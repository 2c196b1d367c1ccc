"""Making and changing a pipeline in a real browser against the API on a real PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.integration.browser import Tab
from tests.integration.pipeline_pages.played_platform import TWO_STAGES, Platform, button

BAD = """name: bad
stages:
  - name: a
    stage_type: NOPE
    source: |
      def run():
          return 1
  - name: b
    stage_type: CLEANUP
    dependencies: [c]
    source: |
      def run(c):
          return (
"""


def yaml(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Pipeline as YAML")


def wrote(page: Page, text: str) -> None:
    yaml(page).fill(text)


def test_a_template_with_an_uploaded_file_becomes_a_pipeline(tab: Tab, api: Platform) -> None:
    page = tab.page
    page.get_by_role("link", name="New pipeline").click()
    page.get_by_role("button", name="Train and evaluate on a CSV file").click()
    form = page.get_by_role("form", name="Train and evaluate on a CSV file")
    form.get_by_label("Name of the pipeline").fill("Not a name")
    button(page, "Put it in the editor").click()
    expect(form.get_by_label("target")).to_be_focused()
    form.get_by_label("target").fill("left")
    form.get_by_label("Read a CSV file into this field").set_input_files(
        {"name": "churn.csv", "mimeType": "text/csv", "buffer": "months,left\n3,nö\n".encode()}
    )
    expect(form.get_by_label("csv (string)")).to_have_value("months,left\n3,nö\n")
    button(page, "Put it in the editor").click()
    expect(form.locator("#template-name-error")).to_contain_text("[a-z][a-z0-9_]")
    form.get_by_label("Name of the pipeline").fill("churn")
    button(page, "Put it in the editor").click()
    expect(yaml(page)).to_have_value(re.compile("^name: churn\n"))
    button(page, "Validate").click()
    expect(page.locator("#result")).to_contain_text("It is good: load → ")
    button(page, "Create").click()
    expect(page).to_have_url(f"{api.url}/pipelines/churn")
    with api.client() as client:
        spec = client.get("/pipelines/churn").json()["spec"]
    assert spec["parameters"]["csv"]["default"] == "months,left\n3,nö\n"


def test_problems_are_told_by_stage_and_field_and_lead_to_their_line(tab: Tab, api: Platform) -> None:
    page = tab.page
    page.goto(f"{api.url}/pipelines/new")
    wrote(page, BAD)
    button(page, "Validate").click()
    problems = page.get_by_role("group", name="Problems")
    expect(problems.locator("tbody tr")).to_have_count(3)
    expect(problems.get_by_role("row", name="stage_type")).to_contain_text("Line 4")
    expect(problems.get_by_role("row", name="dependencies")).to_contain_text("there is no stage 'c'")
    expect(problems.get_by_role("row", name="dependencies")).to_contain_text("Line 10")
    expect(problems.get_by_role("row", name="b source")).to_contain_text("Line 13")
    button(page, "Line 10").click()
    chosen = yaml(page).evaluate("t => t.value.slice(t.selectionStart, t.selectionEnd)")
    assert chosen == "    dependencies: [c]"
    button(page, "Create").click()
    expect(problems.locator("tbody tr")).to_have_count(3)
    wrote(page, "name: x\n  stages: [")
    button(page, "Create").click()
    expect(problems.locator("tbody tr")).to_have_count(1)
    expect(problems).to_contain_text("Line 2")
    with api.client() as client:
        assert client.get("/pipelines").json()["total"] == 0


def test_the_editor_is_left_with_the_keyboard_and_tab_makes_spaces(tab: Tab, api: Platform) -> None:
    page = tab.page
    page.goto(f"{api.url}/pipelines/new")
    area = yaml(page)
    area.fill("a:\nb")
    area.press("End")
    area.press("Tab")
    expect(area).to_have_value("a:\nb  ")
    area.press("Control+z")
    expect(area).to_have_value("a:\nb")
    area.press("Control+a")
    area.press("Tab")
    expect(area).to_have_value("  a:\n  b")
    area.press("Shift+Tab")
    expect(area).to_have_value("a:\nb")
    expect(page.locator(".numbers")).to_have_text("1\n2")
    area.press("Escape")
    area.press("Tab")
    expect(area).not_to_be_focused()


def test_a_file_replaces_the_text_only_with_consent(tab: Tab, api: Platform) -> None:
    page = tab.page
    page.goto(f"{api.url}/pipelines/new")
    area = yaml(page)
    wrote(page, "name: mine\n")
    page.get_by_label("A YAML file").set_input_files(
        {"name": "theirs.yaml", "mimeType": "application/yaml", "buffer": b"name: theirs\nstages: []\n"}
    )
    button(page, "Cancel").click()
    expect(area).to_have_value("name: mine\n")
    page.get_by_label("A YAML file").set_input_files({"name": "x.yaml", "mimeType": "", "buffer": b"\xff\xfe\x00"})
    expect(page.locator("#start")).to_contain_text("can't be read as text")
    page.get_by_label("A YAML file").set_input_files(
        {"name": "theirs.yaml", "mimeType": "application/yaml", "buffer": b"name: theirs\nstages: []\n"}
    )
    button(page, "Replace it").click()
    expect(area).to_have_value("name: theirs\nstages: []\n")
    button(page, "Create").click()
    expect(page.get_by_role("group", name="Problems")).to_contain_text("stages")


def test_an_edit_makes_a_version_and_nobody_overwrites_what_they_have_not_seen(tab: Tab, api: Platform) -> None:
    page = tab.page
    two = api.create(TWO_STAGES)
    page.goto(f"{api.url}/pipelines/two_stage")
    page.get_by_role("link", name="Edit").click()
    area = yaml(page)
    expect(area).to_have_value(re.compile("^name: two_stage\n"))
    mine = area.input_value().replace("title: Two stages", "title: Mine")
    wrote(page, mine)
    with api.client() as client:
        theirs = TWO_STAGES | {"title": "Theirs"}
        assert client.put(f"/pipelines/{two['id']}", json=theirs, headers={"If-Match": "*"}).status_code == 200
    button(page, "Save as a new version").click()
    expect(page.locator("#result")).to_contain_text("Somebody changed this pipeline since you opened it")
    expect(area).to_have_value(mine)
    button(page, "Save mine over it").click()
    expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    expect(page.locator('[data-key="versions"] tbody tr')).to_have_count(3)
    page.get_by_role("link", name="Edit").click()
    wrote(page, mine.replace("title: Mine", "title: Mine again"))
    with api.client() as client:
        assert client.post(f"/pipelines/{two['id']}/pause").status_code == 200
    button(page, "Save as a new version").click()
    button(page, "Take theirs").click()
    expect(area).to_have_value(re.compile("title: Mine\n"))


def test_a_create_whose_answer_was_lost_is_safe_to_send_again(tab: Tab, api: Platform) -> None:
    page = tab.page
    page.goto(f"{api.url}/pipelines/new")
    expect(button(page, "Create")).to_be_visible()
    lost: list[str] = []

    def lose(route: Any) -> None:
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()
        route.abort()

    page.route("**/api/v1/pipelines?deploy=true", lose, times=1)
    button(page, "Create").click()
    expect(page.locator("#result")).to_contain_text("Sending it again is safe")
    button(page, "Create").click()
    expect(page).to_have_url(f"{api.url}/pipelines/my_pipeline")
    assert len(lost) == 1
    with api.client() as client:
        assert client.get("/pipelines").json()["total"] == 1
