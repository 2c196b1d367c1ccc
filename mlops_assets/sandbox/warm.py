"""Stages without the wait for Python and its libraries: a server that is forked for each, beside `start.Cold`.

`WarmServer` is kept by one process of the platform, `Warm` is what `run_stage` is given, in that process or another.
The isolation is the same either way; what differs is that memory taken by the libraries counts for the stage.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

from mlops_assets.sandbox.order import StageOrder
from mlops_assets.sandbox.start import Cold, Descriptors

PROGRAM = Path(__file__).with_name("warm_entry.py")
PRELOAD = (
    *("numpy", "pandas", "pyarrow.parquet", "scipy.stats", "joblib"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.metrics", "sklearn.model_selection", "sklearn.pipeline"),
    *("sklearn.preprocessing", "sklearn.impute", "sklearn.compose"),
)
BACKLOG, PATIENCE_SECONDS = 64, 5.0


class WarmServer:
    """The server process of one interpreter, from `__enter__` to `__exit__`.

    `path` is its socket, in a folder that only the platform's user can reach (ValueError otherwise). Who connects while
    the libraries are being imported waits for them.
    """

    def __init__(
        self, path: Path, *, preload: tuple[str, ...] = PRELOAD, python: Path | None = None, log: IO[bytes] | int = 2
    ) -> None:
        self._path, self._preload, self._log = path, preload, log
        self._python = python or Path(sys.executable)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WarmServer:
        facts = self._path.parent.stat()
        if facts.st_mode & 0o077 or facts.st_uid != os.geteuid():
            raise ValueError(f"{self._path.parent}: must be a folder that only its owner can reach (0700)")
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self._path))
            listener.listen(BACKLOG)
            arguments = {"listening": listener.fileno(), "preload": list(self._preload)}
            self._process = subprocess.Popen(
                [str(self._python), "-I", "-X", "utf8", str(PROGRAM), json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(listener.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._path.unlink(missing_ok=True)
        if self._process is not None:
            # Stages that run go on: their watchers answer to whoever ordered them.
            self._process.terminate()
            self._process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the server process runs; if it doesn't, stages start cold."""
        return self._process is not None and self._process.poll() is None


class Warm:
    """Starts stages by asking a warm server; cold, if it isn't there or the order wants another interpreter."""

    def __init__(self, path: Path, python: Path | None = None) -> None:
        self._path, self._python = path, python or Path(sys.executable)

    def start(self, descriptors: Descriptors, order: StageOrder) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Start it. Raises OSError when neither way works."""
        if order.python != self._python:
            return Cold().start(descriptors, order)
        try:
            return self._asked(descriptors), None
        except OSError:
            return Cold().start(descriptors, order)

    def _asked(self, descriptors: Descriptors) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(self._path))
            request = json.dumps({"inputs": list(descriptors.inputs)}).encode()
            socket.send_fds(connection, [request], descriptors.all)
            _, handles, _, _ = socket.recv_fds(connection, 64, 1)
            if not handles:
                raise ConnectionError("the warm server didn't start the stage")
            try:
                connection.send(b"go on")
            except OSError:
                os.close(handles[0])
                raise
        return handles[0]
