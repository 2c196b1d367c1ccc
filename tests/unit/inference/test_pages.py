"""The page for buyers and the form it is made from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI

from inference.form import form_of
from inference.functions import load_functions
from inference.pages import add_pages
from inference.served import Served
from inference.settings import ServingSettings, VocabularyRoute
from tests.unit.inference.asgi_client import AsgiClient


@pytest.fixture
def frontend(tmp_path: Path) -> Path:
    folder = tmp_path / "frontend"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>x</title><script src='static/app.js'></script>")
    (folder / "app.js").write_text("let x = 1")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def paged(frontend: Path) -> AsgiClient:
    app = FastAPI(docs_url=None)
    add_pages(app, frontend)
    return AsgiClient(app)


def test_page_and_its_files_allow_nothing_from_elsewhere(frontend: Path) -> None:
    client = paged(frontend)
    page, script = client.get("/"), client.get("/static/app.js")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (script.status_code, script.text) == (200, "let x = 1")
    for answer in (page, script):
        policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
        assert set(policy.values()) == {"'self'", "'none'"}
        assert policy["default-src"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for name in ("../secret.txt", "%2e%2e/secret.txt", "none.js"):
        assert client.get(f"/static/{name}").status_code == 404


def test_the_service_has_the_page_with_every_file_it_names(client: AsgiClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "content-security-policy" in page.headers
    named = re.findall(r'(?:src|href)="(static/[^"]+)"', page.text)
    assert named
    for name in named:
        assert client.get(f"/{name}").status_code == 200, name


def test_without_a_page_the_root_leads_to_the_documentation(tmp_path: Path) -> None:
    client = paged(tmp_path)
    root = client.get("/")
    assert (root.status_code, root.headers["location"]) == (307, "docs")
    assert client.get("/static/app.js").status_code == 404


def test_form_tells_every_field(client: AsgiClient) -> None:
    form = client.get("/api/form").json()
    assert {k: v for k, v in form.items() if k != "fields"} == {
        "title": "Tiny homes", "kind": "estimate", "answer": "price", "route": "api/predict_price", "unit": "coins",
    }  # fmt: skip
    assert form["fields"] == [
        {
            "name": "area", "title": "Area", "type": "number", "required": True, "exclusive_minimum": 0.0,
            "maximum": 20_000.0, "description": "Area in square feet", "example": 1200,
        },
        {
            "name": "town", "title": "Town", "type": "text", "required": True, "max_length": 120,
            "vocabulary_url": "api/get_towns", "vocabulary_key": "towns", "description": "Where it is",
            "example": "Old Town",
        },
        {
            "name": "rooms", "title": "Rooms", "type": "integer", "required": True, "minimum": 1.0, "maximum": 50.0,
            "description": "Bedrooms", "example": 2,
        },
        {
            "name": "floor", "title": "Floor", "type": "integer", "required": False, "minimum": 0.0,
            "maximum": 200.0, "description": "Storey", "example": 3,
        },
    ]  # fmt: skip


def test_form_leads_to_an_answer(client: AsgiClient) -> None:
    form = client.get("/api/form").json()
    record = {field["name"]: field["example"] for field in form["fields"]}
    answer = client.post(f"/{form['route']}", json=record).json()
    assert isinstance(answer[form["answer"]], float)
    for field in form["fields"]:
        if "vocabulary_url" in field:
            assert client.get(f"/{field['vocabulary_url']}").json()[field["vocabulary_key"]]


def test_form_without_a_model_has_no_unit(client: AsgiClient, served: Served) -> None:
    served.current = None
    assert "unit" not in client.get("/api/form").json()


def test_form_of_a_real_product() -> None:
    module = "mlops_assets.products.house_prices"
    settings = ServingSettings(
        product="house_prices", module=module, route="predict_home_price", answer="estimated_price", pinned=Path("x"),
        title="House prices of Bengaluru",
        vocabularies=(VocabularyRoute(route="get_location_names", column="location", key="locations"),),
    )  # fmt: skip
    form = form_of(settings, load_functions(module).request, Served())
    assert form.title == "House prices of Bengaluru"
    required = [field.name for field in form.fields if field.required]
    assert required == ["total_sqft", "location", "bhk", "bath"]
    kinds = {field.name: field.type for field in form.fields}
    assert (kinds["bhk"], kinds["total_sqft"], kinds["location"]) == ("integer", "number", "text")
