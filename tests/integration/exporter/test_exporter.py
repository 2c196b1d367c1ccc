"""The exporter as an installation runs it: what it tells, how much it takes, and that restarts lose nothing."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import httpx
import psutil
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from mlops_assets.observability.exporter.collectors import all_collectors
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.settings import Settings
from tests.integration.exporter.exporting import OPENMETRICS, Exporter, exporting, read
from tests.integration.exporter.made_rows import DECLARED, Rows
from tests.integration.platform_tables import PlatformTables
from tests.servers import free_port, wait_until

FINISHED = ("mlops_runs_finished_total", "house_prices_train", "SUCCESS")
# The look at code locations fails here: there is no webserver.
ALONE = "locations"


def test_an_exporter_tells_of_everything_in_what_prometheus_takes(
    empty_tables: PlatformTables, rows: Rows, tmp_path: Path
) -> None:
    rows.run("house_prices_train")
    rows.run("__ASSET_JOB", "FAILURE", tags=DECLARED)
    rows.stage("house_prices", "model")
    rows.heartbeat("SENSOR", ago=3)
    rows.instigator("house_prices_retrain_on_drift", "SENSOR")
    rows.tick("house_prices_retrain_on_drift", "SENSOR")
    home = tmp_path / "home"
    with exporting(empty_tables.url, home) as exporter:
        names = {collector.name for collector in all_collectors(Settings(home=home), Rising())}
        samples = exporter.samples()
        assert {name for name in names if samples["mlops_collector_success", name] == 1} == names - {ALONE}
        _both_formats_say_the_same(exporter)
        assert psutil.Process(exporter.pid).memory_info().rss < 120 * 2**20
        folder = empty_tables.url.partition("host=")[2]
        assert folder not in exporter.get().text + exporter.log()
        assert "Traceback" not in exporter.log()


def _both_formats_say_the_same(exporter: Exporter) -> None:
    plain, openmetrics = exporter.get(), exporter.get(headers=OPENMETRICS)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    told = {family.name for family in parse_openmetrics(openmetrics.text)}
    assert told <= {name.removesuffix("_total") for name in METRICS}
    names = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name, *_ in read(plain.text)}
    assert {name.removesuffix("_total") for name in names} == told
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(command, input=plain.text, capture_output=True, text=True, timeout=30, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_restarts_during_scrapes_give_whole_answers_and_no_falling_counter(
    empty_tables: PlatformTables, rows: Rows, tmp_path: Path
) -> None:
    for _ in range(3):
        rows.run("house_prices_train")
    port, stop = free_port(), threading.Event()
    answers: list[httpx.Response] = []

    def scrape() -> None:
        while not stop.wait(0.02):
            try:
                answers.append(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20))
            except httpx.HTTPError:
                continue

    scraping = threading.Thread(target=scrape)
    scraping.start()
    try:
        for _ in range(2):
            with exporting(empty_tables.url, tmp_path / "home", port=port) as exporter:
                wait_until(lambda: FINISHED in exporter.samples(), 40)
            # Some rows are gone when the next one starts.
            rows.execute("DELETE FROM dagster.runs WHERE id = (SELECT min(id) FROM dagster.runs)")
    finally:
        stop.set()
        scraping.join(30)
    whole = [read(answer.text) for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all(("mlops_collector_success", "runs") in samples for samples in whole)
    assert {samples[FINISHED] for samples in whole if FINISHED in samples} == {3}
