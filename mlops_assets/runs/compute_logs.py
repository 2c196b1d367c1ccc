"""Compute logs straight into their files, without the helper processes of Dagster's default manager.

Dagster mirrors every captured stream to the run's own output, with four helper processes a capture (two
`tail`, two Python watchers); a run that lasts half a second spends much of it on them. Same files, same
pages in the UI. What this host hasn't is brought from the installation's object store, if it has one: `kept_logs`
says how, for every store. Keep out when logs are copied there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dagster import Field, StringSource
from dagster._config import UserConfigSchema
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from mlops_assets.runs.kept_logs import PRINTED, KeptLogs
from mlops_assets.storage.files import Storage


class DirectComputeLogManager(LocalComputeLogManager):
    """LocalComputeLogManager that only writes the files; `base_dir` is where.

    `storage_url` is the installation's storage, which has copies if it is an object store.
    """

    def __init__(
        self, base_dir: str, storage_url: str | None = None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        super().__init__(base_dir, inst_data=inst_data)
        self._kept = KeptLogs.of(Storage(storage_url), PRINTED, Path(base_dir)) if storage_url else None

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {"base_dir": StringSource, "storage_url": Field(StringSource, is_required=False)}

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

    def is_capture_complete(self, log_key: Sequence[str]) -> bool:
        self._bring(log_key)
        return super().is_capture_complete(log_key)

    def get_log_data_for_type(
        self, log_key: Sequence[str], io_type: ComputeIOType, offset: int | None = 0, max_bytes: int | None = None
    ) -> Any:
        self._bring(log_key)
        return super().get_log_data_for_type(log_key, io_type, offset, max_bytes)

    def get_log_keys_for_log_key_prefix(
        self, log_key_prefix: Sequence[str], io_type: ComputeIOType
    ) -> Sequence[list[str]]:
        self._bring(log_key_prefix)
        return super().get_log_keys_for_log_key_prefix(log_key_prefix, io_type)

    def delete_logs(self, log_key: Sequence[str] | None = None, prefix: Sequence[str] | None = None) -> None:
        """Those of a key, or of a run, then of its copy too. Raises StorageError."""
        super().delete_logs(log_key, prefix)
        if self._kept is not None and prefix:
            self._kept.remove(prefix[0])

    def _bring(self, log_key: Sequence[str]) -> None:
        if self._kept is not None and log_key:
            self._kept.bring(log_key[0])

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
