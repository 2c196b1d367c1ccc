"""From a dropped file to a candidate with users, and from drifted days to a block, told to people: untouched by hand.

One installation for all of them, in this order: each test starts from what the one before it left.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from mlops_assets.products.samples.house_prices import generate
from mlops_assets.rehearsal.listings import listings
from mlops_assets.storage.files import Storage
from mlops_assets.training.catalogue import declared_products
from tests.e2e.installation import Installation, installation
from tests.e2e.load import PRODUCT, Stage
from tests.integration.notifications.notified import Webhook, webhook
from tests.made_log import count_batch
from tests.servers import wait_until

pytestmark = pytest.mark.timeout(900)
ROWS = 4000


def texts(told: Webhook) -> str:
    """All that people were told."""
    return "\n".join(f"{one.get('title')} {one.get('message')}" for one in told.posted)


def drop(path: Path, seed: int) -> None:
    """Put a listings file in place as a careful sender does: beside it first, then renamed."""
    fresh = path.with_suffix(".part")
    generate(ROWS, seed).to_csv(fresh, index=False)
    os.replace(fresh, path)


@pytest.fixture(scope="module")
def told() -> Iterator[Webhook]:
    with webhook() as made:
        yield made


@pytest.fixture(scope="module")
def listings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("listings") / "listings.csv"


@pytest.fixture(scope="module")
def made(listings_file: Path, told: Webhook) -> Iterator[Installation]:
    drop(listings_file, 1)
    with installation(
        MLOPS_HOUSE_PRICES_SOURCE=str(listings_file), MLOPS_NOTIFY_URLS=f"json://{told.place}/hook"
    ) as started:
        started.ok("up")
        yield started


@pytest.fixture(scope="module")
def stage(made: Installation) -> Iterator[Stage]:
    found = Stage.of(made)
    yield found
    found.database.dispose()


def test_a_new_file_becomes_a_candidate_with_users(
    made: Installation, stage: Stage, listings_file: Path, told: Webhook
) -> None:
    assert stage.state().production == 1
    began = time.monotonic()
    drop(listings_file, 2)
    wait_until(lambda: stage.state().comparing, 400, made.logs)
    state = stage.state()
    print(
        f"a dropped file of {ROWS} listings serves {state.candidate_share:.0%} after {time.monotonic() - began:.0f} s"
    )
    assert (state.production, state.candidate) == (1, 2)
    assert stage.ledger.release(PRODUCT, 2).dataset_version == 2
    wait_until(lambda: "release 2" in texts(told), 60, lambda: texts(told))


DRIFTED, LIKE_TRAINING = 1.6, 1.0
ROWS_A_DAY = 500
_PREDICTION = """
INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, user_hash, features, output, latency_ms,
  sample, batch)
VALUES (:id, :product, :at, 'production', 1, 'production', :user, cast(:features AS jsonb), cast(:output AS jsonb), 5,
  false, :batch)
"""


def days_ago(count: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=count)


def log_day(made: Installation, stage: Stage, day: date, larger: float) -> None:
    """A past day of the log: listings of the training data, asked about with a larger area, really estimated."""
    product = next(p for p in declared_products() if p.name == PRODUCT)
    known = listings(product, 1, stage.database, Storage(made.settings.storage))
    bodies = [dict(body) for body, _ in known[day.day * 20 :][:ROWS_A_DAY]]
    for body in bodies:
        body["total_sqft"] = min(9999.0, body["total_sqft"] * larger)
    answers = httpx.post(f"{made.service}/api/predict_home_price/batch", json={"listings": bodies}, timeout=30).json()
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    rows = []
    for place, (body, answer) in enumerate(zip(bodies, answers["predictions"], strict=True)):
        at = noon + timedelta(seconds=place)
        identifier = UUID(int=int(at.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62 | place)
        output = {"estimated_price": answer["estimated_price"]}
        rows.append({"id": identifier, "product": PRODUCT, "at": at, "user": f"user {place}",
                     "features": json.dumps(body), "output": json.dumps(output)})  # fmt: skip
    with stage.database.engine.begin() as connection:
        batch = int(connection.execute(text("SELECT nextval('mlops.batch')")).scalar_one())
        connection.execute(text(_PREDICTION), [row | {"batch": batch} for row in rows])
        count_batch(connection, batch)


def compare(made: Installation, day: date) -> None:
    """Export the one hour of a made day and compare the day."""
    hour = f"{day.isoformat()}-12:00"
    made.ok("dagster", "asset", "materialize", "--select", f"{PRODUCT}/prediction_log", "--partition", hour)
    made.ok("dagster", "asset", "materialize", "--select", f"{PRODUCT}/drift_report", "--partition", day.isoformat())


def test_drifted_days_block_promotions_and_people_hear_of_it(made: Installation, stage: Stage, told: Webhook) -> None:
    for count in (4, 3):
        log_day(made, stage, days_ago(count), DRIFTED)
        compare(made, days_ago(count))
    state = stage.state()
    assert state.drift_block is not None
    assert "total_sqft" in state.drift_block
    answer = httpx.get(f"{stage.gateway}/api/drift_report", timeout=10).json()
    assert (answer["status"], answer["overall_drift_detected"], answer["release"]) == ("drifted", True, 1)
    area = answer["drift_indicators"]["total_sqft"]
    assert area["significant_drift"]
    assert 50 < area["drift_percentage"] < 70
    assert not answer["drift_indicators"]["location"]["significant_drift"]
    page = httpx.get(answer["report_url"], timeout=10, follow_redirects=True)
    assert page.status_code == 200
    assert "blocked" in made.ok("drift", "status")
    # Drawn by itself, by the condition of the asset.
    chart = Path(made.settings.storage) / PRODUCT / "charts" / "drift.png"
    wait_until(chart.exists, 180, made.logs)
    wait_until(lambda: "total_sqft" in texts(told), 60, lambda: texts(told))


def test_days_like_training_lift_the_block(made: Installation, stage: Stage) -> None:
    for count in (2, 1):
        log_day(made, stage, days_ago(count), LIKE_TRAINING)
        compare(made, days_ago(count))
    assert stage.state().drift_block is None
    events = [entry.event for entry in stage.ledger.history(PRODUCT)]
    assert events[:2] == ["unblocked", "blocked"]


def test_drift_of_live_traffic_is_seen_at_once(made: Installation) -> None:
    made.ok("traffic", "--candidate", "equal", "--drift", "0.6", "--seconds", "15", "--rate", "40", "--speed", "100")
    done = made.run("drift", "check", "--hours", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("total_sqft"))
    assert "drifted" in row
