"""The fork server: a small single-threaded process that holds the imports and forks one process per run.

`python -m mlops_assets.runs.fork_server --socket PATH [--preload mod,mod]`
Add here what belongs to the loop: accepting, forking, reloading, stopping. Keep out what a run does
(execution.py), what is preloaded (preload.py), the children's book-keeping (children.py) and the words
(protocol.py). No thread and no connection may exist here: both break in a forked child.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from mlops_assets.runs.children import Children
from mlops_assets.runs.execution import leave, run_child
from mlops_assets.runs.fingerprint import fingerprint, project_roots
from mlops_assets.runs.listener import Listener
from mlops_assets.runs.preload import EXECUTION, LIBRARIES, Preloaded, preload, preload_roots
from mlops_assets.runs.process import resident_megabytes, threads_alive
from mlops_assets.runs.protocol import (
    REQUESTS,
    Launch,
    Message,
    Ping,
    ProtocolError,
    Refused,
    Status,
    checked_socket_path,
    decode,
    encode,
)

log = logging.getLogger("mlops_assets.runs.fork_server")

DEFAULT_PRELOAD = ("mlops_assets.definitions",)
REQUEST_TIMEOUT_SECONDS = 5.0
CODE_CHECK_SECONDS = 2.0
MAX_CONNECTIONS = 128
MAX_OUTPUT_BYTES = 16 * 1024 * 1024
_HANDOVER = "MLOPS_FORK_SERVER_HANDOVER"


@dataclass
class Connection:
    """A client whose request is still arriving."""

    socket: socket.socket
    deadline: float
    buffer: bytearray = field(default_factory=bytearray)


class ForkServer:
    """Forks run processes on request until it is told to stop. Owns the socket, the lock and its children."""

    def __init__(self, path: str, modules: tuple[str, ...], *, grace_seconds: float) -> None:
        self.modules = modules
        self.grace_seconds = grace_seconds
        self.output = Path(f"{path}.runs.log")
        self.generation = 1
        self.stopping = False
        self.preloaded = Preloaded()
        self.children = Children()
        self._listener = Listener(path)
        self._connections: dict[int, Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._roots: frozenset[Path] = frozenset()
        self._loaded_code = ""
        self._last_code_check = 0.0

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT, then interrupt the runs, wait for them and kill what is left."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._open()
        self._load()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener.socket, selectors.EVENT_READ)
        while not self.stopping:
            self._turn()
        self._listener.close()
        for connection in list(self._connections.values()):
            self._drop(connection)
        self.children.stop(self.grace_seconds)
        log.info("stopped")

    # -- loading and reloading ---------------------------------------------------------------------

    def _load(self) -> None:
        started = time.monotonic()
        self._roots = preload_roots(self.modules)
        self._loaded_code = fingerprint(self._roots)
        self.preloaded = preload((*EXECUTION, *LIBRARIES, *self.modules))
        self._watch_what_was_loaded()
        gc.collect()
        gc.freeze()
        threads = threads_alive()
        if len(threads) > 1:
            log.error("preloading started threads, so no run can be forked: %s", ", ".join(threads))
        log.info(
            "ready on %s (pid %d, generation %d): %d modules in %.1f s, %d failed, warm: %s, %.0f MB",
            self._listener.path,
            os.getpid(),
            self.generation,
            len(self.preloaded.modules),
            time.monotonic() - started,
            len(self.preloaded.failed),
            ", ".join(self.preloaded.warm) or "none",
            resident_megabytes(),
        )

    def _watch_what_was_loaded(self) -> None:
        """Watch every project package that got imported; a change during the load counts as one."""
        before = fingerprint(self._roots)
        self._roots |= project_roots()
        if before == self._loaded_code:
            self._loaded_code = fingerprint(self._roots)

    def _code_changed(self) -> bool:
        self._last_code_check = time.monotonic()
        return fingerprint(self._roots) != self._loaded_code

    def _reload(self) -> None:
        """Re-execute this process; the socket, the lock and the children stay, as the pid does."""
        log.info("the code changed: reloading (%d runs go on)", len(self.children.running))
        handover = {
            "descriptors": self._listener.hand_over(),
            "generation": self.generation + 1,
            "running": self.children.running,
            "ended": self.children.ended,
        }
        os.environ[_HANDOVER] = json.dumps(handover)
        sys.stdout.flush()
        sys.stderr.flush()
        # The same program with the same arguments again.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    def _open(self) -> None:
        text = os.environ.pop(_HANDOVER, None)
        if text is None:
            self._listener.bind()
            return
        handover = json.loads(text)
        self._listener.take_over(*handover["descriptors"])
        self.generation = handover["generation"]
        self.children.restore(handover["running"], handover["ended"])

    # -- the loop ----------------------------------------------------------------------------------

    def _turn(self) -> None:
        for key, _ in self._selector.select(timeout=CODE_CHECK_SECONDS):
            if key.fileobj == self._wake_read:
                self._drain_wakeups()
            elif key.fileobj is self._listener.socket:
                self._accept()
            else:
                self._read(self._connections[key.fd])
        self.children.reap()
        self._drop_silent_clients()
        due = time.monotonic() - self._last_code_check >= CODE_CHECK_SECONDS
        if due and not self._connections and self._code_changed():
            self._reload()

    def _accept(self) -> None:
        # Checked while the client still waits in the backlog, where the re-executed server finds it.
        if self._code_changed():
            if not self._connections:
                self._reload()
            return
        connected = self._listener.accept()
        if connected is None:
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            connected.close()
            return
        deadline = time.monotonic() + REQUEST_TIMEOUT_SECONDS
        self._connections[connected.fileno()] = Connection(connected, deadline)
        self._selector.register(connected, selectors.EVENT_READ)

    def _read(self, connection: Connection) -> None:
        try:
            chunk = connection.socket.recv(65536)
            connection.buffer += chunk
            body = decode(connection.buffer)
            if body is not None:
                self._answer(connection, REQUESTS.validate_python(body))
            elif not chunk:
                self._drop(connection)
        except BlockingIOError:
            return
        except (ProtocolError, ValidationError) as error:
            reason = str(error) if isinstance(error, ProtocolError) else f"bad request: {_fields(error)}"
            log.warning("refused a request: %s", reason)
            self._reply(connection, Refused(reason=reason))
        except ConnectionError:
            self._drop(connection)

    def _answer(self, connection: Connection, request: Launch | Ping) -> None:
        if isinstance(request, Ping):
            self._reply(connection, self._status())
            return
        obstacle = self._obstacle(request)
        if obstacle:
            log.error("can't fork run %s: %s", request.run_id, obstacle)
            self._reply(connection, Refused(reason=obstacle))
            return
        self._fork(connection, request)

    def _obstacle(self, request: Launch) -> str | None:
        # python, python3 and python3.11 of one environment are the same; another folder is another one.
        if request.executable and os.path.dirname(request.executable) != os.path.dirname(sys.executable):
            return f"the run needs {request.executable}, this server is {sys.executable}"
        threads = threads_alive()
        if len(threads) > 1:
            return f"{len(threads)} threads are alive ({', '.join(threads)}); a fork would break them"
        if self._code_changed():
            return "the code changed while the request arrived"
        return None

    def _fork(self, connection: Connection, request: Launch) -> None:
        self._rotate_output()
        sys.stdout.flush()
        sys.stderr.flush()
        gc.disable()
        try:
            pid = os.fork()
        except OSError as error:
            gc.enable()
            self._reply(connection, Refused(reason=f"fork failed: {error}"))
            return
        if pid == 0:
            self._become_child(connection, request)
        gc.enable()
        self._drop(connection)
        self.children.add(request.run_id, pid)

    def _become_child(self, connection: Connection, request: Launch) -> None:
        code = 1
        try:
            # Every copied descriptor goes: a client must see the end of its own connection, not of this run.
            self._selector.close()
            self._listener.forget()
            for descriptor in (self._wake_read, self._wake_write):
                os.close(descriptor)
            for other in self._connections.values():
                if other is not connection:
                    other.socket.close()
            code = run_child(request, connection.socket, self.output)
        except BaseException:
            # The last stop before os._exit: nobody above may go on with the server's loop in this process.
            log.exception("run %s: its process failed", request.run_id)
        finally:
            leave(code)

    def _status(self) -> Status:
        return Status(
            pid=os.getpid(),
            preloaded=tuple(self.preloaded.modules),
            failed=self.preloaded.failed,
            warm=tuple(self.preloaded.warm),
            running=self.children.running,
            ended=self.children.ended,
            threads=tuple(threads_alive()),
            resident_megabytes=round(resident_megabytes(), 1),
            generation=self.generation,
        )

    def _reply(self, connection: Connection, message: Message) -> None:
        try:
            connection.socket.settimeout(REQUEST_TIMEOUT_SECONDS)
            connection.socket.sendall(encode(message))
        except OSError as error:
            log.warning("an answer could not be sent: %s", error)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()

    def _drop_silent_clients(self) -> None:
        now = time.monotonic()
        for connection in [c for c in self._connections.values() if c.deadline < now]:
            self._drop(connection)

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            return

    def _rotate_output(self) -> None:
        try:
            if self.output.stat().st_size > MAX_OUTPUT_BYTES:
                self.output.replace(f"{self.output}.1")
        except FileNotFoundError:
            return

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True


def _fields(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


def main(arguments: list[str] | None = None) -> None:
    """Command line of the fork server."""
    parser = argparse.ArgumentParser(prog="mlops_assets.runs.fork_server", description=__doc__)
    parser.add_argument("--socket", required=True, help="path of the Unix socket; its folder is kept private")
    parser.add_argument("--preload", default=",".join(DEFAULT_PRELOAD), help="modules to hold, by comma")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds that runs get to stop on SIGTERM")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mlops_assets.runs").setLevel(logging.INFO)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    modules = tuple(name for name in options.preload.split(",") if name)
    try:
        path = checked_socket_path(options.socket)
    except ValueError as error:
        parser.error(str(error))
    ForkServer(path, modules, grace_seconds=options.grace).serve()


if __name__ == "__main__":
    main()
