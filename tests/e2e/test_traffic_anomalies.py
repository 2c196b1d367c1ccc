"""Accidents from a file to scored months and answers over HTTP, untouched by hand; then a new month arrives.

One installation for all of them, in this order: each test starts from what the one before it left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from sqlalchemy import select, text

from mlops_assets.products.samples.traffic_anomalies import generate
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database, ScoredMonth
from tests.e2e.installation import Installation, installation
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(900)
PRODUCT = "traffic_anomalies"
ROUTE = f"/{PRODUCT}/api/score_accident"
ACCIDENT = {
    "crash_date": "07/29/2023 01:00:00 PM",
    "first_crash_type": "REAR END",
    "weather_condition": "CLEAR",
    "num_units": 2,
    "injuries_fatal": 0,
}
ODD = {
    "crash_date": "01/01/2024 03:30:00 AM",
    "first_crash_type": "TRAIN",
    "weather_condition": "BLOWING SNOW",
    "num_units": 9,
    "injuries_fatal": 3,
    "most_severe_injury": "FATAL",
    "crash_type": "INJURY AND / OR TOW DUE TO CRASH",
}
NEWEST = "2025-10"


def accidents() -> pd.DataFrame:
    return generate(42_000, 3)


def put(path: Path, rows: pd.DataFrame) -> None:
    """As a careful sender does: beside it first, then renamed."""
    fresh = path.with_suffix(".part")
    rows.to_csv(fresh, index=False)
    os.replace(fresh, path)


def until(rows: pd.DataFrame, month: str) -> pd.DataFrame:
    at = pd.to_datetime(rows["crash_date"], format="%m/%d/%Y %I:%M:%S %p", errors="coerce")
    return rows[~(at.dt.strftime("%Y-%m") > month)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accidents") / "accidents.csv"


@pytest.fixture(scope="module")
def made(file: Path) -> Iterator[Installation]:
    put(file, until(accidents(), NEWEST))
    with installation(MLOPS_TRAFFIC_ANOMALIES_SOURCE=str(file)) as started:
        started.ok("up")
        yield started


@pytest.fixture(scope="module")
def database(made: Installation) -> Iterator[Database]:
    opened = Database.connect(made.settings.database)
    yield opened
    opened.dispose()


def months(database: Database) -> dict[str, ScoredMonth]:
    """The scored months of production by their name."""
    with database.session() as session:
        found = session.scalars(select(ScoredMonth).where(ScoredMonth.mode == "production"))
        return {f"{row.month:%Y-%m}": row for row in found}


def gateway(made: Installation) -> httpx.Client:
    return httpx.Client(base_url=made.settings.gateway_url, timeout=10)


def test_a_record_is_scored_and_explained_through_the_gateway(made: Installation) -> None:
    with gateway(made) as client:
        usual, odd = (client.post(ROUTE, json=body) for body in (ACCIDENT, ODD))
        assert (usual.status_code, odd.status_code) == (200, 200), (usual.text, odd.text)
        assert odd.json()["anomaly_score"] < usual.json()["anomaly_score"]
        assert odd.json()["anomaly_pred"] == -1
        assert any("FATAL" in reason for reason in odd.json()["reasons"]), odd.text
        assert odd.json()["model_version"] == 1
        batch = client.post(f"{ROUTE}/batch", json={"accidents": [ACCIDENT, ODD, {"crash_date": "13/45/2024"}]})
        answers = batch.json()["predictions"]
        assert [a.get("anomaly_score") for a in answers[:2]] == [
            usual.json()["anomaly_score"],
            odd.json()["anomaly_score"],
        ]
        assert answers[2]["error"]["field"] == "crash_date"
        # Its own path needs no prefix, and the first product keeps its own.
        assert client.post("/api/score_accident", json=ACCIDENT).json()["anomaly_pred"] == usual.json()["anomaly_pred"]
        assert client.get("/api/get_location_names").status_code == 200


def test_the_months_are_scored_by_themselves(made: Installation, database: Database) -> None:
    wait_until(lambda: NEWEST in months(database), 240, made.logs)
    found = months(database)
    assert {row.release for row in found.values()} == {1}
    trained = sorted(month for month, row in found.items() if row.in_training)
    later = sorted(month for month, row in found.items() if not row.in_training)
    manifest = Ledger(database).release(PRODUCT, 1).manifest or {}
    assert trained[-1] == manifest["trained_until"] < later[0]
    assert sum(row.records for row in found.values()) == manifest["dataset"]["rows"]
    assert "2025-10" in made.ok("scores", "status", PRODUCT)
    assert made.ok("scores", "show", PRODUCT, NEWEST)


def test_the_report_is_drawn_by_itself_and_shown_to_operators(made: Installation) -> None:
    token = (made.settings.secrets / "operator_token").read_text().strip()
    with httpx.Client(base_url=made.settings.api_url, timeout=10) as client:
        page = f"/scores/{PRODUCT}/report"
        assert client.get(page).status_code == 401
        client.headers["authorization"] = f"Bearer {token}"
        wait_until(lambda: client.get(page).status_code == 200, 180, made.logs)
        assert "Traffic anomalies" in client.get(page).text[:20_000]


def test_a_new_month_is_scored_and_the_others_are_left_alone(
    made: Installation, database: Database, file: Path
) -> None:
    before: dict[str, Any] = {month: row.scored_at for month, row in months(database).items()}
    newer = until(accidents(), "2025-11")
    began = time.monotonic()
    put(file, newer)
    wait_until(lambda: "2025-11" in months(database), 400, made.logs)
    print(f"a month that arrived is scored after {time.monotonic() - began:.0f} s")
    after = months(database)
    assert after["2025-11"].data_version == 2
    assert {month: row.scored_at for month, row in after.items() if month != "2025-11"} == before


def test_its_answers_are_logged_and_compared_with_training(made: Installation, database: Database) -> None:
    query = text("SELECT count(*), min(mlops.numeric_answer(output)) FROM mlops.prediction WHERE product = :product")

    def logged() -> tuple[int, float]:
        with database.session() as session:
            count, lowest = session.execute(query, {"product": PRODUCT}).one()
            return count, lowest

    wait_until(lambda: logged()[0] >= 5, 60, made.logs)
    assert logged()[1] < 0
    told = made.run("drift", "check", "--product", PRODUCT, "--hours", "1").stdout
    assert "weather_condition" in told
    assert "estimate" in told
    assert "crash_month" not in told


def test_the_reference_way_of_scoring_is_there_for_who_asks(made: Installation) -> None:
    made.ok("dagster", "asset", "materialize", "--select", f'key:"{PRODUCT}/compatibility_scores"')
    told = made.ok("scores", "status", PRODUCT, "--mode", "compatibility")
    assert NEWEST in told
