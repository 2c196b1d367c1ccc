"""Makes the world agree with the ledger, again and again: gateway routes, phases, the registry's aliases.

Every step reads the newest decision and repairs what differs, so it may be killed anywhere and run twice at once.
Add here what must follow a decision by itself. Keep out decisions that rest on evidence (`looking`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx

from mlops_assets.rollout.ledger import Conflict, Ledger, LedgerError, State
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.registry import Registry
from mlops_assets.rollout.routing import Online, Router

ACTOR = "platform"
ASK_SECONDS = 1.0
# An alias that couldn't be moved, because MLflow was down, is tried again after this many steps.
ALIAS_STEPS = 20

log = logging.getLogger(__name__)


class Ask(Protocol):
    """Asks a service which release it holds: the body of GET /readyz."""

    def __call__(self, url: str) -> dict[str, Any]: ...


def ask_service(url: str) -> dict[str, Any]:
    """GET /readyz of a service; {} when it doesn't answer, with anything but its own record of itself."""
    try:
        told = httpx.get(f"{url}/readyz", timeout=ASK_SECONDS).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


class Controller:
    """One step looks at every product once. `routes_file` is what the gateway reads; None where it has its own host."""

    def __init__(
        self,
        ledger: Ledger,
        products: Sequence[Online],
        routes_file: Path | None,
        *,
        operator_token: str | None = None,
        registry: Registry | None = None,
        ask: Ask = ask_service,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._products = products
        self._router = routes_file and Router(ledger, products, routes_file, operator_token=operator_token)
        self._registry = registry
        self._ask = ask
        self._now = now
        self._aliases: dict[str, int] = {}
        self._steps = 0

    def step(self) -> None:
        """Agree with the newest decisions. Raises SQLAlchemyError when the ledger can't be read."""
        self._steps += 1
        states = {product.name: self._ledger.state(product.name) for product in self._products}
        if self._router:
            self._router.write(states)
        for product in self._products:
            state = states[product.name]
            try:
                self._move_on(product, state)
            except Conflict:
                continue  # somebody decided meanwhile; the next step sees what
            except LedgerError as error:
                log.warning("%s: %s", product.name, error)
            self._align(product.name, state)

    def _move_on(self, product: Online, state: State) -> None:
        if state.phase is Phase.SHADOW:
            self._begin(product, state)
        elif state.phase is Phase.PROMOTING:
            if _all_serve(self._told(product.production_urls), state.production):
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
        told = self._told(product.candidate_urls)
        if _all_serve(told, state.candidate):
            reason = f"release {state.candidate} is loaded beside production"
            steps = product.policy.steps
            self._ledger.begin(product.name, steps, actor=ACTOR, reason=reason, expected_seq=state.seq)
        elif self._hours(product, state) * 60 >= product.policy.load_minutes:
            why = next((one["failure"] for one in told if one.get("failure")), "its service doesn't say why")
            reason = f"release {state.candidate} wasn't loaded in {product.policy.load_minutes:g} minutes: {why}"
            self._ledger.rollback(product.name, actor=ACTOR, reason=reason[:500], expected_seq=state.seq)

    def _told(self, urls: Sequence[str]) -> list[dict[str, Any]]:
        """What the services say that answer. A host that is down holds up nothing: the gateway gives it nobody."""
        return [told for url in urls if (told := self._ask(url))]

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


def _all_serve(told: Sequence[dict[str, Any]], version: int | None) -> bool:
    return bool(told) and all(one.get("ready") and one.get("version") == version for one in told)
