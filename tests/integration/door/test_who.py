"""Who gets in: signed-in people and holders of tokens, each with their own role, and nobody by a trick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import update
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mlops_assets.access import tokens
from mlops_assets.access.roles import Role
from mlops_assets.api.auth import COOKIE
from mlops_assets.storage.access_tables import ApiToken
from tests.integration.door.door_rig import BY, INNER_TOKEN, OPERATORS_TOKEN, Rig, query
from tests.servers import wait_until

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OTHER_SITES = ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "", "x"]


def test_a_browser_is_sent_to_the_sign_in_and_back(rig: Rig) -> None:
    for asked in ("/dagster/runs/1?view=a%26b&c=%2F", "/mlflow/?x=//evil.example", "/dagster//evil.example/x"):
        answer = rig.client().get(asked, headers=PAGE | {"sec-fetch-mode": "navigate"})
        assert answer.status_code == 302
        where = urlsplit(answer.headers["location"])
        assert (where.scheme, where.netloc, where.path) == ("", "", "/sign-in")
        assert parse_qs(where.query)["next"] == [asked.replace("//evil.example/x", "/evil.example/x")]
        assert answer.headers["cache-control"] == "no-store"
    assert rig.dagster.seen == []


def test_everything_else_is_told_in_words(rig: Rig) -> None:
    client = rig.client()
    answers = [
        client.get("/dagster/x"),
        client.post("/dagster/graphql", json=query("{ version }"), headers=PAGE),
        client.get("/mlflow/x", headers=PAGE | {"sec-fetch-mode": "cors"}),
        client.get("/dagster/x", headers={"authorization": f"Bearer {OPERATORS_TOKEN}x"}),
        client.get("/dagster/x", headers={"authorization": f"Bearer {INNER_TOKEN}"}),
        client.get("/dagster/x", headers={"authorization": f"Basic {OPERATORS_TOKEN}"}),
        client.get("/dagster/x", headers={"cookie": f"{COOKIE}=9999999999.aa.{'0' * 64}"}),
        client.get("/dagster/x", headers={"cookie": f"{COOKIE}={OPERATORS_TOKEN}"}),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "/sign-in" in answer.json()["detail"]
        assert "x-envoy-upstream-service-time" not in answer.headers
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])


def test_each_is_known_by_name_and_role(rig: Rig) -> None:
    for role in Role:
        rig.client(role).get("/dagster/x")
        rig.session(rig.issued[role]).get("/mlflow/x")
        for seen in (rig.dagster.seen[-1], rig.mlflow.seen[-1]):
            assert (seen.headers["x-mlops-who"], seen.headers["x-mlops-role"]) == ([f"an-{role}"], [role])
    rig.session().get("/dagster/x")
    assert rig.dagster.seen[-1].headers["x-mlops-role"] == ["operator"]


def test_nobody_brings_a_role_or_takes_a_secret_along(rig: Rig) -> None:
    claimed = [
        *(
            ("x-mlops-role", "operator"),
            ("X-MLOPS-Role", "operator"),
            ("x-mlops-who", "kim"),
            ("x_mlops_role", "operator"),
        ),
        *(("x-mlops-door", INNER_TOKEN), ("x-envoy-external-address", "10.0.0.1"), ("x-envoy-original-path", "/x")),
        *(("x-forwarded-for", "10.0.0.1"), ("x-forwarded-host", "evil.example"), ("x-mlops-upgrade", "websocket")),
    ]
    client = rig.session(rig.issued[Role.VIEWER])
    client.get("/dagster/x", headers=claimed)
    client.get("/mlflow/x", headers=[*claimed, ("referer", f"{rig.url}/")])
    for seen in (*rig.dagster.seen, *rig.mlflow.seen):
        headers = seen.headers
        assert headers["x-mlops-role"] == ["viewer"]
        assert headers["x-mlops-who"] == ["an-viewer"]
        assert headers["authorization"] == [f"Bearer {INNER_TOKEN}"]
        assert not {"cookie", "origin", "referer", "x_mlops_role", "x-mlops-door", "x-mlops-upgrade"} & set(headers)
        assert not [name for name in headers if name.startswith(("x-envoy-", "x-forwarded-"))]
    assert len(rig.dagster.seen) == len(rig.mlflow.seen) == 1


def test_no_header_takes_another_ones_place_away(rig: Rig) -> None:
    """`Connection` names headers that the next server shouldn't see."""
    named = "x-mlops-role, x-mlops-who, authorization, close"
    if rig.raw("/dagster/x", connection=named).status == 200:
        assert rig.dagster.seen[0].headers["x-mlops-role"] == ["operator"]
        assert rig.dagster.seen[0].headers["authorization"] == [f"Bearer {INNER_TOKEN}"]


def test_a_revoked_or_expired_token_opens_nothing(rig: Rig) -> None:
    token = tokens.create(rig.database, BY, "leaver", Role.OPERATOR)
    short = tokens.create(rig.database, BY, "short", Role.OPERATOR, 1)
    by_token, by_session = rig.client(headers={"authorization": f"Bearer {token}"}), rig.session(token)
    ending = rig.client(headers={"authorization": f"Bearer {short}"})
    everybody = (by_token, by_session, ending)
    assert [client.get("/dagster/x").status_code for client in everybody] == [200, 200, 200]
    tokens.revoke(rig.database, BY, "leaver")
    with rig.database.session() as session, session.begin():
        past = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(update(ApiToken).where(ApiToken.name == "short").values(expires_at=past))
    for client in everybody:
        wait_until(lambda client=client: client.get("/dagster/x").status_code == 401, 10)  # type: ignore[misc]


def test_another_sites_page_changes_nothing_by_a_session(rig: Rig) -> None:
    client = rig.session()
    for origin in OTHER_SITES:
        for method, path in (
            ("POST", "/dagster/graphql"),
            ("POST", "/mlflow/api/2.0/mlflow/runs/search"),
            ("GET", "/mlflow/x"),
        ):
            answer = client.request(method, path, json=query("{ version }"), headers={"origin": origin})
            assert answer.status_code == 403, (origin, method, path)
    del client.headers["origin"]
    assert client.post("/dagster/graphql", json=query("{ version }")).status_code == 403
    assert client.delete("/mlflow/api/2.0/mlflow/x").status_code == 403
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])
    assert client.get("/dagster/x").status_code == 200
    assert client.post("/dagster/graphql", json=query("{ version }"), headers={"origin": rig.url}).status_code == 200
    script = rig.client(Role.VIEWER).post("/dagster/graphql", json=query("{ version }"), headers={"origin": "http://x"})
    assert script.status_code == 200


def test_the_page_is_the_sites_own_by_host_and_port_whatever_is_in_front(rig: Rig) -> None:
    client = rig.session()
    for host, origin, status in (
        ("ml.example.org", "https://ml.example.org", 200),
        ("ML.example.org:443", "https://ml.example.org", 200),
        ("ml.example.org:8443", "https://ml.example.org:8443", 200),
        ("ml.example.org", "https://ml.example.org:8443", 403),
        ("ml.example.org", "https://ml.example.org.evil.example", 403),
        ("ml.example.org", "https://x@ml.example.org", 403),
    ):
        headers = {"host": host, "origin": origin, "cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
        answer = rig.client(headers=headers).post("/dagster/graphql", json=query("{ version }"))
        assert answer.status_code == status, (host, origin)


def test_a_websocket_needs_the_same(rig: Rig) -> None:
    address = f"ws://127.0.0.1:{rig.port}/dagster/graphql"
    client = rig.session(rig.issued[Role.VIEWER])
    cookie = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    for headers, origin, status in (
        ({}, rig.url, 401),
        (cookie, "https://evil.example", 403),
        (cookie, None, 403),
        ({"authorization": "Bearer x"}, rig.url, 401),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(address, additional_headers=headers, origin=origin, proxy=None).close()  # type: ignore[arg-type]
        assert refused.value.response.status_code == status
    assert rig.dagster.seen == []
    bearer = {"authorization": f"Bearer {rig.issued[Role.EDITOR]}"}
    for headers, origin, role in ((cookie, rig.url, "viewer"), (bearer, None, "editor")):
        with connect(
            address, additional_headers=headers, origin=origin, subprotocols=["graphql-ws"], proxy=None  # type: ignore[arg-type, list-item]
        ) as socket:  # fmt: skip
            socket.send("hello")
            assert socket.recv(10) == "dagster: hello"
        assert rig.dagster.seen[-1].headers["x-mlops-role"] == [role]
        assert rig.dagster.seen[-1].headers["authorization"] == [f"Bearer {INNER_TOKEN}"]
        assert "cookie" not in rig.dagster.seen[-1].headers


def test_a_websocket_opens_nowhere_else(rig: Rig) -> None:
    bearer = {"authorization": f"Bearer {OPERATORS_TOKEN}"}
    for path in ("/dagster/x", "/mlflow/graphql", "/"):
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{rig.port}{path}", additional_headers=bearer, proxy=None).close()
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])


def test_failed_sign_ins_are_counted_by_who_tried_not_by_the_gateway(rig: Rig) -> None:
    """All come from the gateway now; its address being out of patience would lock everybody out."""
    wrong, page = {"token": "wrong"}, {"X-Requested-With": "mlops"}
    forged = page | {"x-envoy-external-address": "10.9.8.7", "x-forwarded-for": "10.9.8.7"}
    statuses = [rig.client().post("/session", json=wrong, headers=forged).status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    with rig.client() as direct:
        direct.base_url = f"http://127.0.0.1:{rig.api_port}"
        other = page | {"x-envoy-external-address": "10.9.8.8"}
        assert direct.post("/session", json={"token": OPERATORS_TOKEN}, headers=other).status_code == 204
