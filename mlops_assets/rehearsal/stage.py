"""`mlops traffic`: a rollout from its first users to its verdict, in minutes, with the real parts.

Only durations are compressed: the gateway splits, the services answer and log, the same look decides as every hour.
Keep out who plays (`people`), how (`player`), and what a look does (`rollout.looking`).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from mlops_assets.installation.first_release import train
from mlops_assets.installation.ports import answers
from mlops_assets.installation.report import Report
from mlops_assets.rehearsal.listings import listings
from mlops_assets.rehearsal.people import Crowd, People
from mlops_assets.rehearsal.player import Player, Tally
from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.ledger import Ledger, State
from mlops_assets.rollout.looking import look_once
from mlops_assets.rollout.phases import ACTIVE, MEANING
from mlops_assets.rollout.policy import LOOK_HOURS, SECONDS_PER_HOUR
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, LedgerEntry
from mlops_assets.storage.files import Storage
from mlops_assets.training.spec import Product

ACTOR = "traffic"
START_SECONDS = 60.0
SLOW_MS = 80.0
LEAST_LOOK_SECONDS = 2.0


class RehearsalError(RuntimeError):
    """Nothing can be played: nothing is served, or there is no candidate."""


@dataclass(frozen=True)
class Play:
    """How long at most, how many requests a second, and how many hours of the policy's time pass in one."""

    seconds: float = 300
    rate: float = 60
    speed: float = 1440


def play(settings: Settings, console: Console, product: Product, crowd: Crowd, how: Play) -> Evidence | None:
    """Play until the newest rollout has its verdict; the evidence of its last look."""
    if product.task == "anomaly":
        raise RehearsalError(f"{product.title}: nobody can be played who knows the actual values; there are none")
    if not answers(settings.places("gateway")[0], settings.ports.gateway):
        raise RehearsalError(f"the gateway doesn't answer at {settings.gateway_url}; run: mlops up")
    database = Database.connect(settings.database)
    ledger = Ledger(database)
    try:
        state = _candidate(settings, console, product, ledger)
        _introduce(console, settings, product, state, crowd, how)
        with _drill(settings, crowd, how):
            people = People(crowd, listings(product, state.production or 0, database, Storage(settings.storage)))
            return asyncio.run(_perform(settings, console, product, ledger, database, people, how))
    finally:
        database.dispose()


def _candidate(settings: Settings, console: Console, product: Product, ledger: Ledger) -> State:
    """The state with a candidate that has users; one is trained if there is none."""
    state = ledger.state(product.name)
    if state.production is None:
        raise RehearsalError(f"{product.title} serves nothing yet; run: mlops up")
    if state.paused:
        raise RehearsalError(f"{product.title} is paused; run: mlops rollout resume --reason …")
    if state.candidate is None or state.phase not in ACTIVE:
        train(settings, product, Report(console), "traffic", lambda: ledger.state(product.name).candidate is not None)
    give_up = time.monotonic() + START_SECONDS
    while not (state := ledger.state(product.name)).comparing:
        if time.monotonic() > give_up:
            raise RehearsalError(f"the candidate gets no users: {MEANING[state.phase]}; see: mlops logs controller")
        time.sleep(0.2)
    return state


def _introduce(console: Console, settings: Settings, product: Product, state: State, crowd: Crowd, how: Play) -> None:
    hours = how.speed / 3600
    console.print(
        f"[bold]{escape(product.title)}[/]: release {state.candidate} serves {state.candidate_share:.0%} of "
        f"{crowd.users} users beside release {state.production}. Played: the candidate is [bold]{crowd.truth}[/].",
        highlight=False,
    )
    console.print(
        f"{how.rate:g} requests/s through {settings.gateway_url}, one second counts as {hours * 60:.0f} minutes; "
        f"watch it at {settings.console_url}/rollouts",
        highlight=False,
    )


class _drill:  # noqa: N801 (reads as what it does)
    """The order that makes the real candidate service slow or failing, withdrawn at the end."""

    def __init__(self, settings: Settings, crowd: Crowd, how: Play) -> None:
        self._path = Path(settings.run_dir) / "drill.json"
        faults = {"slow": {"delay_ms": SLOW_MS}, "failing": {"fail_share": 1.0}}.get(crowd.truth)
        self._order = None
        if faults is not None:
            self._order = {"variant": "candidate", "until": time.time() + min(how.seconds + 30, 3000), **faults}

    def __enter__(self) -> None:
        if self._order is None:
            return
        fresh = self._path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(self._order, file)
        fresh.rename(self._path)

    def __exit__(self, *_: object) -> None:
        if self._order is not None:
            self._path.unlink(missing_ok=True)


async def _perform(
    settings: Settings,
    console: Console,
    product: Product,
    ledger: Ledger,
    database: Database,
    people: People,
    how: Play,
) -> Evidence | None:
    serving = product.serving
    if serving is None:
        raise RehearsalError(f"{product.title} isn't served over HTTP")
    prefix = f"{settings.gateway_url}/{product.name}"
    player = Player(prefix, serving.route, serving.answer, people, how.rate)
    policy = product.rollout.scaled(how.speed)
    pause = max(LEAST_LOOK_SECONDS, LOOK_HOURS * SECONDS_PER_HOUR / how.speed)
    stop = asyncio.Event()
    playing = asyncio.create_task(player.play(how.seconds, stop))
    began, newest = time.monotonic(), None
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while not playing.done():
            await asyncio.wait({playing}, timeout=pause)
            result = await asyncio.to_thread(
                look_once, ledger, database, product.name, policy, now=datetime.now(UTC), actor=ACTOR
            )
            state = await asyncio.to_thread(ledger.state, product.name)
            newest = await asyncio.to_thread(_newest_look, ledger, product.name, state)
            live.update(_picture(time.monotonic() - began, player.tally, state, newest), refresh=True)
            if result.evidence is None or not state.comparing:
                stop.set()
        await playing
    _conclude(console, settings, ledger, product, player.tally)
    return Evidence.from_json(newest.details["evidence"]) if newest is not None else None


def _newest_look(ledger: Ledger, product: str, state: State) -> LedgerEntry | None:
    looks = ledger.looks(product, state.rollout) if state.rollout is not None else []
    return looks[-1] if looks else None


def _picture(seconds: float, tally: Tally, state: State, newest: LedgerEntry | None) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", min_width=12)
    table.add_column()
    served = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.served.items()))
    table.add_row("played", f"{seconds:.0f} s, {tally.sent:,} requests: {served or 'none answered yet'}")
    failed = ", ".join(f"{name} {count:,}" for name, count in sorted((tally.failed + tally.feedback_failed).items()))
    table.add_row("users saw", f"[red]{failed}[/]" if failed else "[green]no failure[/]")
    table.add_row(
        "feedback", ", ".join(f"{name} {count:,}" for name, count in sorted(tally.feedback.items())) or "none"
    )
    table.add_row("phase", f"{state.phase}: {MEANING[state.phase]}")
    if newest is not None:
        evidence = Evidence.from_json(newest.details["evidence"])
        table.add_row("rating", _rating(evidence))
        table.add_row("guardrails", _guardrails(evidence))
        for place, reason in enumerate(newest.details["reasons"]):
            table.add_row(f"{newest.details['verdict']}" if place == 0 else "", escape(reason))
    return table


def _rating(evidence: Evidence) -> str:
    effect = evidence.effect
    if effect is None:
        return "too few ratings to compare"
    arms = f"production {evidence.production.mean_rating or 0:.2f}, candidate {evidence.candidate.mean_rating or 0:.2f}"
    return f"{arms}; difference {effect.theta:+.2f} ({effect.low:+.2f} to {effect.high:+.2f}), {effect.raters} raters"


def _guardrails(evidence: Evidence) -> str:
    shown = [
        f"[{'red' if g.tripped else 'green'}]{g.name} {g.e_value:.3g} of {g.limit:g}[/]" for g in evidence.guardrails
    ]
    return ", ".join(shown) or "nothing to judge yet"


def _conclude(console: Console, settings: Settings, ledger: Ledger, product: Product, tally: Tally) -> None:
    state = ledger.state(product.name)
    newest = ledger.history(product.name, 1)[0]
    console.print(f"\n[bold]{newest.event}[/]: {escape(newest.reason)}", highlight=False)
    console.print(
        f"production is release {state.production}, phase {state.phase}; users saw {tally.failures} failures in "
        f"{tally.sent:,} requests",
        highlight=False,
    )
    console.print(
        "[dim]mlops rollout status · mlops rollout replay · the page: " + f"{settings.console_url}/rollouts[/]"
    )
