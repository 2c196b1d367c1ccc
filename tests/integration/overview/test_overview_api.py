"""What the overview says of products and the platform, on real tables of Dagster and our own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from dagster import AssetKey
from dagster._core.definitions.freshness import FreshnessState

from tests.integration.answers import answered, problem
from tests.integration.exporter.made_rows import judge_freshness
from tests.integration.overview.seen_platform import ACCIDENTS, HOUSES, Seen, fill


def parts(client: httpx.Client, product: str = HOUSES) -> dict[str, tuple[str, str]]:
    """The product's parts by name: state and words."""
    found = {view["product"]: view for view in answered(client.get("/products"))["products"]}
    return {part["name"]: (part["state"], part["said"]) for part in found[product]["parts"]}


def test_a_platform_on_which_nothing_happened_warns_of_nothing(seen: Seen) -> None:
    with seen.client() as client:
        told = answered(client.get("/overview"))
    assert {view["product"]: view["state"] for view in told["products"]} == {HOUSES: "none", ACCIDENTS: "none"}
    assert {part["state"] for view in told["products"] for part in view["parts"]} == {"none"}
    assert told["state"] == "good"


def test_each_part_says_what_is_there(seen: Seen) -> None:
    fill(seen)
    with seen.client() as client:
        told = answered(client.get("/overview"))
        found = parts(client)
        accidents = parts(client, ACCIDENTS)
    assert found["data"] == ("good", "V1, 13,320 rows of sample data")
    assert found["training"][0] == "warn"
    assert "its model didn't pass median_ape_gate" in found["training"][1]
    assert found["serving"] == ("good", "1,200 answers in the last hour, 1 failed, 100 % within 100 ms")
    assert found["rollout"] == ("busy", "release 2 beside 1, 0% of the users")
    assert found["drift"] == ("warn", "2026-03-30: total_sqft drifted")
    assert accidents["training"][0] == "good"
    assert accidents["serving"] == ("none", "no requests in the last hour")
    assert accidents["scores"] == ("good", "2026-10: 21 of 1,423 records are anomalies (1.476 %)")
    assert told["state"] == "warn"
    assert told["runs"] == {"hours": 24, "succeeded": 2, "failed": 0, "canceled": 0, "running": 0, "queued": 0}


@pytest.mark.parametrize(
    ("traffic", "state", "words"),
    [
        ({"count": 100, "failed": 1}, "bad", "99.5 % are promised to succeed"),
        ({"count": 100, "failed": 5, "status": 422}, "good", "100 answers"),
        ({"count": 100, "ms": 400}, "warn", "0 % within 100 ms; 99 % are promised"),
        # Too few to say anything of a share.
        ({"count": 5, "failed": 2}, "good", "5 answers in the last hour, 2 failed"),
        ({"count": 0, "failed": 30}, "bad", "0 answers in the last hour, 30 failed"),
    ],
)
def test_answers_are_judged_by_what_the_product_promises(
    seen: Seen, traffic: dict[str, Any], state: str, words: str
) -> None:
    seen.data(HOUSES)
    seen.release(HOUSES)
    seen.answers(HOUSES, **traffic)
    with seen.client() as client:
        found = parts(client)["serving"]
    assert found[0] == state, found
    assert words in found[1]


def test_an_answer_of_an_hour_ago_counts_no_more(seen: Seen) -> None:
    seen.data(HOUSES)
    seen.release(HOUSES)
    seen.answers(HOUSES, 30, failed=30)
    for table in ("prediction", "request_failure"):
        seen.execute(f"UPDATE mlops.{table} SET at = at - interval '61 minutes'")
    with seen.client() as client:
        assert parts(client)["serving"] == ("none", "no requests in the last hour")


def test_a_service_that_is_down_is_told_before_its_answers(seen: Seen) -> None:
    seen.data(HOUSES)
    seen.release(HOUSES)
    seen.answers(HOUSES, 100)
    seen.down(f"{HOUSES}_candidate")
    with seen.client() as client:
        assert parts(client)["serving"][0] == "warn"
        seen.down(f"{HOUSES}_production")
        assert parts(client)["serving"] == ("bad", "the production service hasn't answered for 90 s")


def test_a_failed_training_and_broken_data_are_bad_until_the_next_good_one(seen: Seen) -> None:
    seen.data(HOUSES)
    seen.train(HOUSES, fails=True, broken="price_contract")
    with seen.client() as client:
        found = parts(client)
        assert found["data"] == ("bad", "V1, 13,320 rows; the newest content breaks price_contract")
        assert found["training"] == ("bad", "the newest training failed")
        seen.train(HOUSES, broken="price_contract")
        assert parts(client)["training"][0] == "good"


def test_a_product_with_its_assets_checks_and_runs(seen: Seen) -> None:
    fill(seen)
    with seen.client() as client:
        told = answered(client.get(f"/products/{HOUSES}"))
    assets = {asset["key"]: asset for asset in told["assets"]}
    assert set(assets) == {"dataset", "metrics"}
    assert assets["metrics"]["checks"][0]["name"] == "median_ape_gate"
    assert assets["metrics"]["checks"][0]["passed"] is False
    (run,) = told["runs"]
    assert (run["job"], run["status"]) == ("train", "SUCCESS")
    assert assets["dataset"]["run_id"] == run["run_id"]
    assert run["url"].endswith(f"/runs/{run['run_id']}")


def test_an_asset_that_was_not_made_in_time_is_told_of(seen: Seen) -> None:
    seen.data(HOUSES)
    seen.train(HOUSES)
    for state, (judged, said) in {
        FreshnessState.FAIL: ("warn", "late: metrics"),
        FreshnessState.PASS: ("good", "13,320 rows"),
    }.items():
        judge_freshness(seen.instance, AssetKey([HOUSES, "metrics"]), state)
        with seen.client() as client:
            assert parts(client)["data"][0] == judged
            assert parts(client)["data"][1].endswith(said)
            assets = answered(client.get(f"/products/{HOUSES}"))["assets"]
        assert {asset["key"]: asset["fresh"] for asset in assets} == {"dataset": None, "metrics": judged == "good"}


@pytest.mark.parametrize("name", ["loans", "house_prices'; DROP SCHEMA mlops; --", "%", "..", "Ünï"])
def test_a_product_that_is_not_declared_is_not_found(seen: Seen, name: str) -> None:
    with seen.client() as client:
        told = problem(client.get(f"/products/{name}" if name != ".." else "/products/%2E%2E"), 404)
    assert told["status"] == 404


def test_nobody_without_a_token_sees_anything(seen: Seen) -> None:
    with seen.client() as client:
        for path in ("/overview", "/products", f"/products/{HOUSES}"):
            problem(client.get(path, headers={"Authorization": "Bearer wrong"}), 401)


def test_before_dagsters_first_start_there_is_an_overview_all_the_same(seen: Seen) -> None:
    seen.data(HOUSES)
    seen.execute("ALTER SCHEMA dagster RENAME TO away")
    try:
        with seen.client() as client:
            assert parts(client)["data"][0] == "good"
            assert answered(client.get(f"/products/{HOUSES}"))["assets"] == []
            assert answered(client.get("/overview"))["runs"]["succeeded"] == 0
    finally:
        seen.execute("ALTER SCHEMA away RENAME TO dagster")
