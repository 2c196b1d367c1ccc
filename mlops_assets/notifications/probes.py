"""Asks services whether they are well; a notice when one doesn't answer several times, another when it does again.

What was seen is kept, so a notifier that starts again repeats nothing. Keep out which services there are: the
installation knows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from mlops_assets.notifications import outbox
from mlops_assets.notifications.clock import Clock
from mlops_assets.notifications.notice import Kind, Notice, moment, severity_of, titled
from mlops_assets.notifications.tables import PROBE
from mlops_assets.storage.database import Database

ASK_SECONDS = 2.0
EVERY_SECONDS = 10.0
FAILURES = 3
SUCCESSES = 2
# Services that start together with the notifier may take this long before their silence counts.
GRACE_SECONDS = 120.0
MOST_THREADS = 8


@dataclass(frozen=True)
class Probe:
    """A service. `url` is http(s)://…, well when it answers with less than 400, or tcp://host:port."""

    name: str
    title: str
    url: str


@dataclass(frozen=True)
class Health:
    """What is known of a service: `healthy` as people were told; failures and successes in a row."""

    name: str
    asked_at: datetime
    healthy: bool = True
    failures: int = 0
    successes: int = 0
    down_since: datetime | None = None


# None if the service at an address is well, else what was seen, in words.
Ask = Callable[[str], str | None]


class Asker:
    """Asks over HTTP or TCP. Each time anew, for a kept connection may have ended with the service's last process."""

    def __init__(self) -> None:
        self._client = httpx.Client(
            timeout=ASK_SECONDS, limits=httpx.Limits(max_keepalive_connections=0), trust_env=False
        )

    def __call__(self, url: str) -> str | None:
        parts = urlsplit(url)
        try:
            if parts.scheme == "tcp":
                with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=ASK_SECONDS):
                    return None
            answer = self._client.get(url)
        except httpx.TimeoutException:
            return f"no answer within {ASK_SECONDS:g} s"
        except (httpx.HTTPError, OSError) as error:
            return str(error) or type(error).__name__
        return None if answer.status_code < 400 else f"HTTP {answer.status_code}"


def observe(before: Health, probe: Probe, seen: str | None, now: datetime) -> tuple[Health, Notice | None]:
    """What is known after one more answer (`seen` None: well), and what people should hear of it."""
    if seen is None:
        after = replace(before, asked_at=now, failures=0, successes=before.successes + 1)
        if before.healthy:
            return replace(after, down_since=None), None
        if after.successes < SUCCESSES:
            return after, None
        return replace(after, healthy=True, down_since=None), _recovered(probe, before.down_since or now, now)
    after = replace(
        before, asked_at=now, failures=before.failures + 1, successes=0, down_since=before.down_since or now
    )
    if not before.healthy or after.failures < FAILURES:
        return after, None
    return replace(after, healthy=False), _unhealthy(probe, seen, after.down_since or now, now)


def _unhealthy(probe: Probe, seen: str, since: datetime, now: datetime) -> Notice:
    return Notice(
        kind=Kind.UNHEALTHY,
        product=None,
        subject=probe.name,
        severity=severity_of(Kind.UNHEALTHY),
        title=titled(None, f"{probe.title} is unhealthy"),
        body=f"{probe.url}: {seen}.\nAsked {FAILURES} times since {moment(since)}.\nmlops logs {probe.name} says more.",
        link=None,
        key=f"{Kind.UNHEALTHY}:{probe.name}:{since.isoformat()}",
        group=f"{Kind.UNHEALTHY}:{probe.name}",
        at=now,
    )


def _recovered(probe: Probe, since: datetime, now: datetime) -> Notice:
    minutes = (now - since).total_seconds() / 60
    return Notice(
        kind=Kind.RECOVERED,
        product=None,
        subject=probe.name,
        severity=severity_of(Kind.RECOVERED),
        title=titled(None, f"{probe.title} is well again"),
        body=f"{probe.url} answers again, after {minutes:.0f} min.",
        link=None,
        key=f"{Kind.RECOVERED}:{probe.name}:{since.isoformat()}",
        group=f"{Kind.RECOVERED}:{probe.name}",
        at=now,
    )


class Probes:
    """The services of an installation, each asked every 10 s. Several at once, anywhere, share the asking."""

    def __init__(self, database: Database, probes: Sequence[Probe], now: Clock, ask: Ask | None = None) -> None:
        self._database = database
        self._probes = {probe.name: probe for probe in probes}
        self._now = now
        self._ask = ask or Asker()
        self._began = now()
        self._seen_well: set[str] = set()

    def step(self) -> None:
        """Ask those whose turn it is and note what people should hear. Raises SQLAlchemyError."""
        due = self._due()
        if not due:
            return
        with ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="probe") as pool:
            seen = dict(zip(due, pool.map(lambda name: self._ask(self._probes[name].url), due), strict=True))
        self._seen_well |= {name for name, said in seen.items() if said is None}
        grace = self._now() - self._began < timedelta(seconds=GRACE_SECONDS)
        counted = {name: said for name, said in seen.items() if not grace or name in self._seen_well}
        with self._database.session() as session, session.begin():
            outbox.lock(session)
            kept = {row.name: Health(**row._mapping) for row in session.execute(select(PROBE))}
            now = self._now()
            for name, said in counted.items():
                before = kept.get(name, Health(name, now - timedelta(seconds=EVERY_SECONDS)))
                if not _turn(before, now):
                    continue
                after, notice = observe(before, self._probes[name], said, now)
                values = asdict(after)
                changed = insert(PROBE).values(values).on_conflict_do_update(index_elements=["name"], set_=values)
                session.execute(changed)
                outbox.add(session, [notice] if notice else [], now)

    def _due(self) -> list[str]:
        now = self._now()
        with self._database.session() as session:
            kept = {row.name: Health(**row._mapping) for row in session.execute(select(PROBE))}
        return [name for name in self._probes if name not in kept or _turn(kept[name], now)]


def _turn(health: Health, now: datetime) -> bool:
    return now - health.asked_at >= timedelta(seconds=EVERY_SECONDS)
