"""What the gateway refuses and how it says so; what it writes down of it."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.rollout import gateway
from tests.integration.gateway_rig import (
    CANDIDATE,
    HOUSES,
    PREDICT,
    PRODUCTION,
    Rig,
    comparing,
    running_rig,
    users,
)
from tests.servers import wait_until

LIMITS = gateway.Limits(
    body_bytes=100_000, header_kb=8, feedback_per_second=1, concurrency=4, connections=60,
    receive_seconds=1.0, headers_seconds=0.5, try_seconds=0.6, page_try_seconds=0.6,
)  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[Rig]:
    with running_rig(1, LIMITS) as rig:
        yield rig


@pytest.fixture
def rig(running: Rig) -> Rig:
    running.reset()
    return running


def raw(rig: Rig, sent: bytes, seconds: float = 10.0) -> bytes:
    """What comes back for these bytes until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", rig.port), timeout=seconds) as connection:
        connection.sendall(sent)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def body_of(answer: bytes) -> dict[str, Any]:
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


def test_a_body_over_the_limit_never_reaches_a_service(rig: Rig) -> None:
    assert rig.ask(content=b"x" * LIMITS.body_bytes).status_code == 200
    rig.services[HOUSES, PRODUCTION].control(mode="ok")
    chunked = iter([b"x" * 60_000, b"x" * 60_000])
    for content in (b"x" * (LIMITS.body_bytes + 1), chunked):
        answer = rig.ask(content=content)
        assert (answer.status_code, answer.json()) == (413, {"detail": "the body has more than 100000 bytes"})
        assert answer.headers["content-type"] == "application/json"
    assert rig.services[HOUSES, PRODUCTION].control()["count"] == 0


def test_headers_over_the_limit_are_refused(rig: Rig) -> None:
    answer = rig.ask(headers={"x-large": "x" * 10_000})
    assert (answer.status_code, answer.json()) == (431, {"detail": "the headers have more than 8 KB"})


def test_feedback_has_a_lower_rate_by_every_path(rig: Rig) -> None:
    paths = ("/api/feedback", "/api/feedback?x=1", f"/{HOUSES}/api/feedback")
    for path in paths:
        assert 429 in {status for status, _ in rig.counted(users(60), path)}, path
    refused = next(answer for answer in (rig.ask("/api/feedback") for _ in range(30)) if answer.status_code == 429)
    assert refused.json() == {"detail": "too many requests"}
    assert refused.headers["retry-after"] == "1"
    assert {status for status, _ in rig.counted(users(100))} == {200}


def test_requests_have_a_rate_too() -> None:
    with running_rig(1, gateway.Limits(requests_per_second=50)) as rig:
        found = Counter(status for status, _ in rig.served(users(400)).values())
        assert found[429] > 0
        assert found[200] >= 50
        assert set(found) == {200, 429}
        wait_until(lambda: rig.ask().status_code == 200, 5)


def test_more_requests_at_once_than_a_service_may_have_are_refused_in_json(rig: Rig) -> None:
    for variant in (PRODUCTION, CANDIDATE):
        rig.services[HOUSES, variant].control(mode="slow", seconds=0.4)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: rig.ask(user=f"user-{n}"), range(20)))
    found = Counter(answer.status_code for answer in answers)
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert found[200] >= LIMITS.concurrency
    assert set(found) <= {200, 503, 504}
    assert refused.json() == {"detail": "too many requests at once"}
    assert refused.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /api/predict_home_price HTTP/1.1\r\nhost: x\r\n",
        b"POST /api/predict_home_price HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
    ],
    ids=["headers", "body"],
)
def test_a_client_that_does_not_finish_is_sent_away(rig: Rig, sent: bytes) -> None:
    answer = raw(rig, sent)
    assert answer.startswith(b"HTTP/1.1 408")
    assert body_of(answer) == {"detail": "the request did not arrive in time"}
    assert rig.services[HOUSES, PRODUCTION].control()["count"] == 0


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n"])
def test_what_is_not_http_is_refused(rig: Rig, sent: bytes) -> None:
    assert raw(rig, sent).startswith(b"HTTP/1.1 400")


def test_two_lengths_smuggle_no_second_request(rig: Rig) -> None:
    rig.services[HOUSES, PRODUCTION].control(mode="ok")
    hidden = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
    head = (
        b"POST /api/predict_home_price HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    answer = raw(rig, head + b"0\r\n\r\n" + hidden)
    assert answer.startswith(b"HTTP/1.1 400")
    assert rig.services[HOUSES, PRODUCTION].control()["count"] == 0


def test_connections_have_a_limit_that_metrics_do_not_share(rig: Rig) -> None:
    import httpx

    held = []
    try:
        for _ in range(LIMITS.connections + 20):
            connection = socket.create_connection(("127.0.0.1", rig.port), timeout=5)
            held.append(connection)
        metrics = httpx.get(f"http://127.0.0.1:{rig.metrics_port}/stats/prometheus", timeout=5)
        assert metrics.status_code == 200
        assert rig.statistic("http.gateway.downstream_cx_active") <= LIMITS.connections
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: rig.statistic("http.gateway.downstream_cx_active") == 0, 10)


def test_a_prediction_nobody_could_answer_is_in_the_failure_log(rig: Rig) -> None:
    rig.set(comparing(0.9999, step=2))
    before = len(rig.failures())
    for variant in (PRODUCTION, CANDIDATE):
        rig.services[HOUSES, variant].control(mode="fail")
    began = time.time()
    answer = rig.ask(f"/{HOUSES}{PREDICT}?who=ann&secret=1", user="ann")
    rig.ask("/api/health", method="GET")
    wait_until(lambda: len(rig.failures()) > before, 3)
    found = rig.failures()[before:]
    at = found[0].pop("at")
    assert began - 1 < at < time.time() + 1
    assert found == [
        {
            **{"request_id": answer.headers["x-request-id"], "product": HOUSES, "assigned": CANDIDATE},
            **{"rollout": 3, "step": 2, "status": 500, "flags": found[0]["flags"], "path": PREDICT},
        }
    ]


def test_outside_a_comparison_a_failure_has_no_rollout(rig: Rig) -> None:
    before = len(rig.failures())
    for variant in (PRODUCTION, CANDIDATE):
        rig.services[HOUSES, variant].control(mode="hang")
    rig.ask()
    wait_until(lambda: len(rig.failures()) > before, 3)
    found = rig.failures()[-1]
    assert (found["assigned"], found["rollout"], found["step"], found["status"]) == (PRODUCTION, None, None, 504)


def test_what_was_answered_or_refused_is_no_failure(rig: Rig) -> None:
    before = len(rig.failures())
    rig.services[HOUSES, PRODUCTION].control(mode="fail")
    assert rig.ask().status_code == 200
    rig.services[HOUSES, CANDIDATE].control(mode="refuse")
    assert rig.ask().status_code == 422
    rig.services[HOUSES, CANDIDATE].control(mode="fail")
    failed = rig.ask()
    wait_until(lambda: len(rig.failures()) > before, 3)
    assert [line["request_id"] for line in rig.failures()[before:]] == [failed.headers["x-request-id"]]


def test_a_renamed_failure_log_is_followed_by_a_new_one(rig: Rig) -> None:
    for variant in (PRODUCTION, CANDIDATE):
        rig.services[HOUSES, variant].control(mode="fail")
    asked = [rig.ask().headers["x-request-id"]]
    wait_until(lambda: any(line["request_id"] == asked[0] for line in rig.failures()), 3)
    renamed = rig.folder / "failures.1.jsonl"
    (rig.folder / "failures.jsonl").rename(renamed)
    asked += [rig.ask().headers["x-request-id"]]
    gateway.reopen_logs(Path(rig.admin))
    asked += [rig.ask().headers["x-request-id"]]
    wait_until(lambda: any(line["request_id"] == asked[2] for line in rig.failures()), 3)
    lines = [json.loads(line) for line in renamed.read_text().splitlines()] + rig.failures()
    assert [line["request_id"] for line in lines if line["request_id"] in asked] == asked


def test_the_access_log_has_failed_requests_only_and_nothing_personal(rig: Rig) -> None:
    for variant in (PRODUCTION, CANDIDATE):
        rig.services[HOUSES, variant].control(mode="fail")
    secrets = {
        "cookie": "mlops_user=a-secret-number",
        "x-operator-token": "a-wrong-token",
        "authorization": "Bearer me",
    }
    failed = rig.ask(f"{PREDICT}?name=private", user="a-private-user", headers=secrets)

    def lines() -> list[dict[str, Any]]:
        return [line for line in rig.log() if line["request_id"] == failed.headers["x-request-id"]]

    wait_until(lambda: lines() != [], 3)
    line = lines()[0]
    assert (line["path"], line["status"], line["product"], line["method"]) == (PREDICT, 500, HOUSES, "POST")
    text = (rig.folder / "gateway.log").read_text()
    for secret in ("private", "a-secret-number", "a-wrong-token", "Bearer", "127.0.0.1"):
        assert secret not in text
    assert {entry["status"] for entry in rig.log() if entry["duration_ms"] < 500} <= {500, 503, 504}


def test_every_request_can_be_logged() -> None:
    with running_rig(1, every_request=True) as rig:
        answer = rig.ask()
        wait_until(lambda: any(line["request_id"] == answer.headers["x-request-id"] for line in rig.log()), 3)
