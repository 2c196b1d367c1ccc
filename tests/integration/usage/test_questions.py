"""What is asked of the table, on a real database: sums, the dearest first; what died; what changed; what is removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from mlops_assets.observability.usage import queries
from mlops_assets.observability.usage.compared import compare
from mlops_assets.observability.usage.figures import Prices, Usage
from mlops_assets.observability.usage.queries import Period
from mlops_assets.observability.usage.sums import used
from mlops_assets.retention.round import Round, Swept
from mlops_assets.retention.rounds import NIGHTLY, run
from mlops_assets.runs.usage import Used
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.usage.made_attempts import NOW, Attempts, set_status

PRICES = Prices(cpu_hour=1.0, gb_hour=2.0, currency="EUR")
WEEK = Period.of(None, NOW)


def by_product(database: Database, days: int = 7) -> dict[str, Usage]:
    """The sums of some days, by the product's name."""
    return {item.product: item for item in used(database, Period.of(None, NOW, days=days), "product", PRICES).items}


def test_sums_are_the_dearest_first_and_add_up(with_dagster: Database, put: Attempts) -> None:
    for _ in range(2):
        put("homes")
    put("homes", stage="data", outcome="FAILURE")
    put("crashes", used=Used(100.0, 500.0, 1_000_000_000, None, None))
    put("homes", back=timedelta(days=9))
    found = used(with_dagster, WEEK, "product", PRICES)
    assert [item.product for item in found.items] == ["crashes", "homes"]
    homes = found.items[1]
    assert (homes.runs, homes.attempts, homes.failed, homes.lost, homes.running) == (3, 3, 1, 0, 0)
    assert (homes.wall_seconds, homes.cpu_seconds) == (30.0, 15.0)
    assert (homes.read_bytes, homes.written_bytes) == (60_000_000, 9_000_000)
    assert homes.byte_seconds == pytest.approx(3e10)
    assert PRICES.cost(homes.cpu_seconds, homes.byte_seconds) == pytest.approx((15 + 2 * 30) / 3600)
    assert found.items[0].read_bytes == 0
    assert (found.every["runs"], found.every["attempts"], found.every["cpu_seconds"]) == (4, 4, 515.0)


def test_a_run_counts_once_whatever_it_did(with_dagster: Database, put: Attempts) -> None:
    run = put("homes", stage="data")
    put("homes", outcome="RETRY", run_id=run)
    put("homes", run_id=run, attempt=2)
    put("crashes", run_id=run)
    found = used(with_dagster, WEEK, "product", PRICES)
    assert {item.product: (item.runs, item.attempts) for item in found.items} == {"homes": (1, 3), "crashes": (1, 1)}
    assert (found.every["runs"], found.every["attempts"], found.every["retried"]) == (1, 4, 1)
    stages = used(with_dagster, WEEK, "stage", PRICES).items
    assert {(item.product, item.stage): item.runs for item in stages} == {
        ("homes", "data"): 1,
        ("homes", "model"): 1,
        ("crashes", "model"): 1,
    }


def test_a_period_without_attempts_adds_up_to_nothing(with_dagster: Database) -> None:
    found = used(with_dagster, WEEK, "stage", PRICES)
    assert (found.items, found.total) == ([], 0)
    assert (found.every["runs"], found.every["lost"], found.every["cpu_seconds"]) == (0, 0, 0)


def test_the_order_follows_the_prices(with_dagster: Database, put: Attempts) -> None:
    put("busy", used=Used(1.0, 900.0, 1_000_000, 0, 0))
    put("large", used=Used(900.0, 1.0, 64_000_000_000, 0, 0))
    for prices, first in ((Prices(1, 0, "EUR"), "busy"), (Prices(0, 1, "EUR"), "large")):
        assert used(with_dagster, WEEK, "product", prices).items[0].product == first


def test_by_stage_and_by_job(with_dagster: Database, put: Attempts) -> None:
    put(stage="model")
    put(stage="data", job="homes_watch")
    stages = used(with_dagster, WEEK, "stage", PRICES).items
    jobs = used(with_dagster, WEEK, "job", PRICES).items
    assert {(item.stage, item.job) for item in stages} == {("model", None), ("data", None)}
    assert {(item.stage, item.job) for item in jobs} == {(None, "homes_train"), (None, "homes_watch")}


def test_pages_go_on_where_the_one_before_ended(with_dagster: Database, put: Attempts) -> None:
    for number in range(5):
        put(f"p{number}", used=Used(1, 10.0 - number, 0, 0, 0))
    pages = [used(with_dagster, WEEK, "product", PRICES, limit=2, offset=offset) for offset in (0, 2, 4, 2**31 - 1)]
    assert [[item.product for item in page.items] for page in pages] == [["p0", "p1"], ["p2", "p3"], ["p4"], []]
    assert {page.total for page in pages} == {5}


def test_an_attempt_without_an_end_runs_only_while_its_run_does(with_dagster: Database, put: Attempts) -> None:
    going = put("going", outcome=None, status="STARTED")
    put("killed", outcome=None, status="FAILURE")
    put("deleted", outcome=None, status=None)
    found = by_product(with_dagster)
    assert {name: (item.running, item.lost) for name, item in found.items()} == {
        "going": (1, 0),
        "killed": (0, 1),
        "deleted": (0, 1),
    }
    set_status(with_dagster, going, "CANCELED")
    attempts = queries.of_run(with_dagster, going)
    assert attempts is not None
    assert [one.outcome for one in attempts] == ["LOST"]


def test_an_attempt_whose_process_died_is_lost_though_another_goes(with_dagster: Database, put: Attempts) -> None:
    run = put(outcome=None, status="STARTED")
    put(outcome=None, status="STARTED", run_id=run, attempt=2)
    attempts = queries.of_run(with_dagster, run)
    assert attempts is not None
    assert [(one.attempt, one.outcome) for one in attempts] == [(1, "LOST"), (2, "RUNNING")]


def test_a_run_that_measured_nothing_is_told_from_one_that_never_was(with_dagster: Database) -> None:
    set_status(with_dagster, "there", "SUCCESS")
    assert queries.of_run(with_dagster, "there") == []
    assert queries.of_run(with_dagster, "gone") is None


def test_a_stage_that_got_slower_since_last_week_is_found_among_others(with_dagster: Database, put: Attempts) -> None:
    for day in range(14):
        for product, factor in (("homes", 1.0), ("crashes", 2.0)):
            last = day < 7
            seconds = (3.0 + day % 3 * 0.1) * (factor if last else 1.0)
            put(product, back=timedelta(days=day, hours=1), used=Used(seconds, 1.0, 10, None, None))
        put("failing", back=timedelta(days=day, hours=1), outcome="FAILURE", used=Used(99.0, 99.0, 10, 1, 1))
    put("new", used=Used(99.0, 99.0, 10, 1, 1))
    found = compare(with_dagster, NOW)
    assert [(change.compared.product, change.compared.measure) for change in found.changes] == [
        ("crashes", "wall_seconds")
    ]
    assert found.changes[0].said == "model of crashes: 2 × slower (3.1 s → 6.2 s, 7 and 7 attempts)"
    # Of failures nothing is learned; there is too little of what began only now.
    assert (found.stages, found.too_few) == (3, 1)
    earlier = compare(with_dagster, NOW - timedelta(days=7))
    assert not earlier.changes
    assert earlier.too_few == earlier.stages


def test_old_attempts_are_removed_batch_by_batch_and_others_stay(
    with_dagster: Database, put: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "BATCH", 3)
    for _ in range(7):
        put(back=timedelta(days=500))
    put("kept")
    assert queries.remove_older(with_dagster, NOW - timedelta(days=400)) == 7
    assert queries.remove_older(with_dagster, NOW - timedelta(days=400)) == 0
    with with_dagster.engine.connect() as connection:
        assert connection.execute(text("SELECT product FROM mlops.stage_usage")).scalars().all() == ["kept"]


def test_the_nightly_round_removes_what_is_older_than_the_setting(
    with_dagster: Database, put: Attempts, tmp_path: Path
) -> None:
    put("old", back=timedelta(days=31))
    put("kept", back=timedelta(days=29))
    settings, storage = Settings(home=tmp_path, usage_days=30), Storage(str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        work = Round.begun(settings, with_dagster, storage, instance, apply=True, seconds=60)
        done = run(work, {"stage_usage"} & NIGHTLY.keys())
    assert done == {"stage_usage": Swept(removed=1)}
    assert list(by_product(with_dagster, days=100)) == ["kept"]


def test_a_connection_that_the_server_ended_is_made_again(with_dagster: Database, put: Attempts) -> None:
    put("before")
    with with_dagster.engine.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE :put"),
            {"put": "INSERT INTO mlops.stage_usage%"},
        )
    put("after")
    assert by_product(with_dagster).keys() == {"before", "after"}


def test_many_ask_at_once_while_attempts_come(with_dagster: Database, put: Attempts) -> None:
    """More than there are connections; sums and runs are of one state of the table, whoever counts them."""
    put("homes")
    asked = 3 * (with_dagster.engine.pool.size() + 8)

    def consistent(number: int) -> bool:
        if number % 5 == 0:
            put("homes")
        found = used(with_dagster, Period.of(None, NOW, days=7), "product", PRICES)
        # Each attempt is of a run of its own here.
        return found.items[0].runs == found.items[0].attempts == found.every["runs"]

    with ThreadPoolExecutor(asked) as threads:
        assert all(threads.map(consistent, range(asked)))
    assert by_product(with_dagster)["homes"].attempts == 1 + -(-asked // 5)
