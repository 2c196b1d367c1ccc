"""Faults by order, to show what a rollout does about a bad candidate: delays and failures that end by themselves.

Add a kind of fault here when a demonstration needs it. Keep out real faults. An order is a JSON file that an
operator writes; only answers labelled candidate obey it, so production can't be harmed by one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LONGEST_SECONDS = 3600.0
MAX_FILE_BYTES = 4096

log = logging.getLogger(__name__)


class DrillError(RuntimeError):
    """A failure that was ordered."""


class Order(BaseModel):
    """What the file holds: until when (epoch seconds), the delay of each answer and the share that fails."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    variant: Literal["candidate"]
    until: float
    delay_ms: float = Field(default=0, ge=0, le=60_000)
    fail_share: float = Field(default=0, ge=0, le=1)


class Drill:
    """The order in one file, or none. `poll` is called by a thread, the rest by requests."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._problem: str | None = None
        self.order: Order | None = None

    def poll(self) -> None:
        """Take up a new order, and drop one that was withdrawn or is over. Never raises for a bad file."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
        except OSError:
            self._seen = self.order = self._problem = None
            return
        if (status.st_mtime_ns, status.st_size) != self._seen:
            self._seen = (status.st_mtime_ns, status.st_size)
            self._read(status.st_mtime)
        order = self.order
        if order is not None and self._clock() >= order.until:
            self.order = None
            log.info("the drill is over")

    def _read(self, written: float) -> None:
        self.order = self._problem = None
        try:
            with (self._path or Path()).open("rb") as file:
                order = Order.model_validate_json(file.read(MAX_FILE_BYTES))
        except OSError as error:
            self._refuse(error.strerror or "it can't be read")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            self._refuse(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}")
        else:
            if order.until > written + LONGEST_SECONDS:
                self._refuse(f"until: more than {LONGEST_SECONDS:.0f} s after the order was written")
            elif order.until > self._clock():
                self.order = order
                log.warning("drill: delay %g ms, share failing %g", order.delay_ms, order.fail_share)

    def _refuse(self, reason: str) -> None:
        self._problem = reason
        log.warning("the drill file is not obeyed: %s", reason)

    async def obey(self, label: str) -> None:
        """Sleep and fail as ordered, if an answer of this label must. Raises DrillError."""
        order = self.order
        if order is None or label != order.variant or self._clock() >= order.until:
            return
        if order.delay_ms:
            await asyncio.sleep(order.delay_ms / 1e3)
        if random.random() < order.fail_share:  # noqa: S311
            raise DrillError("this failure was ordered: a drill")

    def told(self, label: str) -> dict[str, Any] | None:
        """What health says: the order, whether this service obeys it, or why the file is refused."""
        order = self.order
        if order is not None:
            return {**order.model_dump(), "obeyed": label == order.variant and self._clock() < order.until}
        return {"problem": self._problem} if self._problem else None
