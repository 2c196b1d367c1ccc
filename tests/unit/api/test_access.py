"""Who gets in: token, session, failed attempts, requests of foreign pages, headers, and how errors are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mlops_assets.api.app import create_app, declared_subjects
from mlops_assets.api.auth import (
    FAILURE_SECONDS,
    FAILURES,
    MAX_ADDRESSES,
    SESSION_SECONDS,
    Authority,
    FailedAttempts,
    TokenError,
    read_token,
)
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.rollout.ledger import LedgerError, State
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.unit.inference.asgi_client import AsgiClient

TOKEN = "operators-token-of-a-test"
PAUSE = "/api/v1/rollouts/house_prices/pause"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OWN_PAGE = {"X-Requested-With": "mlops"}


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeLedger:
    """Takes a pause, or fails as it is told."""

    database = None

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.given: list[dict[str, Any]] = []

    def pause(self, product: str, **given: Any) -> State:
        if self.failure is not None:
            raise self.failure
        self.given.append(given)
        return State(product, seq=len(self.given), production=1, paused=True)


@pytest.fixture(scope="module")
def kept_ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def ledger(kept_ledger: FakeLedger) -> FakeLedger:
    """As it was at first."""
    kept_ledger.failure = None
    kept_ledger.given.clear()
    return kept_ledger


# Making one takes as long as all the questions that it is asked.
@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, kept_ledger: FakeLedger) -> ASGIApp:
    fake: Any = kept_ledger
    subjects = [Subject("house_prices", "House prices")]
    database = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    return create_app(
        Settings(home=tmp_path_factory.getbasetemp()), database, token=TOKEN, subjects=subjects, ledger=fake
    )


@pytest.fixture
def client(app: ASGIApp) -> AsgiClient:
    return AsgiClient(app)


def signed_in(client: AsgiClient) -> dict[str, str]:
    """The cookie of a new session, as a header."""
    answer = client.post("/session", json={"token": TOKEN}, headers=OWN_PAGE)
    assert answer.status_code == 204, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_the_token_opens_a_session_that_expires() -> None:
    clock = Clock()
    authority = Authority(TOKEN, clock)
    session = authority.sign_in(TOKEN, "here")
    assert TOKEN not in session
    assert authority.of_session(session) is not None
    clock.now += SESSION_SECONDS - 1
    assert authority.of_session(session) is not None
    clock.now += 1
    assert authority.of_session(session) is None


def test_a_session_can_not_be_made_up_or_prolonged() -> None:
    authority = Authority(TOKEN)
    session = authority.sign_in(TOKEN, "here")
    expires, nonce, mac = session.split(".")
    longer = f"{int(expires) + 1}.{nonce}.{mac}"
    for forged in ("", ".", "..", "x", mac, longer, f"{expires}.{nonce}.", session + "0", session[:-1], f"é{session}"):
        assert authority.of_session(forged) is None, forged
    assert Authority(TOKEN + "2").of_session(session) is None


def test_two_sessions_differ() -> None:
    authority = Authority(TOKEN)
    assert authority.sign_in(TOKEN, "here") != authority.sign_in(TOKEN, "here")


@pytest.mark.parametrize("given", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\ud800"])
def test_another_token_is_refused(given: str) -> None:
    with pytest.raises(HTTPException) as refused:
        Authority(TOKEN).sign_in(given, "here")
    assert refused.value.status_code == 401


def test_after_ten_wrong_tokens_an_address_waits_and_others_do_not() -> None:
    clock = Clock()
    authority = Authority(TOKEN, monotonic=clock)
    for _ in range(FAILURES):
        with pytest.raises(HTTPException, match="401"):
            authority.sign_in("wrong", "there")
    with pytest.raises(HTTPException) as refused:
        authority.sign_in(TOKEN, "there")
    assert refused.value.status_code == 429
    assert refused.value.headers == {"Retry-After": str(int(FAILURE_SECONDS) + 1)}
    assert authority.sign_in(TOKEN, "here")
    clock.now += FAILURE_SECONDS
    assert authority.sign_in(TOKEN, "there")


def test_the_memory_of_failures_is_bounded() -> None:
    attempts = FailedAttempts(Clock())
    for number in range(MAX_ADDRESSES + 5):
        for _ in range(FAILURES):
            attempts.add(str(number))
    assert attempts.wait_seconds("0") == 0
    assert attempts.wait_seconds(str(MAX_ADDRESSES)) > 0


def test_a_token_file_is_read_and_a_bad_one_named(tmp_path: Path) -> None:
    path = tmp_path / "operator_token"
    with pytest.raises(TokenError, match="operator_token: No such file"):
        read_token(path)
    path.write_text("short\n")
    with pytest.raises(TokenError, match="at least 16") as refused:
        read_token(path)
    assert "short" not in str(refused.value)
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(TokenError, match="UnicodeDecodeError"):
        read_token(path)
    path.write_text(f" {TOKEN}\n")
    assert read_token(path) == TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token-of-somebody"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Cookie": f"mlops_session={TOKEN}"},
        {"Cookie": "mlops_session=9999999999.00.00"},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/rollouts", "/api/v1/rollouts/house_prices", "/docs", "/openapi.json", PAUSE])
def test_without_proof_nothing_opens(client: AsgiClient, path: str, headers: dict[str, str]) -> None:
    answer = (
        client.post(path, json={"reason": "x"}, headers=headers) if path == PAUSE else client.get(path, headers=headers)
    )
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("send the operators' token")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["/rollouts", "/static/rollouts.js", "/api/v1/rollouts", "/nothing", "/static/../app.py"]
)
def test_every_answer_keeps_browsers_strict(client: AsgiClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_the_cookie_is_strict_and_holds_no_token(client: AsgiClient) -> None:
    cookie = client.post("/session", json={"token": TOKEN}, headers=OWN_PAGE).headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={SESSION_SECONDS}"):
        assert part in cookie
    assert TOKEN not in cookie
    assert "Secure" not in cookie


def test_a_session_reads_and_its_own_page_may_change(client: AsgiClient, ledger: FakeLedger) -> None:
    cookie = signed_in(client)
    assert client.get("/openapi.json", headers=cookie).status_code == 200
    answer = client.post(PAUSE, json={"reason": "x"}, headers=cookie | OWN_PAGE)
    assert answer.json()["state"]["paused"] is True
    assert ledger.given == [{"actor": "operator", "reason": "x", "key": None}]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 403),
        ({"Content-Type": "application/json", "X-Requested-With": "XMLHttpRequest"}, 403),
        ({"Content-Type": "text/plain", **OWN_PAGE}, 415),
        ({**OWN_PAGE}, 415),
    ],
)
def test_a_foreign_page_can_not_use_a_session(
    client: AsgiClient, ledger: FakeLedger, headers: dict[str, str], status: int
) -> None:
    cookie = signed_in(client)
    answer = client.post(PAUSE, content=b'{"reason": "x"}', headers=cookie | headers)
    assert answer.status_code == status
    assert client.post("/session", content=b'{"token": "x"}', headers=headers).status_code == status
    assert ledger.given == []


def test_a_script_with_the_token_needs_no_page(client: AsgiClient, ledger: FakeLedger) -> None:
    answer = client.post(PAUSE, json={"reason": "x", "actor": "ci"}, headers=BEARER | {"Idempotency-Key": "k1"})
    assert answer.status_code == 200
    assert ledger.given == [{"actor": "ci", "reason": "x", "key": "api:pause:k1"}]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "é"])
def test_a_key_that_can_not_be_kept_is_refused(client: AsgiClient, ledger: FakeLedger, key: str) -> None:
    headers = BEARER | {"Idempotency-Key": key.encode("latin-1")}
    answer = client.post(PAUSE, json={"reason": "x"}, headers=headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert ledger.given == []


def test_a_body_without_a_declared_length_is_limited_too(client: AsgiClient) -> None:
    pieces = [b" " * 20_000] * 4
    answer = client.post(PAUSE, content=pieces, headers=BEARER | {"Content-Type": "application/json"})
    assert answer.status_code == 413


def described(answer: httpx.Response) -> tuple[int, str]:
    """Status and detail of a problem."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


def test_each_failure_has_its_status_and_tells_no_secret(client: AsgiClient, ledger: FakeLedger) -> None:
    def pause() -> httpx.Response:
        return client.post(PAUSE, json={"reason": "x"}, headers=BEARER)

    ledger.failure = LedgerError("house_prices is paused already")
    assert described(pause()) == (409, "house_prices is paused already")
    ledger.failure = OperationalError("SELECT secret", {}, RuntimeError("password=hunter2"))
    down = pause()
    assert described(down) == (503, "the database doesn't answer; try again")
    assert down.headers["retry-after"] == "2"
    ledger.failure = RuntimeError("hunter2")
    status, detail = described(pause())
    assert (status, "hunter2" in detail) == (500, False)
    assert detail.startswith("internal fault ")


def test_the_declared_products_are_shown_by_their_gates() -> None:
    found = {subject.name: subject for subject in declared_subjects()}
    assert found["house_prices"].headline[:2] == ("median_ape", "mae")
    assert found["house_prices"].policy is not None
