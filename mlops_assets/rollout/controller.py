"""Makes the world agree with the ledger, again and again: gateway routes, phases, the registry's aliases.

Every step reads the newest decision and repairs what differs, so it may be killed anywhere and run twice at once.
Add here what must follow a decision by itself. Keep out decisions that rest on evidence (`looking`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.rollout import gateway
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.ledger import Conflict, Ledger, LedgerError, State
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.registry import Registry

ACTOR = "platform"
ASK_SECONDS = 1.0
# An alias that couldn't be moved, because MLflow was down, is tried again after this many steps.
ALIAS_STEPS = 20

log = logging.getLogger(__name__)


class Ask(Protocol):
    """Asks a service which release it holds: the body of GET /readyz."""

    def __call__(self, url: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Online:
    """A product that is served: where its services are and how its rollouts go."""

    name: str
    policy: RolloutPolicy
    upstream: Upstream
    host: str = "127.0.0.1"

    @property
    def production_url(self) -> str:
        return f"http://{self.host}:{self.upstream.production_port}"

    @property
    def candidate_url(self) -> str:
        return f"http://{self.host}:{self.upstream.candidate_port}"


def ask_service(url: str) -> dict[str, Any]:
    """GET /readyz of a service; {} when it doesn't answer, with anything but its own record of itself."""
    try:
        told = httpx.get(f"{url}/readyz", timeout=ASK_SECONDS).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


class Controller:
    """One step looks at every product once. `routes_file` is what the gateway reads."""

    def __init__(
        self,
        ledger: Ledger,
        products: Sequence[Online],
        routes_file: Path,
        *,
        operator_token: str | None = None,
        registry: Registry | None = None,
        ask: Ask = ask_service,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._products = products
        self._routes_file = routes_file
        self._token = operator_token
        self._registry = registry
        self._ask = ask
        self._now = now
        self._aliases: dict[str, int] = {}
        self._steps = 0

    def step(self) -> None:
        """Agree with the newest decisions. Raises SQLAlchemyError when the ledger can't be read."""
        self._steps += 1
        states = {product.name: self._ledger.state(product.name) for product in self._products}
        self.write_routes(states)
        for product in self._products:
            state = states[product.name]
            try:
                self._move_on(product, state)
            except Conflict:
                continue  # somebody decided meanwhile; the next step sees what
            except LedgerError as error:
                log.warning("%s: %s", product.name, error)
            self._align(product.name, state)

    def write_routes(self, states: Mapping[str, State]) -> None:
        """Give the gateway the shares of these states."""
        upstreams = [product.upstream for product in self._products]
        if gateway.write(self._routes_file, gateway.routes(upstreams, states, operator_token=self._token)):
            log.info("gateway: %s", "; ".join(_told(state) for state in states.values()))

    def _move_on(self, product: Online, state: State) -> None:
        if state.phase is Phase.SHADOW:
            self._begin(product, state)
        elif state.phase is Phase.PROMOTING:
            if self._serves(product.production_url, state.production):
                self._ledger.watch(
                    product.name, actor=ACTOR, reason=f"release {state.production} serves", expected_seq=state.seq
                )
        elif state.phase is Phase.WATCH and self._hours(product, state) >= product.policy.watch_hours:
            reason = f"{product.policy.watch_hours:g} hours without a rollback"
            self._ledger.settle(product.name, actor=ACTOR, reason=reason, expected_seq=state.seq)

    def _begin(self, product: Online, state: State) -> None:
        """Give users to a candidate that is loaded; withdraw one that can't be."""
        if state.paused:
            return
        told = self._ask(product.candidate_url)
        if told.get("ready") and told.get("version") == state.candidate:
            reason = f"release {state.candidate} is loaded beside production"
            steps = product.policy.steps
            self._ledger.begin(product.name, steps, actor=ACTOR, reason=reason, expected_seq=state.seq)
        elif self._hours(product, state) * 60 >= product.policy.load_minutes:
            why = told.get("failure") or "its service doesn't say why"
            reason = f"release {state.candidate} wasn't loaded in {product.policy.load_minutes:g} minutes: {why}"
            self._ledger.rollback(product.name, actor=ACTOR, reason=reason[:500], expected_seq=state.seq)

    def _serves(self, url: str, version: int | None) -> bool:
        told = self._ask(url)
        return bool(told.get("ready")) and told.get("version") == version

    def _hours(self, product: Online, state: State) -> float:
        """Hours of the policy's time since the phase began."""
        since = state.phase_at or self._now()
        return product.policy.hours((self._now() - since).total_seconds())

    def _align(self, product: str, state: State) -> None:
        """Move the registry's aliases after a decision; an MLflow that is down is asked again later."""
        if self._registry is None or state.production is None or self._aliases.get(product) == state.seq:
            return
        tried = f"{product} failed"
        if self._aliases.get(tried) == state.seq and self._steps % ALIAS_STEPS:
            return
        try:
            self._aliases[product] = self._registry.align(self._ledger, product).seq
        except httpx.HTTPError as error:
            self._aliases[tried] = state.seq
            log.warning("%s: the registry's aliases are not moved yet: %s", product, error)


def follow(controller: Controller, pause: Callable[[float], bool], poll_seconds: float = 0.5) -> None:
    """Step until `pause(seconds)` returns True. A database that is down is told once and waited for."""
    unreachable = False
    while True:
        try:
            controller.step()
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
