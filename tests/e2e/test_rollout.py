"""Rollouts on the whole platform: a promotion, a rollback, moves and kills under load, a database outage.

One installation for all of them, in this order: each test starts from what the one before it left.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlops_assets.rollout.phases import Phase
from tests.e2e.installation import Installation, installation
from tests.e2e.load import BODY, PRODUCT, ROUTE, Client, Stage, Wrk, doubled, kills_under_load, lost, moves_under_load

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    with installation() as started:
        started.ok("up")
        yield started


@pytest.fixture(scope="module")
def stage(made: Installation) -> Iterator[Stage]:
    found = Stage.of(made)
    yield found
    found.database.dispose()


def test_the_gateway_shows_the_product_and_nothing_of_the_platform(stage: Stage) -> None:
    with httpx.Client(base_url=stage.gateway, timeout=10) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        assert client.get(f"/{PRODUCT}/").status_code == 200
        answer = client.post(ROUTE, json=BODY, headers={"x-user-id": "kim"})
        assert (answer.status_code, answer.headers["x-served-by"]) == (200, "production")
        assert answer.headers["x-model-version"] == str(answer.json()["model_version"])
        rated = client.post(
            "/api/feedback",
            json={"prediction_id": answer.json()["prediction_id"], "feedback_type": "rating", "feedback_value": 4},
        )
        assert rated.json()["status"] == "success"
        for hidden in ("/metrics", "/graphql", "/runs", "/rollouts", "/api/v1/rollouts", "/server_info", "/livez"):
            assert client.get(hidden).status_code in (404, 405), hidden


def test_users_who_like_the_candidate_better_get_it_promoted(made: Installation, stage: Stage) -> None:
    told = made.ok("traffic", "--candidate", "better", "--effect", "1.2", "--seconds", "240", "--rate", "50")
    assert "promoted: The candidate is better" in told.replace("\n", " "), told
    assert re.search(r"users saw 0\s+failures", told), told
    state = stage.wait_state(lambda s: s.phase is Phase.WATCH)
    assert (state.production, state.previous) == (2, 1)
    stage.wait_version(2)
    stage.wait_version(1, "candidate")
    assert "same" in made.ok("rollout", "replay")
    assert "differs" not in made.ok("rollout", "replay")


def test_a_candidate_that_fails_is_withdrawn_and_no_user_sees_it(made: Installation, stage: Stage) -> None:
    told = made.ok("traffic", "--candidate", "failing", "--seconds", "120", "--rate", "20")
    assert "rolled_back: The guardrail on failed requests tripped" in told.replace("\n", " "), told
    assert re.search(r"users saw 0\s+failures", told), told
    state = stage.state()
    assert (state.production, state.candidate) == (2, None)
    assert not (made.settings.run_dir / "drill.json").exists()


def test_going_back_by_hand_reaches_the_users_and_says_who_and_why(made: Installation, stage: Stage) -> None:
    told = made.ok(
        *("rollout", "rollback", "--product", "house_prices"),
        *("--reason", "complaints from the north", "--actor", "kim", "--no-retrain"),
    )
    assert "release 1 is production again" in told
    stage.wait_version(1)
    answer = httpx.post(stage.gateway + ROUTE, json=BODY, timeout=10)
    assert answer.json()["model_version"] == 1
    assert "complaints from the north" in made.ok("rollout", "status")


def test_moves_and_restarts_under_load_fail_no_request(stage: Stage, tmp_path: Path) -> None:
    stage.ledger.promote(PRODUCT, "test", "two releases to move between", version=2)
    stage.wait_version(2)
    with Wrk(tmp_path, stage.gateway + ROUTE, 75) as load:
        done = moves_under_load(stage, 6, load)
        result = load.result()
    assert result["failed"] == 0, (result, done)
    assert result["requests"] > 5000
    assert done["promotion"] >= 2
    assert done["rollback"] >= 2


def test_nothing_acknowledged_is_lost_when_anything_is_killed_under_load(stage: Stage) -> None:
    with Client(stage.gateway) as client:
        hit = kills_under_load(stage, 8, 3.0, seed=3)
        time.sleep(5)
    missing, unrated = lost(stage.database, client.account)
    assert len(client.account.predictions) > 500
    assert client.account.feedback
    assert (missing, unrated) == ([], []), (hit, client.account.failed)
    assert doubled(stage.database) == {"counts": 0, "ledger": 0}


def test_a_database_outage_fails_no_prediction_and_loses_none(stage: Stage) -> None:
    with Client(stage.gateway) as client:
        time.sleep(2)
        stage.supervisor.stop_program("postgres")
        time.sleep(20)
        during = len(client.account.predictions)
        stage.supervisor.start_program("postgres")
        time.sleep(5)
    assert not {k: v for k, v in client.account.failed.items() if "predict" in k or "HTTP" not in k}
    assert during > 200
    assert lost(stage.database, client.account) == ([], [])
