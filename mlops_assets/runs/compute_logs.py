"""Compute logs straight into their files, without the helper processes of Dagster's default manager.

Dagster mirrors every captured stream to the run's own output, with four helper processes a capture (two
`tail`, two Python watchers); a run that lasts half a second spends much of it on them. Same files, same
pages in the UI. Keep out where logs go to an object store: dagster-aws has a manager for that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class DirectComputeLogManager(LocalComputeLogManager):
    """LocalComputeLogManager that only writes the files; configured the same way (`base_dir`)."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DirectComputeLogManager:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        """Send this process's stdout and stderr, child processes' included, to the files of the key."""
        out = self._file(log_key, ComputeIOType.STDOUT)
        err = self._file(log_key, ComputeIOType.STDERR)
        with _redirected(sys.stdout, out), _redirected(sys.stderr, err):
            yield CapturedLogContext(log_key)
        # Readers take the capture as complete when this file exists.
        Path(self.get_captured_local_path(log_key, "complete")).touch()

    def _file(self, log_key: Sequence[str], io_type: ComputeIOType) -> Path:
        path = Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[io_type]))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def _redirected(stream: IO[str], path: Path) -> Iterator[None]:
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):
        # A stream without a descriptor (a test's capture, a notebook) has nothing to redirect.
        yield
        return
    stream.flush()
    kept = os.dup(descriptor)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.dup2(handle, descriptor, inheritable=True)
        os.close(handle)
        try:
            yield
        finally:
            stream.flush()
            os.dup2(kept, descriptor, inheritable=True)
    finally:
        os.close(kept)
