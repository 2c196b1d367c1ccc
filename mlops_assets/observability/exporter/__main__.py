"""`python -m mlops_assets.observability.exporter`: what the platform tells Prometheus of itself, on one small server.

Keep out what is looked at (`collectors/`), when (`watching`) and how it is told (`server`). Light on purpose: no
Dagster, MLflow or pandas in this process, so that it is up before them and when they aren't.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading

from mlops_assets.observability.exporter.collectors import all_collectors
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.observability.exporter.server import ExporterServer
from mlops_assets.observability.exporter.watching import Lookout
from mlops_assets.settings import Settings, SettingsError, load

log = logging.getLogger("mlops_assets.observability.exporter")

SAVE_SECONDS = 60.0


def serve(settings: Settings, stopping: threading.Event) -> None:
    """Serve until `stopping`. OSError: the port can't be had."""
    rising = Rising(settings.home / "metrics" / "counters.json")
    lookout = Lookout(all_collectors(settings, rising), rising)
    server = ExporterServer(settings.listen, settings.ports.metrics, lookout)
    lookout.start()
    threading.Thread(target=server.serve_forever, name="answer", daemon=True).start()
    log.info("metrics at %s/metrics", settings.metrics_url)
    try:
        while not stopping.wait(SAVE_SECONDS):
            rising.save()
    finally:
        lookout.stop()
        server.shutdown()
        server.server_close()
        rising.save()


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # Of each request of ours to the webserver, a line.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        serve(load(), stopping)
    except SettingsError as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("the port can't be had: %s", error.strerror)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
