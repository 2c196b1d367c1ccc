"""`python -m mlops_assets.sandbox.server --socket PATH`: the warm server as a program of the installation.

It ends when its process does, so that whoever keeps it up starts both again. Keep out how stages are forked (`warm`).
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from mlops_assets.sandbox.warm import WarmServer

LOOK_SECONDS = 0.5


def serve(socket: Path, stopped: threading.Event) -> bool:
    """Serve until `stopped`; False if the server's own process ended before. Raises ValueError for an open folder."""
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with WarmServer(socket) as server:
        while not stopped.wait(LOOK_SECONDS):
            if not server.is_alive:
                return False
    return True


def main() -> None:
    """Command line of the server."""
    parser = argparse.ArgumentParser(prog="mlops_assets.sandbox.server", description=__doc__)
    parser.add_argument(
        "--socket", type=Path, required=True, help="path of the Unix socket; its folder is kept private"
    )
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    if not serve(options.socket, stopped):
        sys.exit("the server process ended; stages start cold until it is back")


if __name__ == "__main__":
    main()
