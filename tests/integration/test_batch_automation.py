"""What asks for months to be scored: by the newest features and what is kept, on a real PostgreSQL and Dagster."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from dagster._core.test_utils import create_run_for_test

from mlops_assets.batch import store
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.scored_accidents import NAME, Accidents, accidents_in, moved, raw


@pytest.fixture
def accidents(home: Settings, database: Database, tmp_path: Path) -> Accidents:
    return accidents_in(home, database, tmp_path)


@pytest.fixture
def released(accidents: Accidents) -> Accidents:
    accidents.release(accidents.ingest(raw(400)))
    return accidents


def tick(accidents: Accidents) -> tuple[list[dg.RunRequest], str | None]:
    """What the sensor asks for, or why it doesn't."""
    definitions = accidents.definitions()
    sensor = definitions.resolve_sensor_def(f"{NAME}_score_on_new_months")
    with dg.build_sensor_context(
        instance=accidents.instance, definitions=definitions, resources=accidents.resources
    ) as context:
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or ()), data.skip_message


def stretches(accidents: Accidents) -> list[tuple[str, str]]:
    return [
        (request.tags[ASSET_PARTITION_RANGE_START_TAG], request.tags[ASSET_PARTITION_RANGE_END_TAG])
        for request in tick(accidents)[0]
    ]


def follow(accidents: Accidents) -> None:
    """Run what the sensor asks for."""
    for first, last in stretches(accidents):
        assert accidents.score(first, last).success


def test_it_waits_for_features_and_a_release(accidents: Accidents) -> None:
    assert "no production release yet" in (tick(accidents)[1] or "")
    accidents.release(accidents.ingest(raw(400)))
    assert stretches(accidents) == [("2023-01", "2024-12")]
    accidents.instance.wipe_assets([dg.AssetKey([NAME, "features"])])
    assert "no features yet" in (tick(accidents)[1] or "")


def test_what_is_scored_is_not_asked_for_again(released: Accidents) -> None:
    follow(released)
    requests, said = tick(released)
    assert requests == []
    assert said == "all 24 months are scored as they are"


def test_the_same_file_twice_asks_for_nothing(released: Accidents) -> None:
    follow(released)
    rows = raw(400)
    released.ingest(rows.sample(frac=1, random_state=1)[rows.columns[::-1]])
    assert stretches(released) == [], "rows and columns in another order are the same months"


def test_only_new_and_changed_months_are_asked_for(released: Accidents) -> None:
    follow(released)
    rows = raw(400)
    more = [
        moved(rows.head(2), "03/02/2023 01:00:00 PM"),
        moved(rows.head(3), "01/10/2025 01:00:00 PM"),
        moved(rows.head(1), "02/10/2025 01:00:00 PM"),
    ]
    released.ingest(pd.concat([rows, *more]))
    assert stretches(released) == [("2023-03", "2023-03"), ("2025-01", "2025-02")]
    follow(released)
    assert stretches(released) == []
    released.ingest(pd.concat([rows, *more[:2]]))
    assert stretches(released) == [("2025-02", "2025-02")], "its records were taken back"
    follow(released)
    gone = store.overview(released.database, NAME)[-1]
    assert (gone.month.isoformat(), gone.records, gone.mean_score) == ("2025-02-01", 0, None)
    assert stretches(released) == []


def test_a_newer_release_alone_asks_for_nothing(released: Accidents) -> None:
    follow(released)
    released.release(released.ingest(raw(400)), until="2024-08", trees=30)
    assert stretches(released) == []


def test_a_key_is_of_the_content_the_release_and_what_is_replaced(released: Accidents) -> None:
    def key() -> str:
        (request,) = tick(released)[0]
        return str(request.run_key)

    first = key()
    assert key() == first, "asked for once"
    features = released.ingest(raw(400))
    assert key() == first, "the same records"
    released.release(features, until="2024-08", trees=30)
    assert key() != first, "a failure of the old release isn't the new one's"
    follow(released)
    rows = raw(400)
    keys = set()
    for months in ([moved(rows.head(1), "12/24/2024 01:00:00 PM")], []) * 2:
        released.ingest(pd.concat([rows, *months]))
        keys.add(key())
        follow(released)
    assert len(keys) == 4, "there and back and there again: each is scored"


def test_never_two_at_once(released: Accidents) -> None:
    create_run_for_test(released.instance, job_name=f"{NAME}_score", status=dg.DagsterRunStatus.STARTED)
    assert "being scored" in (tick(released)[1] or "")


def test_a_backfill_by_hand_counts_as_well(released: Accidents) -> None:
    create_run_for_test(
        released.instance,
        job_name="__ASSET_JOB",
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({dg.AssetKey([NAME, "scores"])}),
    )
    assert "being scored" in (tick(released)[1] or "")


def test_records_that_cannot_be_scored_are_told(released: Accidents) -> None:
    rows = raw(400)
    released.ingest(
        pd.concat([rows, moved(rows.head(1), "01/01/1999 01:00:00 PM"), moved(rows.head(1), "01/01/2099 01:00:00 PM")])
    )
    assert stretches(released) == [("2023-01", "2024-12")]
    follow(released)
    said = tick(released)[1] or ""
    assert said.endswith("months with records that aren't: 1 before the first month, 1 in future")
