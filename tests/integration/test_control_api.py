"""The control API on a real ledger: what it shows, orders by hand, errors, and a database that is down."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.rollout.phases import Phase
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.looked_rollout import EMPTY, PRODUCT, TOKEN, Looked, looked
from tests.integration.serving_thread import served
from tests.servers import child_environment, free_port, wait_until

HERE = f"/api/v1/rollouts/{PRODUCT}"


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[Looked]:
    with looked(database, tmp_path) as found:
        yield found


@pytest.fixture
def client(api: Looked) -> Iterator[httpx.Client]:
    with api.client() as found:
        yield found


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    return body


def test_the_list_tells_who_serves_and_what_comes_next(client: httpx.Client) -> None:
    here, other = client.get("/api/v1/rollouts").json()["rollouts"]
    assert (here["product"], here["title"], other["product"]) == (PRODUCT, "House prices", EMPTY)
    assert here["state"]["candidate_share"] == 0.2
    assert (here["phase"]["name"], here["phase"]["since"]) == ("ramp", here["state"]["phase_at"])
    assert "share of a step" in here["phase"]["meaning"]
    production, candidate = here["production"], here["candidate"]
    assert (production["version"], production["labels"], production["metrics"]) == (1, ["BO1"], {"mae": 12.0})
    assert (candidate["version"], candidate["labels"], candidate["sample_data"]) == (2, ["CO1"], True)
    assert production["since"] < candidate["since"]
    assert here["look"]["verdict"] == "continue"
    assert here["look"]["reasons"] == ["Look 5 came to continue.", "There are few raters."]
    assert here["look"]["evidence"]["effect"]["raters"] == 120
    assert any("50%" in step["what"] for step in here["upcoming"])
    assert (other["production"], other["look"]) == (None, None)


def test_the_detail_has_a_point_for_each_look(client: httpx.Client) -> None:
    found = client.get(HERE).json()
    series = found["series"]
    assert [point["verdict"] for point in series] == ["continue"] * 3 + ["advance"] + ["continue"] * 2
    assert [point["share"] for point in series] == [0.05] * 3 + [0.2] * 3
    assert series[0]["theta"] is None
    assert series[5]["low"] == pytest.approx(0.0)
    assert series[5]["high"] == pytest.approx(0.4)
    assert series[5]["margin"] == pytest.approx(0.039)
    assert [release["version"] for release in found["releases"]] == [2, 1]
    assert [guardrail["name"] for guardrail in found["look"]["evidence"]["guardrails"]] == ["errors", "slow"]


def test_the_detail_is_sent_again_only_after_a_decision(client: httpx.Client, api: Looked) -> None:
    first = client.get(HERE)
    tag = {"If-None-Match": first.headers["etag"]}
    same = client.get(HERE, headers=tag)
    assert (same.status_code, same.content) == (304, b"")
    api.look(6)
    assert client.get(HERE, headers=tag).status_code == 200


def test_the_ledger_is_read_page_by_page(client: httpx.Client, api: Looked) -> None:
    seen, before, pages = [], None, 0
    while pages == 0 or before is not None:
        page = client.get(f"{HERE}/ledger", params={"limit": 4} | ({"before": before} if before else {})).json()
        seen += [entry["seq"] for entry in page["entries"]]
        before, pages = page["next_before"], pages + 1
    assert seen == list(range(api.state.seq, 0, -1))
    assert pages == 3


def test_production_is_in_charge_since_it_last_took_over(client: httpx.Client, api: Looked) -> None:
    api.ledger.promote(PRODUCT, "kim", "up")
    api.ledger.rollback(PRODUCT, actor="kim", reason="back")
    back = api.ledger.history(PRODUCT, 1)[0].created_at
    api.ledger.pause(PRODUCT, actor="kim", reason="quiet")
    shown = client.get(HERE).json()["production"]
    assert (shown["version"], shown["since"]) == (1, back.isoformat().replace("+00:00", "Z"))


def test_orders_become_decisions_with_actor_and_reason(client: httpx.Client, api: Looked) -> None:
    orders = [
        ("pause", {"reason": " looking ", "actor": "kim"}, "paused"),
        ("resume", {"reason": "seen"}, "resumed"),
        ("share", {"reason": "slower", "share": 0.1}, "share"),
        ("promote", {"reason": "better"}, "promoted"),
        ("rollback", {"reason": "not better"}, "rolled_back"),
        ("promote", {"reason": "after all", "version": 2}, "promoted"),
    ]
    for action, body, event in orders:
        answer = client.post(f"{HERE}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        entry = api.ledger.history(PRODUCT, 1)[0]
        assert (entry.event, entry.reason, entry.actor) == (
            event,
            body["reason"].strip(),
            body.get("actor", "operator"),
        )
        assert answer.json()["state"]["seq"] == entry.seq
    assert (api.state.production, api.state.phase) == (2, Phase.PROMOTING)


def test_a_share_by_hand_keeps_the_steps_above_it(client: httpx.Client, api: Looked) -> None:
    client.post(f"{HERE}/share", json={"reason": "x", "share": 0.3})
    assert (api.state.phase, api.state.candidate_share) == (Phase.RAMP, 0.3)
    client.post(f"{HERE}/share", json={"reason": "x", "share": 0.6})
    assert api.state.phase == Phase.HOLD


def test_an_order_sent_again_with_its_key_counts_once(client: httpx.Client, api: Looked) -> None:
    before = api.state.seq
    key = {"Idempotency-Key": "order-1"}
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda _: client.post(f"{HERE}/pause", json={"reason": "x"}, headers=key), range(8)))
    assert {answer.status_code for answer in sent} == {200}
    assert api.state.seq == before + 1
    assert client.post(f"{HERE}/resume", json={"reason": "x"}, headers=key).json()["state"]["paused"] is False
    assert api.ledger.history(PRODUCT, 1)[0].key == "api:resume:order-1"


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("pause", {}, "reason"),
        ("pause", {"reason": " \t"}, "reason"),
        ("pause", {"reason": "x" * 501}, "reason"),
        ("pause", {"reason": "a\u0000b"}, "reason"),
        ("pause", {"reason": "x", "who": "y"}, "who"),
        ("share", {"reason": "x"}, "share"),
        ("share", {"reason": "x", "share": 1}, "share"),
        ("share", {"reason": "x", "share": 0}, "share"),
        ("promote", {"reason": "x", "version": 2**40}, "version"),
    ],
)
def test_a_bad_order_names_its_field_and_changes_nothing(
    client: httpx.Client, api: Looked, action: str, body: dict[str, object], field: str
) -> None:
    before = api.state
    found = problem(client.post(f"{HERE}/{action}", json=body), 422)
    assert [error["field"] for error in found["errors"]] == [field]
    assert api.state == before


def test_an_order_that_is_not_possible_says_why(client: httpx.Client) -> None:
    assert "not paused" in str(problem(client.post(f"{HERE}/resume", json={"reason": "x"}), 409)["detail"])
    gone = problem(client.post(f"{HERE}/promote", json={"reason": "x", "version": 9}), 409)
    assert gone["detail"] == f"{PRODUCT} has no release 9"


@pytest.mark.parametrize("path", ["/api/v1/rollouts/nothing", "/api/v1/rollouts/nothing/ledger", "/api/v1/nothing"])
def test_what_there_is_not_is_404(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404)


def test_a_broken_body_is_422_and_a_wrong_method_405(client: httpx.Client) -> None:
    broken = client.post(f"{HERE}/pause", content=b"{", headers={"Content-Type": "application/json"})
    assert problem(broken, 422)["detail"] == "the body is not valid JSON"
    problem(client.delete(HERE), 405)
    huge = client.post(f"{HERE}/pause", content=b" " * 70_000, headers={"Content-Type": "application/json"})
    problem(huge, 413)


def test_health_asks_the_database(client: httpx.Client, api: Looked) -> None:
    with api.client(token=None) as anybody:
        answer = anybody.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json()["database_ms"] >= 0


def test_a_database_that_is_down_is_503_and_says_when_to_try_again(tmp_path: Path) -> None:
    nowhere = Database.connect(f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x")
    app = create_app(Settings(home=tmp_path), nowhere, token=TOKEN, subjects=[Subject(PRODUCT, "House prices")])
    with served(app) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        asked = [client.get("/api/v1/health"), client.get(HERE), client.post(f"{HERE}/pause", json={"reason": "x"})]
        for answer in asked:
            assert "secret-word" not in str(problem(answer, 503))
            assert answer.headers["retry-after"] == "2"
    nowhere.dispose()


def test_the_process_starts_answers_and_stops_when_told(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "operator_token").write_text(TOKEN + "\n")
    port = free_port()
    environment = {"MLOPS_HOME": str(tmp_path), "MLOPS_DATABASE_URL": postgres_url, "MLOPS_API_SERVER_PORT": str(port)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "mlops_assets.api.server"],
            env=child_environment(environment), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(answers, 60, log.read_text)
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/rollouts").status_code == 401
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) in (0, -signal.SIGTERM)
    finally:
        if running.poll() is None:
            running.kill()
            running.wait(20)
    assert TOKEN not in log.read_text()


def test_the_process_says_which_file_is_missing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mlops_assets.api.server"],
        env=child_environment({"MLOPS_HOME": str(tmp_path)}), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert f"token file {tmp_path / 'secrets' / 'operator_token'}" in ended.stderr
    assert "Traceback" not in ended.stderr
