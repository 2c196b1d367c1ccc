"""`python -m mlops_assets.rollout.envoy.process BOOTSTRAP -- ENVOY…`: runs Envoy and stops it gracefully.

Envoy drops what it is answering when it is told to stop. So at SIGTERM this tells it, over its admin socket, to
take no more connections and to close each after its answer, waits until nothing is being answered, and only then
ends it. Envoy ends with this process, however that ends. Keep out restarts: the process manager does those. Imports
little, because it stays in memory as long as the gateway runs.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DRAIN_SECONDS = 8.0
ADMIN_SECONDS = 2.0
LOOK_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
ACTIVE = "http.gateway.downstream_rq_active"


class AdminConnection(http.client.HTTPConnection):
    """HTTP over Envoy's admin socket."""

    def __init__(self, path: str) -> None:
        super().__init__("admin", timeout=ADMIN_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(admin: str, method: str, path: str) -> str:
    """What the admin interface answers. OSError or HTTPException when it doesn't."""
    connection = AdminConnection(admin)
    try:
        connection.request(method, path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def active(admin: str) -> int:
    """Requests that are being answered now."""
    found = ask(admin, "GET", f"/stats?filter=^{ACTIVE.replace('.', '[.]')}$")
    return int(found.rpartition(":")[2])


def drain(admin: str, seconds: float = DRAIN_SECONDS) -> None:
    """Return when nothing is being answered any more, or after `seconds`."""
    give_up = time.monotonic() + seconds
    try:
        # Every answer from here on closes its connection, and no new ones are taken.
        ask(admin, "POST", "/healthcheck/fail")
        ask(admin, "POST", "/drain_listeners")
        while active(admin) > 0 and time.monotonic() < give_up:
            time.sleep(LOOK_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"gateway: stops at once, its admin interface doesn't answer: {error}", file=sys.stderr)  # noqa: T201


def run(admin: str, command: list[str]) -> int:
    """Run Envoy until it ends or this is told to stop; its exit status, 0 after a graceful stop."""
    own = os.getpid()
    libc = ctypes.CDLL(None)
    waited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    # Blocked before Envoy exists and then waited for: no order to stop can come too early to be seen.
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)

    def end_with_parent() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waited)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != own:
            os._exit(1)

    envoy = subprocess.Popen(command, preexec_fn=end_with_parent, umask=0o077)
    while (status := envoy.poll()) is None:
        if signal.sigwait(waited) != signal.SIGCHLD:
            drain(admin)
            envoy.terminate()
            envoy.wait()
            return 0
    return status


def main(arguments: list[str]) -> int:
    """Exit status of Envoy."""
    bootstrap, mark, *command = arguments
    if mark != "--" or not command:
        raise SystemExit("usage: process BOOTSTRAP -- ENVOY…")
    return run(json.loads(Path(bootstrap).read_text())["admin"]["address"]["pipe"]["path"], command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
