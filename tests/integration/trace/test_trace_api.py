"""A trace over HTTP and at a terminal: who sees what, what the audit notes, and ids that lead nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from inference.prediction_id import uuid7
from mlops_assets.access import audit, tokens
from mlops_assets.access.audit import Filters
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.cli import app
from mlops_assets.observability.trace.tracer import BadIdError, TraceError
from mlops_assets.settings import Settings
from tests.integration.serving_thread import served
from tests.integration.trace.desk import TRACE, Desk
from tests.journal_lines import feedback
from tests.unit.inference.tiny_release import PRODUCT

TOKEN = "operators-token-of-a-test"
Run = Callable[..., Result]
BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)


@pytest.fixture
def url(desk: Desk, tmp_path: Path) -> Iterator[str]:
    found = create_app(Settings(home=tmp_path), desk.database, token=TOKEN, subjects=[Subject(PRODUCT, "Tiny homes")])
    with served(found) as at:
        yield at


def ask(url: str, identifier: str, token: str | None = TOKEN, **query: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    path = f"{url}/api/v1/predictions/{identifier}/trace"
    return httpx.get(path, headers=headers, params=query, timeout=10, trust_env=False)


def noted(desk: Desk) -> list[tuple[str, str, str, str]]:
    entries = audit.page(desk.database, Filters(action="prediction.read_values"), 20)
    return [(one.who, one.object, one.outcome, one.kind) for one in entries]


def test_lineage_is_for_viewers_and_the_requests_values_are_not(url: str, desk: Desk) -> None:
    identifier = desk.answer(user="ab" * 16)
    desk.ship(feedback(identifier, product=PRODUCT, type="comment", value=None, text="mine"))
    viewer = tokens.create(desk.database, BY, "dashboards", Role.VIEWER, None)
    response = ask(url, identifier, viewer)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    found = response.json()
    assert (found["answer"]["trace_id"], found["release"]["version"], found["data"]["version"]) == (TRACE, 1, 4)
    assert found["release"]["labels"] == ["BO1"]
    assert found["standing"]["role"] == "production"
    assert found["links"]["mlflow_run"].endswith("/#/runs/mlflow-1")
    assert found["links"]["dagster_run"].endswith("/runs/dagster-1")
    assert (found["answer"]["features"], found["answer"]["user_hash"], found["values"]) == (None, None, False)
    assert found["feedback"][0]["text"] is None
    assert noted(desk) == []
    refused = ask(url, identifier, viewer, values="true")
    assert refused.status_code == 403
    assert "for operators" in refused.json()["detail"]
    assert "Pune" not in refused.text
    assert noted(desk) == [("dashboards", identifier, "refused", "token")]


def test_an_operator_who_looks_at_values_is_in_the_audit_and_one_who_does_not_is_not(url: str, desk: Desk) -> None:
    identifier = desk.answer(user="ab" * 16)
    assert ask(url, identifier).json()["values"] is False
    assert noted(desk) == []
    found = ask(url, identifier.upper(), values="true").json()
    assert found["answer"]["features"]["town"] == "Pune"
    assert found["answer"]["user_hash"] == "ab" * 16
    assert noted(desk) == [("operator", identifier, "done", "file")]


def test_an_id_that_leads_nowhere_is_a_clear_refusal(url: str) -> None:
    for identifier in ("nonsense", "x" * 101, "0" * 36, "%00"):
        response = ask(url, identifier)
        assert (identifier, response.status_code) == (identifier, 422)
        assert response.headers["content-type"] == "application/problem+json"
        assert "prediction_id" in response.json()["detail"]
    for identifier in ("..%2f..%2fetc", uuid7()):
        response = ask(url, identifier)
        assert (identifier, response.status_code) == (identifier, 404)
        assert response.headers["content-type"] == "application/problem+json"


def test_nobody_sees_a_trace_without_a_sign_in(url: str, desk: Desk) -> None:
    identifier = desk.answer()
    for token in (None, "wrong", TOKEN + "x"):
        assert ask(url, identifier, token).status_code == 401


@pytest.fixture
def run(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_DATABASE_URL", desk.database.engine.url.render_as_string(hide_password=False))
    return lambda *words: CliRunner().invoke(app, ["trace", *words])


def test_at_a_terminal_it_is_a_tree_and_for_scripts_the_apis_json(run: Run, url: str, desk: Desk) -> None:
    identifier = desk.answer(user="ab" * 16)
    shown = run(identifier)
    assert shown.exit_code == 0, shown.output
    for part in (identifier, TRACE, "BO1", "mlflow-1", "dagster-1", "V4, 1,234 rows", "c0de", "first_release"):
        assert part in shown.output, part
    assert "Pune" not in shown.output
    as_json = run(identifier, "--json")
    assert json.loads(as_json.stdout)["answer"] == ask(url, identifier).json()["answer"]
    assert noted(desk) == []
    with_values = run(identifier, "--values")
    assert "Pune" in with_values.output
    ((_, what, outcome, kind),) = noted(desk)
    assert (what, outcome, kind) == (identifier, "done", "cli")


def test_a_terminal_says_why_there_is_no_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = run(uuid7())
    assert isinstance(unknown.exception, TraceError)
    assert "no prediction of this installation" in str(unknown.exception)
    assert isinstance(run("nonsense").exception, BadIdError)
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql+psycopg2://me:secret@127.0.0.1:9/none")
    down = run(uuid7())
    assert isinstance(down.exception, TraceError)
    assert "mlops up" in str(down.exception)
    assert "secret" not in str(down.exception)
