"""What the control API takes from Alertmanager: who may post, what is refused, what is noted once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from mlops_assets.access import tokens
from mlops_assets.access.roles import Role
from mlops_assets.api.app import create_app
from mlops_assets.api.auth import FILE_CALLER
from mlops_assets.notifications import outbox
from mlops_assets.notifications.notice import Kind
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.alerts.conftest import OPERATORS
from tests.integration.serving_thread import served
from tests.servers import free_port
from tests.unit.notifications.test_from_alerts import alert, over

HERE = "/api/v1/alerts"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def own(monitored: Settings) -> dict[str, str]:
    """The header that Alertmanager sends."""
    return bearer((monitored.secrets / "alerts_token").read_text().strip())


def body(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "receiver": "platform", "status": "firing", "truncatedAlerts": 0, "alerts": list(alerts)}


def test_alerts_become_notices_once_however_often_they_are_posted(
    client: httpx.Client, database: Database, own: dict[str, str]
) -> None:
    first = client.post(HERE, json=body(alert(), alert(fingerprint="ff")), headers=own)
    assert (first.status_code, first.json()) == (200, {"new": 2})
    for _ in range(3):
        assert client.post(HERE, json=body(alert()), headers=own).json() == {"new": 0}
    assert client.post(HERE, json=body(over()), headers=own).json() == {"new": 1}
    noted = [told.notice for told in outbox.newest(database, 10)]
    assert [notice.kind for notice in noted] == [Kind.ALERT] * 3
    assert noted[0].title.startswith("[platform] DaemonSilent is over")


def test_the_same_alert_posted_at_once_from_all_sides_is_one(
    client: httpx.Client, database: Database, own: dict[str, str]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(HERE, json=body(alert()), headers=own), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["new"] for answer in answers) == 1


@pytest.mark.parametrize("sent", [{}, bearer("wrong-token-of-somebody"), bearer("x"), {"Authorization": "Basic eDp5"}])
def test_without_the_token_nothing_is_noted(client: httpx.Client, database: Database, sent: dict[str, str]) -> None:
    answer = client.post(HERE, json=body(alert()), headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert outbox.newest(database, 1) == []


def test_other_tokens_are_not_taken_here_and_this_one_nowhere_else(
    client: httpx.Client, database: Database, own: dict[str, str]
) -> None:
    issued = tokens.create(database, FILE_CALLER, "somebody", Role.OPERATOR)
    for token in (OPERATORS, issued):
        assert client.post(HERE, json=body(alert()), headers=bearer(token)).status_code == 401
        assert client.get("/api/v1/rollouts", headers=bearer(token)).status_code == 200
    for method, path in (("GET", "/api/v1/rollouts"), ("POST", "/api/v1/rollouts/x/rollback"), ("GET", HERE)):
        assert client.request(method, path, headers=own).status_code in (401, 405)


def test_a_replaced_token_counts_at_once_and_a_removed_or_empty_one_lets_nobody_in(
    client: httpx.Client, monitored: Settings, own: dict[str, str]
) -> None:
    file = monitored.secrets / "alerts_token"
    file.write_text("another-token-of-twenty-signs\n")
    assert client.post(HERE, json=body(alert()), headers=own).status_code == 401
    assert client.post(HERE, json=body(alert()), headers=bearer("another-token-of-twenty-signs")).status_code == 200
    for content in ("", "\n", "short\n"):
        file.write_text(content)
        assert client.post(HERE, json=body(alert()), headers=bearer(content.strip() or "x")).status_code == 401
    file.unlink()
    assert client.post(HERE, json=body(alert()), headers=own).status_code == 401


def test_whoever_posts_too_often_is_told_when_to_try_again(
    database: Database, monitored: Settings, own: dict[str, str]
) -> None:
    slow = monitored.model_copy(update={"api_requests_per_second": 0.1, "api_burst": 3})
    with served(create_app(slow, database, token=OPERATORS, subjects=[])) as url:
        answers = [httpx.post(url + HERE, json=body(alert()), headers=own, timeout=20) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_what_is_no_post_of_alertmanager_names_its_fault(
    client: httpx.Client, database: Database, own: dict[str, str]
) -> None:
    answer = client.post(HERE, json=body(alert(startsAt="yesterday")), headers=own)
    assert answer.status_code == 422
    assert "startsAt" in answer.text
    for content in (b"", b"[]", b"{", json.dumps({"version": "4"}).encode()):
        assert client.post(HERE, content=content, headers=own).status_code == 422
    assert outbox.newest(database, 1) == []


def test_a_large_group_is_taken_whole_and_a_larger_body_refused(
    client: httpx.Client, database: Database, own: dict[str, str]
) -> None:
    many = [alert(fingerprint=f"{n:016x}", annotations={"summary": "x" * 500}) for n in range(1000)]
    assert client.post(HERE, json=body(*many), headers=own).json() == {"new": 1000}
    refused = client.post(HERE, content=b"x" * (2 * 1024 * 1024 + 1), headers=own)
    assert refused.status_code == 413


def test_a_database_that_is_away_makes_alertmanager_try_again(monitored: Settings, own: dict[str, str]) -> None:
    nowhere = Database.connect(f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x")
    with served(create_app(monitored, nowhere, token=OPERATORS, subjects=[])) as url:
        answer = httpx.post(url + HERE, json=body(alert()), headers=own, timeout=20)
    nowhere.dispose()
    assert answer.status_code == 503, "Alertmanager repeats what ends in 5xx and drops what ends in 4xx"
    assert "secret-word" not in answer.text
