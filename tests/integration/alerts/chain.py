"""The whole way of an alert: an exporter whose figures a test sets, Prometheus, Alertmanager, the control API, the
notifier, and a web server that is told.

Both programs run with the commands and files of an installation, only quicker. Keep out what is tested.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic import SecretStr

from mlops_assets.api.app import create_app
from mlops_assets.installation import monitoring, monitoring_files
from mlops_assets.installation.programs import Program, monitoring_programs
from mlops_assets.installation.up import prepare_home
from mlops_assets.notifications.notifier import Notifier, follow
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from tests.e2e.installation import free_offset
from tests.integration.notifications.notified import Webhook, web_url
from tests.integration.serving_thread import served
from tests.servers import process, wait_until

SECONDS = 60.0


class Exporter:
    """Serves whatever figures it is given. `status` is what it answers."""

    def __init__(self, port: int) -> None:
        self.figures: dict[str, float] = {}
        self.status = 200
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{name} {value}\n" for name, value in told.figures.items()).encode()
                self.send_response(told.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True


class Chain:
    """`told` is what people are told. Programs are started and stopped by name."""

    def __init__(self, settings: Settings, database: Database, told: Webhook, stack: ExitStack) -> None:
        self.settings, self.database, self.told, self._stack = settings, database, told, stack
        self.exporter = Exporter(settings.ports.metrics)
        self._programs = {program.name: program for program in monitoring_programs(settings)}
        self._running: dict[str, ExitStack] = {}

    def start(self, name: str) -> None:
        """Start a program and wait until it is ready."""
        self._running[name] = ExitStack()
        self._running[name].enter_context(running_program(self.settings, self._programs[name]))

    def stop(self, name: str) -> None:
        """End it."""
        self._running.pop(name).close()

    def stop_all(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def firing(self) -> set[str]:
        """Names of the alerts that Alertmanager knows."""
        answer = httpx.get(f"{self.settings.alertmanager_url}/api/v2/alerts", timeout=5)
        return {alert["labels"]["alertname"] for alert in answer.raise_for_status().json()}

    def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Give alerts to Alertmanager past Prometheus."""
        httpx.post(f"{self.settings.alertmanager_url}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query."""
        answer = httpx.get(f"{self.settings.prometheus_url}/api/v1/query", params={"query": query}, timeout=10)
        return list(answer.raise_for_status().json()["data"]["result"])

    def wait_for(self, *words: str) -> str:
        """The first message with all of `words` in title or text, once it has arrived."""

        def found() -> list[str]:
            whole = [f"{post['title']}\n{post['message']}" for post in list(self.told.posted)]
            return [text for text in whole if all(word in text for word in words)]

        wait_until(lambda: bool(found()), SECONDS, lambda: f"no message with {words}: {self.told.titles}")
        return found()[0]


@contextmanager
def running_program(settings: Settings, program: Program) -> Iterator[None]:
    """One of the two, as an installation runs it."""

    def ready() -> bool:
        try:
            url = f"http://{settings.host}:{program.port}{program.ready_path}"
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    command = [word.replace("resend-delay=30s", "resend-delay=1s") for word in program.command]
    with process(command, settings.logs / f"{program.name}.log", ready):
        yield


def quicker(path: Path) -> None:
    """The same configuration with seconds where minutes would be waited for."""
    config = yaml.safe_load(path.read_text())
    if "route" in config:
        config["route"] |= {"group_wait": "1s", "group_interval": "2s"}
    else:
        config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    path.write_text(yaml.safe_dump(config))


@contextmanager
def api(settings: Settings, database: Database) -> Iterator[None]:
    """The control API of the installation at its address."""
    app = create_app(settings, database, token="operators-token-of-a-test", subjects=[])
    with served(app, settings.ports.api_server):
        yield


@contextmanager
def telling(settings: Settings, database: Database) -> Iterator[None]:
    """A notifier at work."""
    stopped = threading.Event()
    thread = threading.Thread(target=follow, args=(Notifier(settings, database), stopped.wait, 0.2))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(20)


@contextmanager
def chain(database: Database, told: Webhook, gateway_metrics: int | None = None) -> Iterator[Chain]:
    """Everything but the API and the notifier, running. `gateway_metrics` is the port of a gateway that there is."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alerts-")))
        offset = free_offset(home)
        known = {} if gateway_metrics is None else {"gateway_metrics_port": gateway_metrics - offset}
        settings = Settings(home=home, notify_urls=SecretStr(web_url(told)), port_offset=offset, **known)
        prepare_home(settings)
        monitoring.choose(settings, True)
        monitoring_files.configure(settings, declared_products())
        for path in (monitoring.prometheus_file(settings), monitoring.alertmanager_file(settings)):
            quicker(path)
        made = Chain(settings, database, told, stack)
        thread = threading.Thread(target=made.exporter.server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        stack.callback(thread.join, 20)
        stack.callback(made.exporter.server.server_close)
        stack.callback(made.exporter.server.shutdown)
        stack.callback(made.stop_all)
        for name in ("alertmanager", "prometheus"):
            made.start(name)
        yield made
