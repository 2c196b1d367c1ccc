"""The pages as the server sends them: their frame, their navigation, and that every address in them leads somewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from mlops_assets.api.app import create_app
from mlops_assets.api.pages import BEHIND_THE_DOOR, FILES, PAGES, Page, ProviderLink, html_of, rendered
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.unit.inference.asgi_client import AsgiClient

EVERY = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
SECTIONS = [page.path for page in PAGES if page.path == page.section]


class Read(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def addresses(self) -> list[str]:
        """Where its links lead and what it loads."""
        found = [given.get("href") or given.get("src") for _, given in self.tags]
        return [address for address in found if address and not address.startswith("#")]


# Nothing of it changes by being asked, and making one takes as long as all the questions.
@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> AsgiClient:
    database = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    settings = Settings(home=tmp_path_factory.getbasetemp())
    return AsgiClient(create_app(settings, database, token="operators-token-of-a-test", subjects=[]))


def shown_at(page: Page) -> str:
    """An address that the page answers at."""
    return re.sub(r"{\w+}", "some", page.path)


@EVERY
def test_a_page_and_all_that_it_names_is_there_also_below_a_prefix(client: AsgiClient, page: Page) -> None:
    answer = client.get(shown_at(page))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")
    addresses = Read(answer.text).addresses()
    assert len(addresses) > len(SECTIONS)
    for address in addresses:
        there = urljoin(f"http://proxy/below/here{shown_at(page)}", address)
        assert there.startswith("http://proxy/below/here/"), address
        if there.removeprefix("http://proxy/below/here/") in {path for path, _ in BEHIND_THE_DOOR}:
            continue  # the gateway leads elsewhere with these
        # The documentation needs a sign-in, nothing else does.
        wanted = 401 if there.endswith("/docs") else 200
        assert client.get(there.removeprefix("http://proxy/below/here")).status_code == wanted, address


@EVERY
def test_the_navigation_has_every_section_and_says_where_one_is(page: Page) -> None:
    tags = Read(rendered()[page.path]).tags
    entries = [given for _, given in tags if (given.get("href") or "").rpartition("/")[2] in {s[1:] for s in SECTIONS}]
    assert [f"/{entry['href']}".replace("/../", "/") for entry in entries] == SECTIONS
    marks = {f"/{entry['href']}".replace("/../", "/"): entry.get("aria-current") for entry in entries}
    assert {path: mark for path, mark in marks.items() if mark} == {
        page.section: "page" if page.path == page.section else "true"
    }


@EVERY
def test_a_page_holds_no_inline_script_or_style(page: Page) -> None:
    for tag, given in Read(rendered()[page.path]).tags:
        assert tag != "style"
        assert tag != "script" or given.get("src")
        assert not [name for name in given if name == "style" or name.startswith("on")]


@EVERY
def test_the_navigation_leads_to_dagster_and_mlflow_also_below_a_prefix(page: Page) -> None:
    addresses = {urljoin(f"http://proxy/below{shown_at(page)}", a) for a in Read(rendered()[page.path]).addresses()}
    assert {"http://proxy/below/dagster/", "http://proxy/below/mlflow/"} <= addresses


def test_what_a_provider_and_its_people_are_called_is_text() -> None:
    link = ProviderLink('<i>"', 'http://provider/"><script>')
    for html in rendered(link).values():
        assert "<i>" not in html
        assert '"><script>' not in html
    html = html_of("sign_in_page", root="", next='/"><script>', provider=link, href=link.href, problem="<i>")
    assert "<i>" not in html
    assert '"><script>' not in html


def test_no_file_names_another_host() -> None:
    for path in FILES.iterdir():
        text = path.read_text()
        assert "http://" not in text.replace("http://www.w3.org", ""), path
        assert "https://" not in text, path


def test_every_script_and_style_belongs_to_something() -> None:
    read = "\n".join(path.read_text() for path in FILES.iterdir()) + "\n".join(rendered().values())
    for path in FILES.iterdir():
        if path.suffix in {".js", ".css"}:
            assert re.search(rf"[/\"]{re.escape(path.name)}\"", read), path


def test_the_documentations_files_are_public(client: AsgiClient) -> None:
    assert client.get("/docs-files/swagger-ui.css").status_code == 200


def test_of_a_pages_files_its_template_is_not_public(client: AsgiClient) -> None:
    answers = {path.name: client.get(f"/static/{path.name}").status_code for path in FILES.iterdir()}
    assert {name for name, status in answers.items() if status == 404} == {n for n in answers if n.endswith(".html")}
    assert set(answers.values()) == {200, 404}
    for spelling in ("layout.html/", "layout%2Ehtml", "./layout.html", "x.js/../layout.html", "layout.html%00.js"):
        assert client.get(f"/static/{spelling}").status_code == 404, spelling
