"""Serving as it runs: `bentoml serve` in processes of its own, following a ledger in a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.service_process import (
    BENTOML,
    PROJECT,
    WAIT_SECONDS,
    Ledger,
    Service,
    eventually,
    following,
    serving,
)
from tests.unit.inference.tiny_release import HOME, PRODUCT
from tests.unit.inference.traffic_release import MODULE as TRAFFIC
from tests.unit.inference.traffic_release import USUAL, write_traffic_release


@pytest.fixture
def ledger(postgres_url: str, database: object, tmp_path: Path) -> Ledger:
    return Ledger(postgres_url, tmp_path)


class Load:
    """Clients that ask without a pause, and keep what went wrong."""

    def __init__(self, service: Service, clients: int = 4) -> None:
        self.service = service
        self.failures: list[str] = []
        self.versions: list[list[int]] = [[] for _ in range(clients)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(seen,)) for seen in self.versions]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seen: list[int]) -> None:
        with httpx.Client(timeout=5) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(f"{self.service.url}/api/predict_price", json=HOME)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                body = answer.json()
                right = answer.status_code == 200 and body["price"] == 120 + body["model_version"] * 100
                if not right:
                    self.failures.append(answer.text)
                seen.append(body.get("model_version", -1))


def test_swaps_under_load_without_a_failed_request(ledger: Ledger, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        ledger.publish(version)
    ledger.decide(1)
    with serving(tmp_path / "service", **following(ledger)) as service:
        service.serves(1)
        with Load(service) as load:
            for version in (2, 3, 2):
                time.sleep(0.5)
                ledger.decide(version)
                service.serves(version)
    assert load.failures == []
    for seen in load.versions:
        changes = [v for i, v in enumerate(seen) if i == 0 or seen[i - 1] != v]
        assert changes == [1, 2, 3, 2]


def test_second_service_always_holds_something_and_tells_what(ledger: Ledger, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        ledger.publish(version)

    def shows(version: int, variant: str) -> bool:
        answer = service.predict()
        told = {"ready": True, "version": version, "variant": variant, "failure": None}
        return (
            answer.status_code == 200
            and (answer.json()["model_version"], answer.json()["variant"]) == (version, variant)
            and (answer.headers["x-model-version"], answer.headers["x-served-by"]) == (str(version), variant)
            and httpx.get(f"{service.url}/readyz").json() == told
        )

    with serving(tmp_path / "service", **following(ledger, "candidate")) as service:
        refused = service.predict()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        nothing = httpx.get(f"{service.url}/readyz")
        assert nothing.status_code == 503
        assert nothing.json() == {"ready": False, "version": None, "variant": "standby", "failure": None}
        # production, candidate, and who was production before, in each phase of a rollout and its end.
        for decision, expected in [
            ({"production": 1}, (1, "production")),
            ({"production": 1, "candidate": 2, "phase": "shadow"}, (2, "candidate")),
            ({"production": 1, "candidate": 2, "phase": "ramp"}, (2, "candidate")),
            ({"production": 2, "previous": 1, "phase": "promoting"}, (1, "standby")),
            ({"production": 2, "previous": 1, "phase": "watch"}, (1, "standby")),
            ({"production": 2, "previous": 1, "phase": "done"}, (2, "production")),
            ({"production": 2, "candidate": 3, "previous": 1, "phase": "hold"}, (3, "candidate")),
            ({"production": 3, "phase": "done"}, (3, "production")),
            ({"production": 2, "previous": 3, "phase": "rolled_back"}, (2, "production")),
        ]:
            ledger.decide(**decision)
            eventually(lambda: shows(*expected), f"{decision} shows {expected}\n{service.log.read_text()}")  # noqa: B023
        assert service.log.read_text().count("after its role was seen") == 6, "a new label alone loads nothing"
        ledger.decide(None)
        service.serves(None)


def test_broken_release_leaves_the_old_one_serving(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(1)
    (ledger.publish(2) / "model.onnx").write_bytes(b"broken")
    ledger.publish(3)
    ledger.decide(1)
    with serving(tmp_path / "service", **following(ledger)) as service:
        service.serves(1)
        ledger.decide(2)
        eventually(lambda: service.health()["status"] == "degraded", "the broken release is told")
        time.sleep(3)
        health = service.health()
        assert health["model"]["version"] == service.version() == 1
        assert "release 2" in health["reasons"][0]
        metrics = httpx.get(f"{service.url}/metrics").text
        assert 'model_swaps_total{outcome="failed"' in metrics
        assert service.log.read_text().count("release 2 can't serve") == 1
        ledger.decide(3)
        service.serves(3)
        eventually(lambda: service.health()["status"] == "ok", "the good release clears it")


def test_starts_from_its_local_copy_with_database_and_storage_gone(ledger: Ledger, tmp_path: Path) -> None:
    folder = ledger.publish(1)
    ledger.decide(1)
    settings = following(ledger)
    with serving(tmp_path / "first", **settings) as service:
        service.serves(1)
    for file in folder.iterdir():
        file.unlink()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        gone = f"postgresql://nobody:hidden@127.0.0.1:{silent.getsockname()[1]}/none"
        with serving(tmp_path / "second", **{**settings, "database_url": gone}) as service:
            service.serves(1)
            health = service.health()
            assert (health["status"], health["database"]) == ("degraded", "unreachable")
            assert service.predict().json()["price"] == 220.0
            assert "hidden" not in service.log.read_text() + json.dumps(health)


def test_killed_worker_comes_back(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(1)
    ledger.decide(1)
    with serving(tmp_path / "service", **following(ledger)) as service:
        service.serves(1)
        killed = service.worker().pid
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: service.version() == 1 and service.worker().pid != killed, "a new worker serves")


def test_killed_supervising_process_leaves_no_worker(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(1)
    ledger.decide(1)
    with serving(tmp_path / "service", **following(ledger)) as service:
        service.serves(1)
        worker = service.worker()
        os.kill(service.process.pid, signal.SIGKILL)
        worker.wait(WAIT_SECONDS)
        with pytest.raises(httpx.TransportError):
            service.predict()


def test_request_that_never_ends_is_given_up(ledger: Ledger, tmp_path: Path) -> None:
    ledger.publish(1)
    ledger.decide(1)
    with serving(tmp_path / "service", **following(ledger)) as service:
        service.serves(1)
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT_SECONDS) as slow:
            head = "POST /api/predict_price HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            slow.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            assert slow.recv(200).startswith(b"HTTP/1.1 504")
        assert service.version() == 1


@pytest.mark.parametrize("missing", ["product", "database_url"])
def test_missing_setting_ends_the_start_with_its_name(ledger: Ledger, tmp_path: Path, missing: str) -> None:
    settings = {k: v for k, v in following(ledger).items() if k != missing}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    environment |= {f"MLOPS_SERVING_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [BENTOML, "serve", "inference.service:service", "--host", "127.0.0.1", "--working-dir", str(PROJECT)],
        env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert missing in (done.stdout + done.stderr).lower()


def test_a_detector_keeps_its_release_when_the_next_has_lost_its_reasons(ledger: Ledger, tmp_path: Path) -> None:
    good, bad = (write_traffic_release(tmp_path / str(version), version, product=PRODUCT) for version in (1, 2))
    (bad / "reasons.json").unlink()
    ledger.register(1, good)
    ledger.register(2, bad)
    ledger.decide(1)
    detector = {"module": TRAFFIC, "route": "score_accident", "answer": "anomaly_score"}
    with serving(tmp_path / "service", **following(ledger) | detector) as service:
        score = f"{service.url}/api/score_accident"
        eventually(lambda: httpx.post(score, json=USUAL).status_code == 200, service.log.read_text())
        ledger.decide(2)
        eventually(lambda: service.health()["status"] == "degraded", "the broken release is told")
        assert "reasons.json" in service.health()["reasons"][0]
        assert httpx.post(score, json=USUAL).json()["model_version"] == 1
