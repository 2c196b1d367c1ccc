"""What passes the door unchanged, and what it adds: the control API is reached as if there were no door."""

from __future__ import annotations

import pytest

from mlops_assets.access.roles import Role
from tests.integration.door.door_rig import LARGE, Rig


def test_the_control_api_gets_what_the_client_sent(rig: Rig) -> None:
    sent = {"authorization": "Bearer mine", "cookie": "a=b", "x-request-id": "mine", "origin": "http://x", "etag": "1"}
    with rig.client() as client:
        heard = client.post("/test/echo?a=%2F&b", headers=sent, content=b"abc")
    got = heard.json()
    headers = dict(got["headers"])
    assert {name: headers[name] for name in sent} == sent
    assert (got["size"], got["query"]) == (3, "a=%2F&b")
    assert heard.headers["x-request-id"] == "mine"
    assert [name for name in headers if name.startswith(("x-mlops", "x-envoy", "x-forwarded"))] == [
        "x-envoy-external-address"
    ]


def test_its_own_limits_of_bodies_hold(rig: Rig) -> None:
    with rig.client() as client:
        assert client.post("/test/echo", content=b"x" * 60_000).json()["size"] == 60_000
        answer = client.post("/test/echo", content=b"x" * 70_000)
        assert (answer.status_code, answer.json()["detail"]) == (413, "the body has more than 65536 bytes")


def test_events_come_one_by_one(rig: Rig) -> None:
    with rig.client() as client, client.stream("GET", "/test/events") as stream:
        heard = []
        for line in stream.iter_lines():
            if line:
                heard.append(line)
                rig.app.state.ticks = len(heard)
    assert heard == ["data: 0", "data: 1", "data: 2"]


def test_long_downloads_arrive_whole(rig: Rig) -> None:
    with rig.client() as client:
        assert len(client.get("/test/large").content) == LARGE


@pytest.mark.parametrize(
    ("path", "sandboxed"),
    [
        ("/dagster/x", False),
        ("/dagster/logs/1/a.html", True),
        ("/dagster/notebook?path=x", True),
        ("/mlflow/", False),
        ("/mlflow/static-files/x.js", False),
        ("/mlflow/get-artifact?path=page.html", True),
        ("/mlflow/model-versions/get-artifact?path=page.html", True),
        ("/mlflow/ajax-api/2.0/mlflow-artifacts/artifacts/page.html", True),
        ("/mlflow/ajax-api/2.0/mlflow/logged-models/1/artifacts/files", True),
        ("/mlflow/g%65t-artifact", True),
        ("/mlflow/static-files/../get-artifact", True),
    ],
)
def test_files_that_runs_wrote_are_no_pages_of_ours(rig: Rig, path: str, sandboxed: bool) -> None:
    with rig.client(Role.VIEWER) as client:
        headers = client.get(path).headers
    assert ("sandbox" in headers["content-security-policy"]) is sandboxed
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    # What they say themselves holds as well.
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert not {"set-cookie", "service-worker-allowed", "server"} & set(headers)
