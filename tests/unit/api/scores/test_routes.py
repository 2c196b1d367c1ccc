"""The score routes before any row is read: who may ask, what is refused, and the policy of the stored page."""

from __future__ import annotations

import pytest

from mlops_assets.api.app import create_app
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.unit.inference.asgi_client import AsgiClient

TOKEN = "operators-token-of-a-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
HERE = "/api/v1/scores/traffic_anomalies"
PAGE = "/scores/traffic_anomalies/report"


# Nothing of it changes by being asked, and making one takes as long as all the questions.
@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> AsgiClient:
    nowhere = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    return AsgiClient(create_app(Settings(home=tmp_path_factory.getbasetemp()), nowhere, token=TOKEN, subjects=[]))


@pytest.mark.parametrize("path", ["/api/v1/scores", HERE, f"{HERE}/2023-07", f"{HERE}/2023-07/records.csv", PAGE])
def test_scores_need_the_token(client: AsgiClient, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-token-of-somebody"}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    down = client.get(path, headers=BEARER)
    assert (down.status_code, down.json()["detail"]) == (503, "the database doesn't answer; try again")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{HERE}/2023-13", "month"),
        (f"{HERE}/2023-00/records.csv", "month"),
        (f"{HERE}/23-07", "month"),
        (f"{HERE}/0000-01", "month"),
        (f"{HERE}/2023-07-01", "month"),
        (f"{HERE}/2023-07%0A", "month"),
        (f"{HERE}?mode=shadow", "mode"),
        (f"{HERE}/2023-07?mode=", "mode"),
        (f"{HERE}/2023-07/records.csv?mode=PRODUCTION", "mode"),
        (f"/api/v1/scores/{'x' * 101}", "product"),
        (f"/scores/{'x' * 101}/report", "product"),
    ],
)
def test_what_cannot_be_meant_is_422_and_named(client: AsgiClient, path: str, field: str) -> None:
    answer = client.get(path, headers=BEARER)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("headers", [{}, BEARER])
def test_whatever_the_page_answers_is_confined(client: AsgiClient, headers: dict[str, str]) -> None:
    (policy,) = client.get(PAGE, headers=headers).headers.get_list("content-security-policy")
    assert policy.startswith("sandbox allow-scripts; default-src 'none';")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy


@pytest.mark.parametrize("path", [HERE, "/scores/a/b/report", "/scores/report", "/x/scores/a/report"])
def test_nothing_else_is_given_that_policy(client: AsgiClient, path: str) -> None:
    (policy,) = client.get(path, headers=BEARER).headers.get_list("content-security-policy")
    assert "sandbox" not in policy
    assert "unsafe" not in policy
