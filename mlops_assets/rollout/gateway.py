"""The gateway: one address in front of every online product, the real Envoy proxy configured from what we declare.

The order at a start: `write` the routes, then the bootstrap, then run `command`; Envoy refuses to start without the
routes file. Later only the routes are written again; Envoy sees the new file at once. Add here what others need of
the gateway. Keep out the configuration itself (`envoy`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_assets.rollout.envoy.bootstrap import bootstrap_config
from mlops_assets.rollout.envoy.door import Door
from mlops_assets.rollout.envoy.process import ask
from mlops_assets.rollout.envoy.routes import route_response
from mlops_assets.rollout.envoy.tracing import Tracing
from mlops_assets.rollout.envoy.upstreams import Config, Limits, Upstream
from mlops_assets.rollout.state import State

__all__ = ["Door", "Limits", "Tracing", "Upstream", "bootstrap", "command", "reopen_logs", "routes", "write"]


def bootstrap(
    upstreams: Sequence[Upstream],
    *,
    host: str,
    port: int,
    metrics_port: int,
    admin_socket: Path,
    routes_file: Path,
    failures_log: Path,
    limits: Limits | None = None,
    every_request: bool = False,
    tracing: Tracing | None = None,
    door: Door | None = None,
) -> Config:
    """What Envoy is started with. `every_request` logs each one, not only what failed or was slow.

    Without `tracing` no trace is sent anywhere; without `door` there is no listener for people.

    Raises:
        ValueError: two products share a name, slot or path, or one hides a page.
    """
    return bootstrap_config(
        upstreams,
        host=host,
        port=port,
        metrics_port=metrics_port,
        admin_socket=admin_socket,
        routes_file=routes_file,
        failures_log=failures_log,
        limits=limits or Limits(),
        every_request=every_request,
        tracing=tracing,
        door=door,
    )


def routes(
    upstreams: Sequence[Upstream],
    states: Mapping[str, State],
    *,
    operator_token: str | None,
    limits: Limits | None = None,
) -> Config:
    """Who goes where, by the ledger's states; a product without one is served by its production service.

    Raises:
        ValueError: as `bootstrap`.
    """
    return route_response(upstreams, states, operator_token=operator_token, limits=limits or Limits())


def write(path: Path, config: Config) -> bool:
    """Write a configuration whole or not at all, readable by its owner only; False when nothing changed.

    The file is renamed into place, which is what Envoy watches for.
    """
    text = json.dumps(config, sort_keys=True, indent=1).encode()
    try:
        if path.read_bytes() == text:
            return False
    except FileNotFoundError:
        pass
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
    fresh.rename(path)
    return True


def command(envoy: Path, bootstrap_file: Path, *, concurrency: int = 1) -> tuple[str, ...]:
    """The program to run. It stops gracefully on SIGTERM within `process.DRAIN_SECONDS`."""
    return (
        *(sys.executable, "-m", "mlops_assets.rollout.envoy.process", str(bootstrap_file), "--"),
        *(str(envoy), "-c", str(bootstrap_file), "--concurrency", str(concurrency), "--disable-hot-restart"),
        *("--log-level", "warning", "--file-flush-interval-msec", "200"),
    )


def reopen_logs(admin_socket: Path) -> None:
    """Make a running gateway go on in a new failure log, after the present one was renamed. No line is lost.

    Raises:
        OSError: its admin interface doesn't answer.
    """
    ask(str(admin_socket), "POST", "/reopen_logs")
