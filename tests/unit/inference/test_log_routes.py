"""Who may read the log, what a question may ask, and that a database that doesn't answer is told in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from inference.app import create_app
from inference.functions import ProductFunctions
from inference.metrics import Metrics
from inference.served import Served
from inference.settings import ServingSettings
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.tiny_release import HOME

TOKEN = "a-long-secret-token"
RIGHT = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A database that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql+psycopg2://someone:hidden@127.0.0.1:{server.getsockname()[1]}/db"


@pytest.fixture
def guarded(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics, tmp_path: Path,
    silent_url: str,
) -> AsgiClient:  # fmt: skip
    token = tmp_path / "operator_token"
    token.write_text(TOKEN + "\n")
    changed = settings.model_copy(update={"token_file": token, "database_url": SecretStr(silent_url)})
    return AsgiClient(create_app(changed, functions, served, metrics))


@pytest.mark.parametrize("path", ["/api/logs", "/api/logs/tail", "/api/logs?type=wrong&limit=0"])
@pytest.mark.parametrize(
    "authorization",
    [None, "", TOKEN, "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", b"Bearer \xff"],
)
def test_log_is_closed_without_the_token(guarded: AsgiClient, path: str, authorization: Any) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = guarded.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in answer.text


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_log_is_closed_when_there_is_no_token(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics, tmp_path: Path,
    content: str | None,
) -> None:  # fmt: skip
    token = tmp_path / "operator_token"
    if content is not None:
        token.write_text(content)
    for path in (token, None):
        changed = settings.model_copy(update={"token_file": path})
        client = AsgiClient(create_app(changed, functions, served, metrics))
        for header in ("Bearer ", f"Bearer {content}", "Bearer x"):
            assert client.get("/api/logs", headers={"authorization": header.strip()}).status_code == 403


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=errors", "type"), ("type=", "type"), ("limit=0", "limit"), ("limit=1001", "limit"),
        ("limit=ten", "limit"), ("before=17", "before"), ("limit=-1", "limit"),
    ],
)  # fmt: skip
def test_bad_question_names_its_field(guarded: AsgiClient, query: str, field: str) -> None:
    answer = guarded.get(f"/api/logs?{query}", headers=RIGHT)
    assert answer.status_code == 422
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["query", field]]
    assert set(answer.json()["detail"][0]) == {"loc", "msg", "type"}


@pytest.mark.parametrize("query", ["hours=0", "hours=721", "hours=nan", "variant=shadow"])
def test_bad_hours_and_variant(guarded: AsgiClient, query: str) -> None:
    answer = guarded.get(f"/api/metrics?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


def test_silent_database_is_503_and_holds_up_nobody(guarded: AsgiClient) -> None:
    async def scene() -> tuple[list[int], list[bool]]:
        asked = [asyncio.create_task(guarded.request("GET", "/api/metrics")) for _ in range(2)]
        asked.append(asyncio.create_task(guarded.request("GET", "/api/logs", headers=RIGHT)))
        await asyncio.sleep(0.05)
        waited = []
        for _ in range(5):
            assert (await guarded.request("POST", "/api/predict_price", json=HOME)).status_code == 200
            waited.append(not any(task.done() for task in asked))
        return [answer.status_code for answer in await asyncio.gather(*asked)], waited

    codes, waited = asyncio.run(scene())
    assert codes == [503] * 3
    assert all(waited)


def test_refused_connection_is_503_without_a_secret(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = SecretStr(f"postgresql://someone:hidden@127.0.0.1:{port}/db")
    for database in (url, None):
        changed = settings.model_copy(update={"database_url": database})
        answer = AsgiClient(create_app(changed, functions, served, metrics)).get("/api/metrics")
        assert answer.status_code == 503
        assert "hidden" not in answer.text
