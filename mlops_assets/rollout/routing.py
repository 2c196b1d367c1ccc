"""Keeps the gateway's routes as the ledger has them: the one thing a gateway's host does by itself.

Add here what the gateway must be told when a decision was made. Keep out what else follows a decision
(`controller`) and what the routes say (`envoy.routes`).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.rollout import gateway
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.policy import RolloutPolicy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Online:
    """A product that is served: where its services are and how its rollouts go."""

    name: str
    policy: RolloutPolicy
    upstream: Upstream

    @property
    def production_urls(self) -> tuple[str, ...]:
        """Its production service on each serving host."""
        return tuple(f"http://{place}:{self.upstream.production_port}" for place in self._places())

    @property
    def candidate_urls(self) -> tuple[str, ...]:
        """Its candidate's service on each serving host."""
        return tuple(f"http://{place}:{self.upstream.candidate_port}" for place in self._places())

    def _places(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found for name in self.upstream.addresses for found in addresses_of(name)))


def addresses_of(name: str) -> list[str]:
    """Every IPv4 address of a host; of a name that isn't known now, the name itself, at which nobody answers."""
    try:
        found = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return [name]
    return sorted({str(entry[4][0]) for entry in found})


class Router:
    """One step writes the routes that the ledger asks for now, if they aren't those of the file."""

    def __init__(
        self, ledger: Ledger, products: Sequence[Online], routes_file: Path, *, operator_token: str | None = None
    ) -> None:
        self._ledger = ledger
        self._products = products
        self._routes_file = routes_file
        self._token = operator_token

    def step(self) -> None:
        """Agree with the newest decisions. Raises SQLAlchemyError when the ledger can't be read."""
        self.write({product.name: self._ledger.state(product.name) for product in self._products})

    def write(self, states: Mapping[str, State]) -> None:
        """Give the gateway the shares of these states."""
        upstreams = [product.upstream for product in self._products]
        if gateway.write(self._routes_file, gateway.routes(upstreams, states, operator_token=self._token)):
            log.info("gateway: %s", "; ".join(_told(state) for state in states.values()))


def follow(step: Callable[[], None], pause: Callable[[float], bool], poll_seconds: float = 0.5) -> None:
    """Step until `pause(seconds)` returns True. A database that is down is told once and waited for."""
    unreachable = False
    while True:
        try:
            step()
            if unreachable:
                log.info("the ledger can be read again")
            unreachable = False
        except SQLAlchemyError as error:
            if not unreachable:
                log.warning("the ledger can't be read: %s; what is routed stays", type(error).__name__)
            unreachable = True
        except Exception:  # a fault in one step must not end the following for good
            log.exception("a step failed")
        if pause(poll_seconds):
            return


def _told(state: State) -> str:
    split = f", {state.candidate_share:.0%} to candidate {state.candidate}" if state.comparing else ""
    return f"{state.product} production {state.production}{split}"
