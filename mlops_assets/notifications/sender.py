"""Hands one message to one channel, within a time limit, whatever the service behind it does.

Keep out retries and what is sent (`deliver`), and apprise itself (`apprise_process`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.message import Message
from mlops_assets.notifications.notice import one_line
from mlops_assets.settings import PROJECT

SEND_SECONDS = 30.0
LONGEST_ERROR = 300
COMMAND = (sys.executable, "-m", "mlops_assets.notifications.apprise_process")


@dataclass(frozen=True)
class Outcome:
    """Whether a message was taken; if not, why, without secrets. `stopped`: the channel isn't to blame."""

    sent: bool
    error: str = ""
    stopped: bool = False


STOPPED = Outcome(False, "the notifier was stopped", stopped=True)


class Send(Protocol):
    """Sends a message; never raises."""

    def __call__(self, channel: Channel, message: Message) -> Outcome: ...


class Sender:
    """Sends with a process for each message. `stop` ends those at work; what they sent counts as not sent."""

    def __init__(self, seconds: float = SEND_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __call__(self, channel: Channel, message: Message) -> Outcome:
        return self._ask(channel, {"url": channel.url, **asdict(message)})

    def check(self, channel: Channel) -> Outcome:
        """Whether apprise can use the address; sends nothing."""
        return self._ask(channel, {"url": channel.url, "check": True})

    def stop(self) -> None:
        """End every process at work and start no other."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def _ask(self, channel: Channel, request: dict[str, Any]) -> Outcome:
        with self._lock:
            if self._stopped:
                return STOPPED
            process = subprocess.Popen(
                COMMAND,
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._running.add(process)
        try:
            answer, _ = process.communicate(json.dumps(request).encode(), timeout=self._seconds)
        except subprocess.TimeoutExpired:
            return Outcome(False, f"no answer within {self._seconds:g} s")
        finally:
            self._end(process)
        if not answer and self._stopped:
            return STOPPED
        try:
            told = json.loads(answer)
            return Outcome(bool(told["sent"]), one_line(channel.hide(str(told["error"])), LONGEST_ERROR))
        except (ValueError, KeyError, TypeError):
            return Outcome(False, f"the sending process ended with code {process.returncode} and no answer")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)
        if process.poll() is None:
            process.kill()
        # A plugin's own children may hold the pipes open: only the process itself is waited for.
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
