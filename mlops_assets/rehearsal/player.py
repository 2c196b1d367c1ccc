"""Sends what people ask and think through the real gateway, at a steady rate, and counts what came back.

Keep out who asks what (`people`) and what is shown of it (`stage`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from mlops_assets.rehearsal.people import People

CALL_SECONDS = 10.0
MOST_AT_ONCE = 64


@dataclass
class Tally:
    """What users saw so far. `served` counts answers by the variant that gave them, `failed` by what was wrong."""

    sent: int = 0
    served: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    feedback: Counter[str] = field(default_factory=Counter)
    feedback_failed: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0

    @property
    def failures(self) -> int:
        return self.failed.total() + self.feedback_failed.total()


class Player:
    """Plays `people` against `url`, `rate` requests a second. `play` returns at `stop` or after `seconds`."""

    def __init__(self, url: str, route: str, answer: str, people: People, rate: float) -> None:
        self._url = url
        self._route = route
        self._answer = answer
        self._people = people
        self._rate = rate
        self.tally = Tally()

    async def play(self, seconds: float, stop: asyncio.Event) -> None:
        """Send requests at their times, late ones at once, so that a slow service doesn't lower the rate."""
        limits = httpx.Limits(max_connections=MOST_AT_ONCE, max_keepalive_connections=MOST_AT_ONCE)
        began, sent = time.monotonic(), 0
        tasks: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(base_url=self._url, timeout=CALL_SECONDS, limits=limits) as client:
            while not stop.is_set() and (elapsed := time.monotonic() - began) < seconds:
                due = int(elapsed * self._rate) + 1
                while sent < due and len(tasks) < MOST_AT_ONCE * 4:
                    task = asyncio.create_task(self._visit(client))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    sent += 1
                await asyncio.sleep(min(0.02, 1 / self._rate))
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _visit(self, client: httpx.AsyncClient) -> None:
        """One user asks once, and perhaps says what they think of the answer."""
        user = self._people.user()
        body, actual = self._people.question()
        headers = {"x-user-id": user}
        began = time.monotonic()
        self.tally.sent += 1
        try:
            answered = await client.post(f"/api/{self._route}", json=body, headers=headers)
        except httpx.HTTPError as error:
            self.tally.failed[type(error).__name__] += 1
            return
        self.tally.slowest_ms = max(self.tally.slowest_ms, 1e3 * (time.monotonic() - began))
        if answered.status_code != 200:
            self.tally.failed[f"HTTP {answered.status_code}"] += 1
            return
        answer: dict[str, Any] = answered.json()
        self.tally.served[str(answer["variant"])] += 1
        if self._people.rates(user):
            await self._say(client, headers, answer, "rating", self._people.rating(user, answer))
        if isinstance(actual, int | float) and self._people.tells_price():
            await self._say(client, headers, answer, "actual_price", float(actual))
            estimate = answer.get(self._answer)
            if isinstance(estimate, int | float):
                await self._say(client, headers, answer, self._people.opinion(estimate, float(actual)), None)

    async def _say(
        self, client: httpx.AsyncClient, headers: dict[str, str], answer: dict[str, Any], kind: str, value: float | None
    ) -> None:
        body: dict[str, Any] = {"prediction_id": answer["prediction_id"], "feedback_type": kind}
        if value is not None:
            body["feedback_value"] = value
        try:
            told = await client.post("/api/feedback", json=body, headers=headers)
        except httpx.HTTPError as error:
            self.tally.feedback_failed[type(error).__name__] += 1
            return
        if told.status_code == 200:
            self.tally.feedback[kind] += 1
        else:
            self.tally.feedback_failed[f"HTTP {told.status_code}"] += 1
