"""Keeps the served model equal to the role in the ledger: one thread, one step a poll.

Add here how a change of role is answered. Keep out how roles are read (`roles`) and releases opened
(`model_store`). A release that fails to load leaves the old one serving; it is tried again with growing
pauses, and told once. A decision that changes only the label of what serves loads nothing.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from inference.metrics import Metrics
from inference.model import Model
from inference.release import ReleaseError
from inference.roles import Label, Role, RoleReader, RolesError
from inference.served import Served, Serving

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_RECONNECT_SECONDS = 2.0

log = logging.getLogger(__name__)


class Store(Protocol):
    """The part of ModelStore that following needs."""

    def open(self, role: Role) -> Model: ...

    def remember(self, role: Role | None) -> None: ...

    def reopen(self) -> tuple[Role, Model] | None: ...


class Follower:
    """Follows one role. `start` runs `step` in a daemon thread until `stop`."""

    def __init__(
        self,
        reader: RoleReader,
        store: Store,
        served: Served,
        metrics: Metrics,
        *,
        poll_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._store = store
        self._served = served
        self._metrics = metrics
        self._poll = poll_seconds
        self._clock = clock
        self._role: Role | None = None
        self._restored = False
        self._remembered = True
        self._failed: Role | None = None
        self._failures = 0
        self._try_again = 0.0
        self._unreachable = 0
        self._stopped = threading.Event()
        self._stepped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow, off the event loop."""
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 3.0) -> None:
        """Stop following; returns when the thread ended or after `timeout` seconds."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def wait(self, timeout: float) -> bool:
        """Wait until the first step is done, at most `timeout` seconds; False if it isn't."""
        return self._stepped.wait(timeout)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.step()
            except Exception:  # a fault of ours must not end the following for good
                log.exception("a step of following the ledger failed")
            self._stepped.set()
            self._stopped.wait(self._pause())
        self._reader.close()

    def _pause(self) -> float:
        pause = min(LONGEST_RECONNECT_SECONDS, self._poll * 2 ** min(self._unreachable, 10))
        return max(pause, self._poll) * random.uniform(0.9, 1.1)  # noqa: S311

    def step(self) -> None:
        """Read the role once and make the served model agree with it, if it can be done now."""
        if not self._remembered:
            self._remember(self._role)
        try:
            role = self._reader.current()
        except RolesError as error:
            self._cut_off(str(error))
            return
        if self._unreachable:
            log.info("the ledger can be read again")
        self._unreachable = 0
        self._served.database, self._served.database_failure = "ok", None
        if role is None:
            self._retire()
        elif self._role is not None and _same(role, self._role):
            self._served.failure = self._failed = None
            self._relabel(role)
        elif self._failed is None or not _same(role, self._failed):
            self._failures = 0
            self._swap(role)
        elif self._clock() >= self._try_again:
            self._swap(role)
        else:
            self._relabel(role)

    def _cut_off(self, reason: str) -> None:
        self._unreachable += 1
        self._served.database = "unreachable"
        if reason != self._served.database_failure:
            self._served.database_failure = reason
            log.warning("%s; what serves now goes on serving", reason)
        if self._served.current is None and not self._restored:
            self._restore()

    def _restore(self) -> None:
        self._restored = True
        try:
            found = self._store.reopen()
        except ReleaseError as error:
            self._served.failure = f"the local copy of the last release: {error}"
            log.error("%s", self._served.failure)
            return
        if found is not None:
            role, model = found
            self._serve(role, Serving(model, role.label))
            log.info("release %d serves as %s from its local copy", role.version, role.label)

    def _retire(self) -> None:
        self._failed = self._served.failure = None
        if self._role is None:
            return
        log.info("release %d is withdrawn: this variant has no role now", self._role.version)
        self._role = self._served.current = None
        self._metrics.serving(None)
        self._remember(None)

    def _serve(self, role: Role, serving: Serving) -> None:
        self._role, self._served.current = role, serving
        self._metrics.serving(serving.model.version)

    def _relabel(self, role: Role) -> None:
        """Give what serves now the label that the newest decision gives its release, without loading it again."""
        now, held = self._served.current, self._role
        if now is None or held is None:
            return
        label: Label = role.label_of(held.version)
        if label == now.label:
            return
        held = Role(held.version, held.uri, role.production, role.candidate, role.since)
        self._serve(held, Serving(now.model, label))
        log.info("release %d serves as %s now", held.version, label)
        self._remember(held)

    def _swap(self, role: Role) -> None:
        began = self._clock()
        try:
            model = self._store.open(role)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is told and the old one serves on)
            self._note_failure(role, error)
            self._relabel(role)
            return
        self._serve(role, Serving(model, role.label))
        self._failed = self._served.failure = None
        self._metrics.swapped("ok")
        took = 1e3 * (self._clock() - began)
        log.info("release %d serves as %s, %.0f ms after its role was seen", role.version, role.label, took)
        self._remember(role)

    def _remember(self, role: Role | None) -> None:
        """Write down what serves, for a start without database; what can't be written now is tried again."""
        try:
            self._store.remember(role)
        except (RuntimeError, OSError) as error:
            if self._remembered:
                log.warning("a restart without database would not find this state: %s", error)
            self._remembered = False
        else:
            self._remembered = True

    def _note_failure(self, role: Role, error: Exception) -> None:
        reason = f"release {role.version} can't serve: {error}"
        if reason != self._served.failure:
            known = isinstance(error, RuntimeError | OSError)
            log.error("%s; the old one goes on serving", reason, exc_info=None if known else error)
        self._served.failure, self._failed = reason, role
        self._metrics.swapped("failed")
        self._failures += 1
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10))
        self._try_again = self._clock() + pause


def _same(one: Role, other: Role) -> bool:
    return (one.version, one.uri) == (other.version, other.uri)
