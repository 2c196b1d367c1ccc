"""The notifier: reads what happened, decides what is told, delivers it; one step after the other, until it is stopped.

Every step goes on from what the database holds, so it may be killed anywhere and run twice at once. Add a stage here
when something has to happen between a fact and its message. Keep out the stages themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, TimeoutError

from mlops_assets.notifications import outbox
from mlops_assets.notifications.channels import Channel, ChannelError, load
from mlops_assets.notifications.clock import Clock, utc_now
from mlops_assets.notifications.collect import collect
from mlops_assets.notifications.deliver import Delivery
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Notice
from mlops_assets.notifications.outage import Outage
from mlops_assets.notifications.probes import Probe, Probes
from mlops_assets.notifications.sender import Send, Sender
from mlops_assets.notifications.telling import decide
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

POLL_SECONDS = 2.0
STOP_SECONDS = 5.0
# Longer than anything looks back for what it noted already.
KEPT = timedelta(days=90)
FORGET_EVERY = timedelta(hours=1)
# Faults of the connection, not of what was asked.
UNREACHABLE = (OperationalError, InterfaceError, TimeoutError)

log = logging.getLogger(__name__)


class Notifier:
    """Everything from a fact to its message, for one installation.

    The file of channels is read at each step: an edit counts at once, and a fault in it is told once in the log,
    while the channels from before are used.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        probes: Sequence[Probe] = (),
        *,
        send: Send | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._database = database
        self._links = Links.of(settings)
        self._now = now
        self._sender = Sender()
        self._probes = Probes(database, probes, now)
        self.delivery = Delivery(database, send or self._sender, now)
        self._channels: list[Channel] | None = None
        self._fault = ""
        self._forgot: datetime | None = None
        self._unreachable = False
        self._outage = Outage(self._tell_now, now)

    def step(self) -> None:
        """Collect, decide, deliver. Raises SQLAlchemyError when the database can't be reached."""
        self._probes.step()
        collect(self._database, self._links, self._now())
        channels = self._read_channels()
        if channels is None:
            return  # what is noted waits until it is known whom to tell
        self._forget()
        decide(self._database, channels, self._now(), self._settings.notify_cooldown_seconds)
        self.delivery.start(channels)

    def _forget(self) -> None:
        """Remove old notices, once an hour."""
        now = self._now()
        if self._forgot is None or now - self._forgot >= FORGET_EVERY:
            outbox.forget(self._database, now - KEPT)
            self._forgot = now

    def attempt(self) -> None:
        """One step, if the database can be reached; when it can't be for long, people are told past it."""
        try:
            self.step()
        except SQLAlchemyError as error:
            if not self._unreachable:
                log.warning("notices can't be read: %s; they wait", type(error).__name__)
            self._unreachable = True
            if isinstance(error, UNREACHABLE):
                self._outage.away(type(error).__name__)
            return
        if self._unreachable:
            log.info("notices can be read again")
            self._unreachable = False
            self._outage.back()

    def stop(self) -> None:
        """Let what is being sent finish for a moment, then end it: it waits for the next notifier."""
        self.delivery.wait(STOP_SECONDS)
        self._sender.stop()
        self.delivery.wait(STOP_SECONDS)
        self.delivery.stop()

    def _tell_now(self, notice: Notice) -> bool:
        """Send to every channel that wants it, past the database; whether any took it."""
        wanted = [channel for channel in self._read_channels() or [] if channel.wants(notice)]
        return self.delivery.send_now(wanted, notice)

    def _read_channels(self) -> list[Channel] | None:
        try:
            self._channels = load(self._settings)
            self._fault = ""
        except ChannelError as error:
            if str(error) != self._fault:
                log.error("%s", error)
            self._fault = str(error)
        return self._channels


def follow(notifier: Notifier, pause: Callable[[float], bool], poll_seconds: float = POLL_SECONDS) -> None:
    """Step until `pause(seconds)` returns True. A database that is down is told once and waited for."""
    while True:
        try:
            notifier.attempt()
        except Exception:  # a fault in one step must not end the following for good
            log.exception("a step of the notifier failed")
        if pause(poll_seconds):
            notifier.stop()
            return
