"""What is asked of a stage's process and what comes back: plain, frozen, standard library only.

Add a field here when a caller should be able to set or learn something of one attempt of one stage.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Format = Literal["parquet", "npy", "arrow", "json", "text", "bytes", "none", "pickle"]
FORMATS: tuple[Format, ...] = ("parquet", "npy", "arrow", "json", "text", "bytes", "none", "pickle")
Status = Literal[
    "completed",
    "failed",
    "timed_out",
    "cancelled",
    "killed_memory",
    "killed_cpu",
    "output_too_large",
    "unstorable",
]
ARTIFACT_TYPES = ("MODEL", "DATASET", "METRICS", "PLOT", "LOG", "CONFIG", "REPORT", "OTHER")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class StoredValue:
    """A value in a file. What the stage says of it (`type_name`, `preview`) is text of a stranger: show it as such.

    `path` is where the file is now, None for format `none`; `replace` it after moving the file. `size` is in bytes.
    `preview` may hold rows, columns (name and dtype), shape, length, text.
    """

    format: Format
    path: Path | None
    size: int
    sha256: str
    type_name: str
    preview: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenArtifact:
    """What a stage left with `context.artifact`. `name` and `metadata` are a stranger's text; `type` is a known one."""

    name: str
    type: str
    metadata: Mapping[str, Any]
    value: StoredValue


@dataclass(frozen=True)
class Limits:
    """What one stage may use. Memory and time are its whole tree's; MB are 1e6 bytes.

    `processes` counts threads too. `log_mb` cuts the log, the stage goes on; every other limit ends the stage.
    """

    memory_mb: float = 2048
    cpu_seconds: float = 3600
    wall_seconds: float = 3600
    output_mb: float = 1024
    log_mb: float = 10
    processes: int = 256

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < 1e9:
                raise ValueError(f"limits.{name}: must be above 0 and below 1e9, not {value}")


@dataclass(frozen=True)
class StageOrder:
    """One attempt of one stage: exactly one of `source`, which defines `run`, and `function` is given.

    `function` is `package.module:name`, or `path/to/file.py:name` below `code_folder`; `code_folder`, readable by
    everyone from itself downwards, is also where its imports are looked for. `arguments` are the results of the
    stages that this one depends on, by name. `folder` exists, is empty and private (0700); it is the stage's while it
    runs and the caller's again afterwards. `readable` are further paths that the stage may read, as far as any user
    may. `facts` (JSON) are what `context` shows: run_id, pipeline, attempt, trigger and so on. `python` is the
    interpreter. Raises ValueError naming the field.
    """

    stage: str
    folder: Path
    source: str | None = None
    function: str | None = None
    code_folder: Path | None = None
    arguments: Mapping[str, StoredValue] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    network: bool = True
    readable: tuple[Path, ...] = ()
    python: Path = Path(sys.executable)

    def __post_init__(self) -> None:
        for name in (self.stage, *self.arguments):
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ValueError(f"stage: {name!r} is no Python identifier")
        self._check_code()
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name) or "\0" in value:
                raise ValueError(f"stage {self.stage}: environment: {name!r} can't be a variable with that value")
        for field_name, path in (("folder", self.folder), ("code_folder", self.code_folder)):
            if path is not None and not path.is_absolute():
                raise ValueError(f"stage {self.stage}: {field_name}: must be an absolute path, not {str(path)!r}")

    def _check_code(self) -> None:
        if (self.source is None) == (self.function is None):
            raise ValueError(f"stage {self.stage}: give exactly one of source and function")
        if self.function is not None:
            where, _, name = self.function.rpartition(":")
            if not where or not name.isidentifier():
                raise ValueError(f"stage {self.stage}: function: {self.function!r} isn't module:name or file.py:name")
            if where.endswith(".py") and self.code_folder is None:
                raise ValueError(f"stage {self.stage}: function: a file needs code_folder")


@dataclass(frozen=True)
class StageError:
    """Why a stage failed. `line` is in the stage's own source; the traceback shows only frames from there on."""

    type: str
    message: str
    traceback: str = ""
    line: int | None = None


@dataclass(frozen=True)
class StageOutcome:
    """How an attempt ended. `result` is there exactly when `status` is completed, `error` exactly when it isn't.

    `exit_code` is negative for a signal. Bytes count what was read and written by calls, files or not; None where the
    kernel doesn't tell. The peak is the largest sum over the stage's processes that was seen.
    """

    status: Status
    error: StageError | None
    result: StoredValue | None
    artifacts: tuple[WrittenArtifact, ...]
    exit_code: int | None
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    bytes_read: int | None
    bytes_written: int | None
