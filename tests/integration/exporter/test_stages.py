"""Attempts of stages: what they used, what it cost, and those whose process died."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.observability.exporter.collectors.stages import collector
from mlops_assets.observability.exporter.families import Spread
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.settings import Settings
from tests.integration.exporter.made_rows import Found, Rows, look

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def looks(source: Source, tmp_path: Path) -> object:
    """One collector, to look with again and again."""
    made = collector(source, Settings(home=tmp_path, cpu_hour_price=3600, gb_hour_price=7200, price_currency="EUR"))
    return lambda: look(made)


def ended(found: Found, product: str, stage: str) -> dict[str, float]:
    """Attempts by outcome, without the zeros."""
    series = found.all("mlops_stages_finished_total")
    return {outcome: n for (p, s, outcome), n in series.items() if (p, s) == (product, stage) and n}


def test_nothing_is_known_of_no_attempt(rows: Rows, looks) -> None:
    assert looks().all("mlops_stages_finished_total") == {}


def test_what_attempts_used(rows: Rows, looks) -> None:
    rows.stage("house_prices", "model", "RETRY", attempt=1, wall=100, cpu=50, read=5, written=7, peak=3e9, began=500)
    rows.stage("house_prices", "model", "SUCCESS", attempt=2, wall=0.1, cpu=0.5, read=1, written=2, peak=2e9, began=60)
    found = looks()
    place = {"product": "house_prices", "stage": "model"}
    assert ended(found, **place) == {"RETRY": 1, "SUCCESS": 1}
    assert found.of("mlops_stages_finished_total", **place, outcome="LOST") == 0
    assert found.of("mlops_stage_cpu_seconds_total", **place) == 50.5
    assert found.of("mlops_stage_read_bytes_total", **place) == 6
    assert found.of("mlops_stage_written_bytes_total", **place) == 9
    assert found.of("mlops_stage_peak_memory_bytes", **place) == 2e9
    seconds = found.of("mlops_stage_duration_seconds", **place)
    assert isinstance(seconds, Spread)
    bounds = METRICS["mlops_stage_duration_seconds"].buckets
    assert seconds.counts[bounds.index(0.1)] == 1
    assert seconds.counts[bounds.index(300.0)] == 1
    assert seconds.total == pytest.approx(100.1)
    # 50.5 s of a core at 1 a second; 100 s of 3 GB and 0.1 s of 2 GB at 2 a second and GB.
    assert found.of("mlops_cost_total", product="house_prices", currency="EUR") == pytest.approx(50.5 + 600 + 0.4)


def test_a_stage_without_an_outcome_is_lost_once_its_run_has_ended(rows: Rows, looks) -> None:
    for status in ("STARTED", "FAILURE", "CANCELED"):
        run = rows.run("house_prices_train", status)
        rows.stage("house_prices", "model", None, run_id=run, wall=None, cpu=None, peak=None, read=None, written=None)
    rows.stage("house_prices", "features", None, wall=None, cpu=None, peak=None, read=None, written=None)
    found = looks()
    assert ended(found, "house_prices", "model") == {"LOST": 2}
    # A run that nobody knows any more doesn't go on.
    assert ended(found, "house_prices", "features") == {"LOST": 1}


def test_all_declared_pipelines_are_one_product(rows: Rows, looks) -> None:
    for n in range(3):
        rows.stage(f"pipeline_{n}", f"stage_{n}", kind="pipeline")
    found = looks()
    assert ended(found, "pipelines", "declared") == {"SUCCESS": 3}
    assert len(found.all("mlops_stage_cpu_seconds_total")) == 1
    assert found.all("mlops_stage_peak_memory_bytes") == {}


def test_each_attempt_counts_once_over_many_looks(rows: Rows, looks) -> None:
    run = rows.run("house_prices_train", "STARTED", made=30 * HOUR, started=30 * HOUR, ended=None)
    for began in (9 * DAY, 3 * DAY, 2 * DAY, 20 * HOUR, 5 * HOUR, 60):
        rows.stage("house_prices", "model", began=began)
    going = {"run_id": run, "began": 29 * HOUR, "wall": None, "cpu": None, "peak": None, "read": None, "written": None}
    rows.stage("house_prices", "model", None, **going)
    assert ended(looks(), "house_prices", "model") == {"SUCCESS": 6}
    # A stage of a day ends, and short ones come meanwhile.
    rows.stage("house_prices", "model", "FAILURE", began=5)
    rows.execute("UPDATE mlops.stage_usage SET outcome = 'SUCCESS', ended_at = now() WHERE outcome IS NULL")
    assert ended(looks(), "house_prices", "model") == {"SUCCESS": 7, "FAILURE": 1}
    assert ended(looks(), "house_prices", "model") == {"SUCCESS": 7, "FAILURE": 1}


def test_old_rows_that_retention_removes_stay_counted(rows: Rows, looks) -> None:
    for began in (9 * DAY, 60):
        rows.stage("house_prices", "model", began=began)
    before = looks()
    rows.execute("DELETE FROM mlops.stage_usage WHERE started_at < now() - interval '1 day'")
    after = looks()
    assert ended(after, "house_prices", "model") == ended(before, "house_prices", "model") == {"SUCCESS": 2}
    assert after.all("mlops_cost_total") == before.all("mlops_cost_total")


def test_invented_names_make_no_series_of_their_own(rows: Rows, looks) -> None:
    rows.execute("""
        INSERT INTO mlops.stage_usage (run_id, step_key, attempt, kind, product, stage, job, started_at, ended_at,
          outcome, wall_seconds, cpu_seconds, peak_memory_bytes, read_bytes, written_bytes)
        SELECT 'r', 's' || n, 1, 'product', E'evil"\\n' || n, repeat('x', 200) || n, 'j', now() - interval '10 days',
          now(), 'SUCCESS', 1, 1, 1, 1, 1 FROM generate_series(1, 5000) AS n""")
    found = looks()
    assert {(p, s) for p, s, _ in found.all("mlops_stages_finished_total")} == {("other", "other")}
    assert ended(found, "other", "other") == {"SUCCESS": 5000}
