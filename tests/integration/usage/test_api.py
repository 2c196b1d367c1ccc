"""Usage over HTTP and on the command line, on a real database: who may ask, what is refused, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from mlops_assets.api.app import create_app
from mlops_assets.cli import app as command_line
from mlops_assets.runs.usage import Used
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.serving_thread import served
from tests.integration.usage.made_attempts import NOW, TOKEN, Attempts, set_status

# Fixed: workers of the tests compare the names of what they collected.
UNKNOWN = "7d4a9c52-6a0e-4f6b-9d59-1f0c0d5b8e11"


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str) -> Settings:
    return Settings(home=tmp_path, database_url=postgres_url, cpu_hour_price=1.0, gb_hour_price=2.0)  # type: ignore[arg-type]


@pytest.fixture
def client(with_dagster: Database, settings: Settings) -> Iterator[httpx.Client]:
    """A client with the operators' token."""
    app = create_app(settings, with_dagster, token=TOKEN, subjects=[])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with served(app) as url, httpx.Client(base_url=url, headers=headers, timeout=20) as found:
        yield found


@pytest.fixture
def command(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """The command line of an installation with this database."""
    monkeypatch.setenv("MLOPS_DATABASE_URL", postgres_url)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    return CliRunner()


@pytest.mark.parametrize("path", ["usage", "usage/changes", f"runs/{UNKNOWN}/usage"])
def test_nobody_reads_without_a_token(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/api/v1/{path}", headers={"Authorization": "Bearer wrong-token-of-a-test"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_sums_have_their_costs_and_pages_meet(client: httpx.Client, put: Attempts) -> None:
    put("homes")
    put("crashes", used=Used(100.0, 500.0, 2_000_000_000, 7, 8))
    first = client.get("/api/v1/usage", params={"limit": 1}).json()
    assert [item["product"] for item in first["items"]] == ["crashes"]
    assert first["items"][0]["cost"] == pytest.approx((500 + 2 * 200) / 3600)
    assert (first["total"], first["next_offset"], first["prices"]["currency"]) == (2, 1, "USD")
    assert first["all"]["cost"] == pytest.approx((505 + 2 * 210) / 3600)
    second = client.get("/api/v1/usage", params={"limit": 1, "offset": first["next_offset"]}).json()
    assert [item["product"] for item in second["items"]] == ["homes"]
    assert second["next_offset"] is None


def test_an_empty_table_is_answered_with_zeros(client: httpx.Client) -> None:
    found = client.get("/api/v1/usage").json()
    assert (found["items"], found["total"], found["all"]["cost"]) == ([], 0, 0)
    assert client.get("/api/v1/usage/changes").json()["changes"] == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"by": "user"}, "by"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-03-01T00:00:00"}, "since"),
        ({"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}, "since"),
        ({"since": "2020-03-02T00:00:00Z"}, "since"),
        ({"until": "9999-12-31T00:00:00Z"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "99999999999999999999"}, "offset"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_the_fields_name(
    client: httpx.Client, asked: dict[str, str], field: str
) -> None:
    answer = client.get("/api/v1/usage", params=asked)
    assert answer.status_code == 422
    assert field in answer.json()["detail"]


def test_a_runs_attempts_have_costs_as_far_as_they_are_known(client: httpx.Client, put: Attempts) -> None:
    run = put(stage="data", back=timedelta(minutes=5))
    put(stage="model", run_id=run, outcome=None, status="STARTED")
    found = client.get(f"/api/v1/runs/{run}/usage").json()
    assert [(one["stage"], one["outcome"]) for one in found["attempts"]] == [("model", "RUNNING"), ("data", "SUCCESS")]
    known, unknown = found["attempts"][1], found["attempts"][0]
    assert unknown["cost"] is unknown["cpu_seconds"] is None
    assert found["cost"] == known["cost"] == pytest.approx((5 + 2 * 10) / 3600)
    assert found["run_url"].endswith(f"/runs/{run}")


@pytest.mark.parametrize("run", ["x", "../../etc", UNKNOWN, f"{UNKNOWN}'--", "%00", "a" * 200])
def test_what_is_no_run_is_not_found(client: httpx.Client, run: str) -> None:
    answer = client.get(f"/api/v1/runs/{run}/usage")
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_run_without_figures_is_there(client: httpx.Client, with_dagster: Database) -> None:
    run = str(uuid4())
    set_status(with_dagster, run, "SUCCESS")
    found = client.get(f"/api/v1/runs/{run}/usage").json()
    assert (found["attempts"], found["cost"], found["job"]) == ([], 0, None)


def slower(put: Attempts) -> None:
    """Two weeks of a stage that is twice as slow in the second."""
    for day in range(14):
        put(back=timedelta(days=day, hours=1), used=Used(6.0 if day < 7 else 3.0, 1.0, 10, 0, 0))


def test_changes_are_told_in_words_and_the_newest_answer_is_kept(client: httpx.Client, put: Attempts) -> None:
    slower(put)
    (change,) = client.get("/api/v1/usage/changes").json()["changes"]
    assert change["said"] == "model of homes: 2 × slower (3 s → 6 s, 7 and 7 attempts)"
    assert (change["ratio"], change["worse"], change["measure"]) == (2.0, True, "wall_seconds")
    put("other")
    assert client.get("/api/v1/usage/changes").json()["stages"] == 1
    asked = client.get("/api/v1/usage/changes", params={"until": NOW.isoformat()}).json()
    assert asked["stages"] == 2


def test_the_command_line_answers_the_same(command: CliRunner, put: Attempts, client: httpx.Client) -> None:
    slower(put)
    run = put("crashes")
    text = command.invoke(command_line, ["usage", "--since", "24h", "--by", "stage"])
    assert text.exit_code == 0
    assert "crashes" in text.output
    assert "model" in text.output
    changes = command.invoke(command_line, ["usage", "--changes"])
    assert "↑ model of homes: 2 × slower (3 s → 6 s, 7 and 7 attempts)" in changes.output
    assert "2 stages compared; 1 have too few" in changes.output
    one = command.invoke(command_line, ["usage", "--run", run, "--json"])
    answered = client.get(f"/api/v1/runs/{run}/usage").json()
    assert json.loads(one.output)["attempts"][0]["cpu_seconds"] == answered["attempts"][0]["cpu_seconds"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--since", "soon"], "neither such as 24h or 7d nor a day"),
        (["--since", "500d"], "at most 400 days"),
        (["--run", "x"], "there is no run 'x'"),
        (["--run", UNKNOWN, "--changes"], "give either"),
    ],
)
def test_what_the_command_line_cannot_do_it_says(
    command: CliRunner, with_dagster: Database, asked: list[str], words: str
) -> None:
    result = command.invoke(command_line, ["usage", *asked])
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())
