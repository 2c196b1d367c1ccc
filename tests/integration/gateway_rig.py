"""A real gateway in front of controllable services, for tests of what it does with requests.

Add here what more than one file of gateway tests needs. Keep out assertions.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mlops_assets.rollout import gateway
from mlops_assets.rollout.envoy.process import ask
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State
from tests.integration.upstream import upstream
from tests.servers import free_port, process, wait_until

ENVOY = Path(sys.executable).parent / "envoy"
HOUSES, CARS = "house_prices", "car_prices"
PREDICT = "/api/predict_home_price"
TOKEN = "a-token-of-operators"
PRODUCTION, CANDIDATE = "production", "candidate"
THREADS = 8
SETTLE_SECONDS = 10.0
# No proxy of the environment's and no certificates, whose loading would take longer than the request.
PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}


def comparing(share: float = 0.2, *, rollout: int = 3, step: int = 0, product: str = HOUSES, **more: Any) -> State:
    """A ledger state in which a candidate has `share` of the users."""
    given: dict[str, Any] = {"production": 1, "candidate": 2, "phase": Phase.RAMP}
    return State(product=product, candidate_share=share, rollout=rollout, step=step, **given | more)


@dataclass
class Service:
    """One stub, and how to tell it what to do."""

    port: int
    host: str = "127.0.0.1"

    def control(self, **changes: Any) -> dict[str, Any]:
        """Change how it answers; what it was asked since the last change comes back."""
        url = f"http://{self.host}:{self.port}/control"
        method = "POST" if changes else "GET"
        found = httpx.request(method, url, json=changes or None, timeout=5, **PLAIN)
        return dict(found.json())


@dataclass
class Rig:
    """A running gateway; `services` by (product, variant)."""

    folder: Path
    upstreams: list[gateway.Upstream]
    services: dict[tuple[str, str], Service]
    limits: gateway.Limits
    port: int
    metrics_port: int
    states: dict[str, State] = field(default_factory=dict)
    token: str | None = TOKEN

    @property
    def admin(self) -> str:
        return str(self.folder / "admin.sock")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, *states: State) -> str:
        """Put routes into force for these states without waiting; their version."""
        self.states |= {state.product: state for state in states}
        config = gateway.routes(self.upstreams, self.states, operator_token=self.token, limits=self.limits)
        gateway.write(self.folder / "routes.json", config)
        return str(config["version_info"])

    def set(self, *states: State) -> None:
        """The same, and wait until the gateway has taken them over."""
        version = self.write(*states)
        wait_until(lambda: self.version() == version, SETTLE_SECONDS, lambda: f"routes {version} aren't in force")

    def version(self) -> str:
        """Version of the routes in force."""
        dump = json.loads(ask(self.admin, "GET", "/config_dump?resource=dynamic_route_configs"))
        return str(dump["configs"][0]["version_info"]) if dump["configs"] else ""

    def reset(self) -> None:
        """Every service well again and back in use, nobody compared."""
        for service in self.services.values():
            service.control(mode="ok", ready=True, seconds=0.0)
        self.set(*(State(product=up.product, production=1) for up in self.upstreams))
        wait_until(lambda: self.left_out() == [], SETTLE_SECONDS, lambda: f"still left out: {self.left_out()}")

    def left_out(self) -> list[str]:
        """Clusters of services that the gateway doesn't use now."""
        clusters = json.loads(ask(self.admin, "GET", "/clusters?format=json"))["cluster_statuses"]
        out = []
        for cluster in clusters:
            for host in cluster.get("host_statuses", ()):
                health = host["health_status"]
                if health.get("failed_active_health_check") or health.get("failed_outlier_check"):
                    out.append(cluster["name"])
        return out

    def statistic(self, name: str) -> int:
        """A counter or gauge of Envoy, 0 if it has none of that name."""
        found = json.loads(ask(self.admin, "GET", f"/stats?format=json&filter=^{name}$"))["stats"]
        return next((int(s["value"]) for s in found if s.get("name") == name), 0)

    def ask(self, path: str = PREDICT, user: str | None = "ann", method: str = "POST", **more: Any) -> httpx.Response:
        """One request on a connection of its own."""
        headers = {**({"x-user-id": user} if user else {}), **more.pop("headers", {})}
        if method == "POST" and "content" not in more:
            more["json"] = {"total_sqft": 1000}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=20, **PLAIN, **more)

    def served(self, users: Iterable[str], path: str = PREDICT) -> dict[str, tuple[int, str]]:
        """Status and serving service for each user, asked over a few connections."""
        everyone = list(users)
        with ThreadPoolExecutor(THREADS) as pool:
            parts = list(pool.map(lambda n: self.part(everyone[n::THREADS], path), range(THREADS)))
        return {user: answer for part in parts for user, answer in part}

    def counted(self, users: Iterable[str], path: str = PREDICT) -> Counter[tuple[int, str]]:
        """How many users got which status from which service."""
        return Counter(self.served(users, path).values())

    def part(self, users: list[str], path: str = PREDICT) -> list[tuple[str, tuple[int, str]]]:
        """The same, in order over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        found = []
        for user in users:
            connection.request("POST", path, b"{}", {"x-user-id": user, "content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            found.append((user, (answer.status, answer.headers.get("x-served-by", ""))))
        connection.close()
        return found

    def failures(self) -> list[dict[str, Any]]:
        """What the failure log holds."""
        file = self.folder / "failures.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def log(self) -> list[dict[str, Any]]:
        """The JSON lines on the gateway's standard output."""
        lines = (self.folder / "gateway.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def users(count: int, start: int = 1) -> list[str]:
    return [f"user-{n}" for n in range(start, start + count)]


def make_rig(folder: Path, products: int = 2, limits: gateway.Limits | None = None) -> Rig:
    """Everything but the processes: ports, upstreams, files."""
    names = [HOUSES, CARS, "flat_rents"][:products]
    services = {(name, variant): Service(free_port()) for name in names for variant in (PRODUCTION, CANDIDATE)}
    paths = [(PREDICT, f"{PREDICT}/batch", "/api/get_location_names"), ("/api/car",), ("/api/rent",)]
    upstreams = [
        gateway.Upstream(name, slot, paths[slot], services[name, PRODUCTION].port, services[name, CANDIDATE].port)
        for slot, name in enumerate(names)
    ]
    return Rig(
        folder, upstreams, services, limits or gateway.Limits(candidate_ejection=(2.0, 4.0)), free_port(), free_port()
    )


def write_bootstrap(rig: Rig, **more: Any) -> tuple[str, ...]:
    """The files of a gateway's start; the command to run."""
    config = gateway.bootstrap(
        rig.upstreams, host="127.0.0.1", port=rig.port, metrics_port=rig.metrics_port,
        admin_socket=Path(rig.admin), routes_file=rig.folder / "routes.json",
        failures_log=rig.folder / "failures.jsonl", limits=rig.limits, **more,
    )  # fmt: skip
    rig.write()
    gateway.write(rig.folder / "bootstrap.json", config)
    return gateway.command(ENVOY, rig.folder / "bootstrap.json")


@contextmanager
def running_gateway(rig: Rig, **more: Any) -> Iterator[Any]:
    """The gateway's process, from ready to ended."""

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{rig.metrics_port}/stats/prometheus", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with process(write_bootstrap(rig, **more), rig.folder / "gateway.log", ready) as running:
        yield running


@contextmanager
def running_rig(products: int = 2, limits: gateway.Limits | None = None, **more: Any) -> Iterator[Rig]:
    """A gateway and its services, all well. In a folder whose name is short enough for a socket."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
        rig = make_rig(folder, products, limits)
        for (_, variant), service in rig.services.items():
            stack.enter_context(upstream(variant, service.port, folder))
        stack.enter_context(running_gateway(rig, **more))
        rig.reset()
        yield rig


def mode(path: Path) -> int:
    """Permission bits of a file."""
    return os.stat(path).st_mode & 0o777
