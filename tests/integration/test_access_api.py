"""Roles, sessions, limits, the audit and idempotency keys through a served API on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mlops_assets.access import audit, tokens
from mlops_assets.access.audit import Filters
from mlops_assets.access.idempotency import Answer, Keyed, once
from mlops_assets.access.known import KnownTokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.api.audit import act_of
from mlops_assets.api.auth import Editor, Operator, Viewer
from mlops_assets.api.once import Key, do_once
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.serving_thread import served
from tests.servers import wait_until

TOKEN = "operators-token-of-a-test"
OWN_PAGE = {"X-Requested-With": "mlops"}
BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)


class Thing(BaseModel):
    """What a test creates."""

    name: str


def add_test_routes(app: FastAPI, database: Database) -> None:
    """One route for each role, and one that creates."""

    @app.get("/test/viewer")
    def viewer(caller: Annotated[Caller, Viewer]) -> dict[str, str]:
        return {"name": caller.name, "role": caller.role, "kind": caller.kind}

    @app.get("/test/editor", dependencies=[Viewer])
    def editor(caller: Annotated[Caller, Editor]) -> dict[str, str]:
        return {"name": caller.name}

    @app.get("/test/operator")
    def operator(caller: Annotated[Caller, Operator]) -> dict[str, str]:
        return {"name": caller.name}

    @app.post("/test/things", status_code=201)
    def create(request: Request, body: Thing, caller: Annotated[Caller, Editor], key: Key = None) -> Response:
        def work(session: Any) -> Answer:
            audit.add(session, act_of(request, caller, "thing.create", body.name, size=1))
            if body.name == "refused":
                raise HTTPException(404, "no such thing")
            return Answer(201, body.model_dump_json(), {"ETag": '"1"'})

        return do_once(database, request, caller, key, body, work)


@contextmanager
def api(database: Database, home: Path, **settings: Any) -> Iterator[str]:
    """The control API with the test's own routes; its URL."""
    app = create_app(
        Settings(home=home, **settings), database, token=TOKEN, subjects=[Subject("house_prices", "House prices")]
    )
    add_test_routes(app, database)
    with served(app) as url:
        yield url


@pytest.fixture
def url(database: Database, tmp_path: Path) -> Iterator[str]:
    with api(database, tmp_path) as found:
        yield found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def client_of(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers=bearer(token), timeout=20)


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


READS = [
    "/api/v1/rollouts",
    "/api/v1/rollouts/house_prices",
    "/api/v1/rollouts/house_prices/ledger",
    "/api/v1/drift",
    "/api/v1/drift/house_prices",
    "/api/v1/scores",
    "/openapi.json",
    "/docs",
    "/test/viewer",
]


def test_viewers_read_and_change_nothing(database: Database, url: str) -> None:
    with client_of(url, tokens.create(database, BY, "reader", Role.VIEWER)) as client:
        for path in READS:
            assert client.get(path).status_code == 200, path
        for action in ("pause", "resume", "share", "promote", "rollback"):
            answer = client.post(f"/api/v1/rollouts/house_prices/{action}", json={"reason": "x", "share": 0.5})
            assert "needs the role operator" in problem(answer, 403)
        said = problem(client.get("/test/editor"), 403)
        assert said == "this needs the role editor; 'reader' has the role viewer"
        assert "operator" in problem(client.get("/api/v1/audit"), 403)


def test_editors_change_things_and_no_rollout(database: Database, url: str) -> None:
    with client_of(url, tokens.create(database, BY, "author", Role.EDITOR)) as client:
        assert client.get("/test/editor").json() == {"name": "author"}
        assert client.post("/test/things", json={"name": "a"}).status_code == 201
        problem(client.post("/api/v1/rollouts/house_prices/pause", json={"reason": "x"}), 403)
        problem(client.get("/test/operator"), 403)


def test_operators_do_all(database: Database, url: str) -> None:
    for token in (TOKEN, tokens.create(database, BY, "boss", Role.OPERATOR)):
        with client_of(url, token) as client:
            for path in (*READS, "/test/editor", "/test/operator", "/api/v1/audit"):
                assert client.get(path).status_code == 200, path
            answer = client.post("/api/v1/rollouts/house_prices/pause", json={"reason": "x"})
            assert answer.status_code in (200, 409), answer.text


def test_the_route_knows_who_asks(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    assert httpx.get(f"{url}/test/viewer", headers=bearer(token)).json() == {
        "name": "ci",
        "role": "editor",
        "kind": "token",
    }
    assert httpx.get(f"{url}/test/viewer", headers=bearer(TOKEN)).json() == {
        "name": "operator",
        "role": "operator",
        "kind": "file",
    }


def test_without_a_valid_token_nobody_gets_in(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    wrong = [f"{token}x", token[:-1], f"mlops_{'0' * 16}_{'x' * 43}", "mlops__", "mlops_" + "\xff" * 10]
    sent = [f"Bearer {one}".encode("latin-1") for one in wrong]
    for answer in (
        httpx.get(f"{url}/test/viewer"),
        *(httpx.get(f"{url}/test/viewer", headers={b"Authorization": one}) for one in sent),
    ):
        problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_running_api_forgets_a_revoked_token_and_its_sessions(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    with httpx.Client(base_url=url, headers=OWN_PAGE, timeout=20) as browser:
        assert browser.post("/session", json={"token": token}).status_code == 204
        assert browser.get("/test/viewer").json() == {"name": "ci", "role": "editor", "kind": "session"}
        assert httpx.get(f"{url}/test/editor", headers=bearer(token)).status_code == 200
        tokens.revoke(database, BY, "ci")
        wait_until(lambda: httpx.get(f"{url}/test/editor", headers=bearer(token)).status_code == 401, 10)
        problem(browser.get("/test/viewer"), 401)
        problem(browser.post("/session", json={"token": token}), 401)


def test_a_session_may_what_its_token_may(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "reader", Role.VIEWER)
    with httpx.Client(base_url=url, headers=OWN_PAGE, timeout=20) as browser:
        signed = browser.post("/session", json={"token": token})
        assert token.split("_", 2)[2] not in signed.headers["set-cookie"]
        assert browser.get("/api/v1/rollouts").status_code == 200
        problem(browser.post("/api/v1/rollouts/house_prices/pause", json={"reason": "x"}), 403)
        made_up = signed.headers["set-cookie"].partition(";")[0].partition("=")[2].rsplit(".", 2)
        other = tokens.create(database, BY, "boss", Role.OPERATOR).split("_")[1]
        forged = f"{made_up[0]}.{other}.{made_up[2]}"
        problem(httpx.get(f"{url}/test/viewer", headers={"Cookie": f"mlops_session={forged}"}), 401)
        assert browser.delete("/session", headers={"Content-Type": "application/json"}).status_code == 204


def test_an_issued_token_waits_when_it_asks_too_often_and_others_do_not(database: Database, tmp_path: Path) -> None:
    first, second = (tokens.create(database, BY, name, Role.VIEWER) for name in ("a", "b"))
    with api(database, tmp_path, api_requests_per_second=0.01, api_burst=5) as url:
        with client_of(url, first) as client:
            # A route that asks for two roles counts once.
            assert [client.get("/test/editor").status_code for _ in range(5)] == [403] * 5
            answer = client.get("/test/viewer")
            assert "'a' asks too often" in problem(answer, 429)
            assert 90 <= int(answer.headers["retry-after"]) <= 100
        assert httpx.get(f"{url}/test/viewer", headers=bearer(second)).status_code == 200
        with client_of(url, TOKEN) as client:
            assert {client.get("/test/viewer").status_code for _ in range(10)} == {200}


def test_acts_are_read_page_by_page_and_by_what_is_asked(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    with client_of(url, token) as client:
        for number in range(7):
            headers = {"X-Request-ID": f"request-{number}"}
            answer = client.post("/test/things", json={"name": f"thing{number % 2}"}, headers=headers)
            assert answer.headers["x-request-id"] == f"request-{number}"
    with client_of(url, TOKEN) as client:
        seen: list[dict[str, Any]] = []
        before: int | None = None
        while not seen or before is not None:
            asked: dict[str, Any] = {"limit": 3, "who": "ci"} | ({"before": before} if before else {})
            page = client.get("/api/v1/audit", params=asked).json()
            seen += page["entries"]
            before = page["next_before"]
        assert [act["request_id"] for act in seen] == [f"request-{number}" for number in range(6, -1, -1)]
        act = seen[0]
        assert (act["role"], act["kind"], act["action"], act["object"]) == ("editor", "token", "thing.create", "thing0")
        assert (act["outcome"], act["details"], act["caller"]) == ("done", {"size": 1}, token.split("_")[1])

        def found(**asked: Any) -> int:
            return len(client.get("/api/v1/audit", params=asked).json()["entries"])

        assert found() == 8
        assert found(object="thing1") == 3
        assert found(action="token.create") == 1
        assert found(outcome="failed") == 0
        assert found(who="ci", object="thing0", action="thing.create", outcome="done") == 4
        assert found(since=act["at"]) == 1
        assert found(until=act["at"]) == 7


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0}, {"limit": 501}, {"before": 0}, {"before": 2**63}, {"who": "a\0b"}, {"object": "x" * 301},
        {"outcome": "maybe"}, {"since": "yesterday"}, {"since": "2025-01-01T00:00:00"},
    ],
)  # fmt: skip
def test_what_can_not_be_asked_of_the_audit_is_refused(url: str, asked: dict[str, Any]) -> None:
    answer = httpx.get(f"{url}/api/v1/audit", params=asked, headers=bearer(TOKEN))
    assert next(iter(asked)) in problem(answer, 422)


def test_an_order_sent_again_is_answered_again_and_done_once(database: Database, url: str) -> None:
    with client_of(url, tokens.create(database, BY, "ci", Role.EDITOR)) as client:
        key = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
        first = client.post("/test/things", json={"name": "a"}, headers=key)
        again = client.post("/test/things", content=b' {"name" : "a"} ', headers=key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert (first.content, first.headers["etag"]) == (again.content, again.headers["etag"])
        assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
        assert "k1" in problem(client.post("/test/things", json={"name": "b"}, headers=key), 422)
        assert len(audit.page(database, Filters(action="thing.create"), 10)) == 1
        refused = {"Idempotency-Key": "k2"}
        problem(client.post("/test/things", json={"name": "refused"}, headers=refused), 404)
        assert client.post("/test/things", json={"name": "c"}, headers=refused).status_code == 201
        assert [act.object for act in audit.page(database, Filters(action="thing.create"), 10)] == ["c", "a"]
        for bad in (b"", b"a b", b"x" * 201, b"\xe9"):
            headers = {b"Idempotency-Key": bad}
            assert "Idempotency-Key" in problem(client.post("/test/things", json={"name": "d"}, headers=headers), 400)


def test_an_order_whose_key_is_at_work_is_told_when_to_try_again(database: Database, url: str) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    caller = KnownTokens(database).caller(token)
    assert caller is not None
    headers = bearer(token) | {"Idempotency-Key": "k1"}
    keyed = Keyed(caller.id, "POST /test/things", "k1", b'{"name":"a"}')

    def work(_: Any) -> Answer:
        answer = httpx.post(f"{url}/test/things", json={"name": "a"}, headers=headers)
        problem(answer, 409)
        assert int(answer.headers["retry-after"]) >= 1
        return Answer(201, '{"name":"a"}')

    once(database, keyed, work)
    assert httpx.post(f"{url}/test/things", json={"name": "a"}, headers=headers).headers["idempotent-replayed"]


def test_the_limits_are_described_for_every_route(url: str) -> None:
    described = httpx.get(f"{url}/openapi.json", headers=bearer(TOKEN)).json()["paths"]
    missing = [
        f"{method} {path}"
        for path, methods in described.items()
        for method, route in methods.items()
        if not path.startswith("/test/") and path != "/api/v1/health" and not {"401", "429"} <= set(route["responses"])
    ]
    assert not missing
    assert "403" in described["/api/v1/rollouts/{product}/pause"]["post"]["responses"]
