"""Program of the warm server: an interpreter that has imported the usual libraries and is forked for each stage.

Started by warm.py as `python -I warm_entry.py ARGUMENTS`. It holds nothing but libraries: no environment, no secrets,
no code of any stage. Each fork isolates itself exactly as entry.py does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mlops_assets.sandbox import entry, system

MOST_DESCRIPTORS = 200
REQUEST_BYTES = 1 << 16
_PATIENCE_SECONDS = 1.0


def main(listening: int, preload: list[str]) -> NoReturn:
    """Import the libraries that are there, then fork for whoever connects, until the parent ends."""
    for name in preload:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"{name} isn't preloaded: {error}", file=sys.stderr, flush=True)  # noqa: T201 the server's log
    # What is imported stays where it is, so that forks share its memory.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=listening) as listener:
        listener.settimeout(_PATIENCE_SECONDS)
        while True:
            _reap()
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(_PATIENCE_SECONDS)
                try:
                    _fork_for(connection, listener)
                except (OSError, ValueError, KeyError) as error:
                    print(f"a request was refused: {error}", file=sys.stderr, flush=True)  # noqa: T201


def _fork_for(connection: socket.socket, listener: socket.socket) -> None:
    request, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES, MOST_DESCRIPTORS)
    try:
        roles = json.loads(request)
        control, given = _by_role(roles, descriptors)
        pid = os.fork()
        if pid == 0:
            _serve(control, given, (connection, listener))
        handle = os.pidfd_open(pid)
        try:
            socket.send_fds(connection, [str(pid).encode()], [handle])
        finally:
            os.close(handle)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _by_role(roles: dict[str, Any], descriptors: list[int]) -> tuple[int, dict[str, Any]]:
    """Descriptors come as control, log, events, report, then the inputs named, then whatever is only held."""
    control, log, events, report, *rest = descriptors
    inputs = dict(zip(roles["inputs"], rest, strict=False))
    if len(inputs) != len(roles["inputs"]):
        raise ValueError("fewer descriptors than inputs")
    return control, {"log": log, "events": events, "report": report, "inputs": inputs}


def _serve(control: int, given: dict[str, Any], theirs: tuple[socket.socket, socket.socket]) -> NoReturn:
    connection, listener = theirs
    try:
        listener.close()
        # Whoever lost patience meanwhile has started the stage in another way.
        if not connection.recv(8):
            os._exit(74)
        connection.close()
        os.setsid()
        os.dup2(given["log"], 2)
        entry.serve(control, given, _make_random, with_parent=False)
    finally:
        os._exit(73)


def _make_random() -> None:
    """A fork has the numbers of NumPy's global generator that every other fork has; Python's own takes care of that."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    sys.path.pop(0)
    system.end_with_parent(signal.SIGTERM)
    arguments = json.loads(sys.argv[1])
    main(arguments["listening"], arguments["preload"])
