"""The one outage that no notice can be kept of: the database's own. It is told directly, from memory, once.

Keep out everything that can wait in the database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mlops_assets.notifications.clock import Clock
from mlops_assets.notifications.notice import Kind, Notice, moment, severity_of, titled

# A database that is started again is back sooner.
PATIENCE_SECONDS = 60.0

Tell = Callable[[Notice], bool]


class Outage:
    """Follows whether the database answers. `tell` sends at once and returns whether anybody took it."""

    def __init__(self, tell: Tell, now: Clock) -> None:
        self._tell = tell
        self._now = now
        self._since: datetime | None = None
        self._next_try: datetime | None = None
        self._told = False

    def away(self, error: str) -> None:
        """It didn't answer; `error` names the fault without its text, which may hold a password."""
        now = self._now()
        if self._since is None:
            self._since, self._next_try = now, now + timedelta(seconds=PATIENCE_SECONDS)
        if self._told or self._next_try is None or now < self._next_try:
            return
        self._next_try = now + timedelta(seconds=PATIENCE_SECONDS)
        body = f"No answer since {moment(self._since)}: {error}.\nUntil it is back, nothing else is told."
        self._told = self._tell(_notice(Kind.UNHEALTHY, "the database is unhealthy", body, self._since, now))

    def back(self) -> None:
        """It answered."""
        if self._told and self._since is not None:
            now = self._now()
            minutes = (now - self._since).total_seconds() / 60
            body = f"It answers again, after {minutes:.0f} min; what happened meanwhile follows."
            self._tell(_notice(Kind.RECOVERED, "the database is well again", body, self._since, now))
        self._since, self._next_try, self._told = None, None, False


def _notice(kind: Kind, words: str, body: str, since: datetime, now: datetime) -> Notice:
    return Notice(
        kind=kind,
        product=None,
        subject="database",
        severity=severity_of(kind),
        title=titled(None, words),
        body=body,
        link=None,
        key=f"{kind}:database:{since.isoformat()}",
        group=f"{kind}:database",
        at=now,
    )
