"""How often a caller may ask: a bucket of tokens for each, in the memory of one process.

Keep out who the caller is. Ids are of callers that have proved who they are, so there are never more of them than
issued tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class RateLimit:
    """`burst` requests at once, and `per_second` in the long run.

    A bucket is kept as the moment at which it is full again, which is all there is to know of it.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second
        self._depth = burst * self._interval
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._lock = Lock()

    def wait_seconds(self, caller: str) -> float:
        """0 if the caller may ask now, which is counted; else how long it has to wait, which isn't."""
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(caller, now), now) + self._interval
            wait = full_at - now - self._depth
            # Sums of intervals aren't exact.
            if wait > self._interval * 1e-6:
                return wait
            self._full_at[caller] = full_at
            return 0.0
