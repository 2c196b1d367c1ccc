"""The exporter as a process or in this one, and what it says.

Keep out what is expected of it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from mlops_assets.observability.exporter.collectors import all_collectors
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.observability.exporter.server import ExporterServer
from mlops_assets.observability.exporter.watching import Lookout
from mlops_assets.settings import Settings
from tests.servers import free_port, process

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}

Samples = dict[tuple[str, ...], float]


class Exporter:
    """A running exporter; `log` is what it has written."""

    def __init__(self, url: str, pid: int, log: Callable[[], str]) -> None:
        self.url, self.pid, self.log = url, pid, log

    def get(self, path: str = "/metrics", **given: dict[str, str]) -> httpx.Response:
        """One answer."""
        return httpx.get(f"{self.url}{path}", timeout=20, **given)  # type: ignore[arg-type]

    def samples(self) -> Samples:
        """Every sample of a scrape by name and label values."""
        return read(self.get().raise_for_status().text)

    def success(self, collector: str) -> float | None:
        """What a scrape says of a collector's newest look."""
        return self.samples().get(("mlops_collector_success", collector))


def read(text: str) -> Samples:
    """The samples of a text."""
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@contextmanager
def exporting(url: str, home: Path, dagster_port: int = 1, port: int = 0) -> Iterator[Exporter]:
    """From an exporter that answers to one that has ended."""
    home.mkdir(exist_ok=True)
    port = port or free_port()
    environment = {
        "MLOPS_HOME": str(home),
        "MLOPS_DATABASE_URL": url,
        "MLOPS_METRICS_PORT": str(port),
        "MLOPS_DAGSTER_PORT": str(dagster_port),
    }
    address, log = f"http://127.0.0.1:{port}", home / "exporter.log"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/livez", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "mlops_assets.observability.exporter"]
    with process(command, log, answers, environment) as running:
        yield Exporter(address, running.pid, log.read_text)


@contextmanager
def quick(url: str, home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Exporter]:
    """The same parts in this process, which look several times a second."""
    home.mkdir(exist_ok=True)
    rising = Rising()
    collectors = all_collectors(Settings(home=home, database_url=SecretStr(url), dagster_port=1), rising)
    lookout = Lookout([replace(collector, every=0.2) for collector in collectors], rising)
    server = ExporterServer("127.0.0.1", 0, lookout)
    answering = threading.Thread(target=server.serve_forever, args=(0.05,))
    answering.start()
    lookout.start()
    try:
        with caplog.at_level(logging.INFO):
            yield Exporter(f"http://127.0.0.1:{server.server_port}", os.getpid(), lambda: caplog.text)
    finally:
        lookout.stop()
        server.shutdown()
        server.server_close()
        answering.join(20)
        for watch in lookout.watches:
            watch.join(40)
