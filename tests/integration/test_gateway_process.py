"""The gateway as a process: its check of a configuration, its admin and metrics, its start and its end."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest

from mlops_assets.rollout.envoy.process import ask
from tests.integration.gateway_rig import (
    ENVOY,
    HOUSES,
    PREDICT,
    PRODUCTION,
    Rig,
    comparing,
    make_rig,
    mode,
    running_gateway,
    running_rig,
    users,
    write_bootstrap,
)
from tests.integration.upstream import upstream
from tests.servers import wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough a name for a socket."""
    with TemporaryDirectory(prefix="gateway-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig(1) as running:
        yield running


@pytest.mark.parametrize("products", [1, 3])
@pytest.mark.parametrize("every_request", [False, True])
def test_envoy_accepts_the_configuration_without_a_word(folder: Path, products: int, every_request: bool) -> None:
    found = make_rig(folder, products)
    found.states = {HOUSES: comparing()}
    write_bootstrap(found, every_request=every_request)
    command = [str(ENVOY), "--mode", "validate", "-c", str(folder / "bootstrap.json"), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_admin_interface_is_on_a_private_socket_only(rig: Rig) -> None:
    assert mode(Path(rig.admin)) == 0o600
    assert mode(rig.folder) == 0o700
    assert mode(rig.folder / "routes.json") == 0o600
    assert mode(rig.folder / "failures.jsonl") == 0o600
    listening = {c.laddr.port for c in _envoy(rig).net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {rig.port, rig.metrics_port}


def _envoy(rig: Rig) -> psutil.Process:
    """The process that listens on the rig's port."""
    command = str(rig.folder / "bootstrap.json")
    found = [p for p in psutil.process_iter(["cmdline"]) if command in (p.info["cmdline"] or [])]
    return next(p for p in found if "mlops_assets.rollout.envoy.process" not in p.info["cmdline"])


def test_metrics_are_all_that_the_metrics_listener_shows(rig: Rig) -> None:
    rig.counted(users(20))
    base = f"http://127.0.0.1:{rig.metrics_port}"
    text = httpx.get(f"{base}/stats/prometheus", timeout=5).text
    for wanted in (
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="house_prices_production"}',
        'envoy_cluster_membership_healthy{envoy_cluster_name="house_prices_candidate"} 1',
        'envoy_http_downstream_rq_xx{envoy_response_code_class="2"',
        "envoy_cluster_upstream_rq_time_bucket",
    ):
        assert wanted in text
    assert len(text.splitlines()) < 1500
    for path in ("/", "/stats", "/config_dump", "/clusters", "/quitquitquit", "/stats/prometheus/x", "/server_info"):
        answer = httpx.get(base + path, timeout=5)
        assert (answer.status_code, answer.json()) == (404, {"detail": "not found"})
    for method in ("POST", "DELETE", "PUT"):
        assert httpx.request(method, f"{base}/stats/prometheus", timeout=5).status_code == 404


def test_metrics_tell_who_was_assigned_from_who_was_asked(rig: Rig) -> None:
    rig.set(comparing(0.5))
    rig.services[HOUSES, "candidate"].control(mode="fail")
    assigned = [f"cluster.house_prices_to_{variant}.upstream_rq_2xx" for variant in (PRODUCTION, "candidate")]
    asked = [f"cluster.house_prices_{variant}.upstream_rq_total" for variant in (PRODUCTION, "candidate")]
    before = [rig.statistic(name) for name in (*assigned, *asked)]
    rig.counted(users(100))
    after = [rig.statistic(name) for name in (*assigned, *asked)]
    of_production, of_candidate, to_production, to_candidate = (b - a for a, b in zip(before, after, strict=True))
    assert of_production + of_candidate == 100
    assert of_candidate > 20
    assert to_production == 100
    assert 5 <= to_candidate < of_candidate


def test_without_routes_envoy_does_not_start(folder: Path) -> None:
    rig = make_rig(folder, 1)
    command = write_bootstrap(rig)
    (folder / "routes.json").unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "routes.json" in done.stderr


def test_a_graceful_stop_answers_what_was_asked(folder: Path) -> None:
    with ExitStack() as stack:
        rig = make_rig(folder, 1)
        for variant in (PRODUCTION, "candidate"):
            stack.enter_context(upstream(variant, rig.services[HOUSES, variant].port, folder))
        with running_gateway(rig) as process, ThreadPoolExecutor(8) as pool:
            rig.reset()
            rig.services[HOUSES, PRODUCTION].control(mode="slow", seconds=0.7)
            idle = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=10)
            idle.connect()
            asked = [pool.submit(rig.ask, PREDICT, f"user-{n}") for n in range(8)]
            wait_until(lambda: rig.services[HOUSES, PRODUCTION].control()["count"] == 8, 10)
            process.send_signal(signal.SIGTERM)
            answers = [future.result() for future in asked]
            assert process.wait(15) == 0
        assert [answer.status_code for answer in answers] == [200] * 8
        assert {answer.headers.get("connection") for answer in answers} == {"close"}
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", rig.port), timeout=2):
            pass
        idle.close()


def test_envoy_ends_with_its_runner_and_the_runner_with_envoy(folder: Path) -> None:
    with ExitStack() as stack:
        rig = make_rig(folder, 1)
        stack.enter_context(upstream(PRODUCTION, rig.services[HOUSES, PRODUCTION].port, folder))
        with running_gateway(rig) as process:
            envoy = psutil.Process(process.pid).children()[0]
            process.kill()
            wait_until(lambda: not envoy.is_running() or envoy.status() == psutil.STATUS_ZOMBIE, 5)
        with running_gateway(rig) as process:
            os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGKILL)
            assert process.wait(5) != 0


def test_a_second_start_on_the_same_files_serves_again(folder: Path) -> None:
    with ExitStack() as stack:
        rig = make_rig(folder, 1)
        stack.enter_context(upstream(PRODUCTION, rig.services[HOUSES, PRODUCTION].port, folder))
        for _ in range(2):
            with running_gateway(rig) as process:
                wait_until(lambda: rig.ask().status_code == 200, 10)
                assert ask(rig.admin, "GET", "/ready").strip() == "LIVE"
                process.kill()
                process.wait(5)
