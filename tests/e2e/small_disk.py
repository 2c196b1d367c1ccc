"""A host's disk that a test can fill: a small file system of its own in memory.

Needs root. Keep out what the host does about it.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Some ten times what a serving host keeps, and soon full.
SIZE = "128m"
PIECES = (1 << 20, 1 << 12)
LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class SmallDisk:
    """What is mounted at `folder`."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """No space is left, and what somebody frees is taken at once, as by a program that writes without end."""
        greedy, stop = self.folder / "greedy", threading.Event()
        file = os.open(greedy, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _fill(file)

        def go_on() -> None:
            while not stop.wait(LOOK_SECONDS):
                _fill(file)

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            os.close(file)
            greedy.unlink()


def _fill(file: int) -> None:
    for size in PIECES:
        try:
            while True:
                os.write(file, bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mounted at `folder`, and taken away whoever still has a file open there."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True, timeout=20)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, timeout=20)
