"""What people see when something behind the door is away, and that nobody gets in because of it."""

from __future__ import annotations

import httpx
import pytest

from mlops_assets.access.roles import Role
from mlops_assets.storage.database import Database
from tests.integration.door.door_rig import OPERATORS_TOKEN, Rig, running_api, running_door
from tests.integration.serving_thread import served

PAGE = {"accept": "text/html"}
BEARER = {"authorization": f"Bearer {OPERATORS_TOKEN}"}


def told(answer: httpx.Response, status: int) -> str:
    """The detail of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    return str(answer.json()["detail"])


def shown(answer: httpx.Response, status: int) -> str:
    """A page for people."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def test_without_the_control_api_nobody_gets_in_and_with_it_everybody_does_again(tables: Database) -> None:
    with running_door(tables, api=False) as rig:
        client = rig.client(headers=BEARER)
        for path in ("/dagster/x", "/mlflow/x"):
            assert "can't be checked at present" in told(client.get(path), 503)
            page = shown(client.get(path, headers=PAGE), 503)
            assert "Who is asking can&#x27;t be checked" in page
        assert "doesn&#x27;t answer" in shown(client.get("/", headers=PAGE), 503)
        assert client.get("/").headers["retry-after"] == "1"
        assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])
        with running_api(rig.app, rig.api_port):
            assert client.get("/dagster/x").status_code == 200
            assert client.get("/test/echo").status_code == 200
        assert client.get("/dagster/x").status_code == 503


@pytest.mark.parametrize("name", ["dagster", "mlflow"])
def test_one_that_is_away_is_said_in_words_and_keeps_the_rest(tables: Database, name: str) -> None:
    with running_door(tables, away=name) as rig:
        client = rig.client(Role.VIEWER)
        other = "mlflow" if name == "dagster" else "dagster"
        assert "doesn't answer at present" in told(client.get(f"/{name}/x"), 503)
        assert "<h1>Service Unavailable</h1>" in shown(client.get(f"/{name}/", headers=PAGE), 503)
        assert client.get(f"/{other}/x").status_code == 200
        assert client.get("/test/echo").status_code == 200
        assert told(rig.client().get(f"/{name}/x"), 401)
        behind = rig.dagster if name == "dagster" else rig.mlflow
        with served(behind, behind.port, ws="auto"):
            assert client.get(f"/{name}/x").status_code == 200


def test_an_issued_token_opens_nothing_while_it_cannot_be_looked_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is away; the installation's own token needs none."""
    from sqlalchemy.exc import OperationalError

    from mlops_assets.access import tokens

    def away(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr("mlops_assets.access.known.REMEMBER_SECONDS", 0.0)
    monkeypatch.setattr(tokens, "read", away)
    assert "can't be checked" in told(rig.client(Role.OPERATOR).get("/dagster/x"), 503)
    assert rig.client(headers=BEARER).get("/dagster/x").status_code == 200
    assert len(rig.dagster.seen) == 1


def test_whoever_asks_too_often_waits(tables: Database) -> None:
    with running_door(tables, api_requests_per_second=0.01, api_burst=1) as rig:
        client = rig.client(Role.VIEWER)
        answers = [client.get("/dagster/x") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "'an-viewer' asks too often" in told(answers[-1], 429)
        assert rig.client(Role.EDITOR).get("/dagster/x").status_code == 200
        assert rig.client(headers=BEARER).get("/dagster/x").status_code == 200


def test_a_path_that_cannot_be_used_is_said_in_words(rig: Rig) -> None:
    with rig.client(headers=BEARER) as client:
        assert "path can't be used" in told(client.get("/dagster/;x"), 400)
        assert "path can&#x27;t be used" in shown(client.get("/dagster/;x", headers=PAGE), 400)
