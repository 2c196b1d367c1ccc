"""The first rows of tables and arrays, read by a process that can do no harm (`preview_process`).

Keep out how a format is read, and what isn't a table (`previews`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, TYPE_CHECKING, Any

from mlops_assets.pipelines.artifact_content import opened
from mlops_assets.pipelines.artifact_facts import storable
from mlops_assets.sandbox import users
from mlops_assets.storage.files import BLOCK, StorageError, told

if TYPE_CHECKING:
    from mlops_assets.storage.files import Storage
    from mlops_assets.storage.pipeline_tables import Artifact

PROGRAM = Path(__file__).with_name("preview_process.py")
ROWS, COLUMNS = 50, 50
SECONDS = 20.0
# A file in an object store has to be fetched for it.
MOST_FETCHED_BYTES = 256_000_000
LONGEST_PROBLEM = 500
AT_ONCE = BoundedSemaphore(2)


@dataclass(frozen=True)
class FirstRows:
    """The beginning of a table; `total_rows` is None where counting takes too long. Cells are as JSON has them."""

    columns: list[str]
    rows: list[list[Any]]
    total_rows: int | None
    truncated: bool


class UnshownError(ValueError):
    """A table can't be shown; the message says why."""


def first_rows(storage: Storage, artifact: Artifact) -> FirstRows:
    """The beginning of a file in Parquet, Arrow or npy: 50 rows and 50 columns at most.

    Raises UnshownError; MissingFileError, DamagedError, StorageError as `opened`.
    """
    with opened(storage, artifact) as file, _local(file, artifact) as local:
        return _asked(artifact.format, local)


@contextmanager
def _local(file: IO[bytes], artifact: Artifact) -> Iterator[IO[bytes]]:
    if artifact.storage == "LOCAL":
        yield file
        return
    if artifact.size > MOST_FETCHED_BYTES:
        raise UnshownError(f"only files up to {MOST_FETCHED_BYTES / 1e6:.0f} MB are fetched to be shown")
    with tempfile.TemporaryFile() as copy:
        with told("a temporary file"):
            shutil.copyfileobj(file, copy, BLOCK)
            copy.seek(0)
        yield copy


def _asked(form: str, file: IO[bytes]) -> FirstRows:
    if not AT_ONCE.acquire(timeout=SECONDS):
        raise UnshownError("too many files are being looked at; try again")
    try:
        # Into a file, as that can't become larger than the process may write.
        with tempfile.TemporaryFile() as output:
            code = _code(form, file, output)
            output.seek(0)
            answer = output.read()
    except subprocess.TimeoutExpired as error:
        raise UnshownError(f"it takes longer than {SECONDS:g} s to read") from error
    except (OSError, users.NoUserFreeError) as error:
        raise StorageError(f"a file can't be looked at now: {error}") from error
    finally:
        AT_ONCE.release()
    if code != 0:
        raise UnshownError("the file is damaged, or takes too much memory: what reads it broke down")
    return _judged(answer)


def _code(form: str, file: IO[bytes], output: IO[bytes]) -> int:
    with users.leased() if os.geteuid() == 0 else nullcontext() as lease:
        arguments = (form, ROWS, COLUMNS, lease.user if lease else 0)
        done = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", str(PROGRAM), *map(str, arguments)],
            stdin=file,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            timeout=SECONDS,
            check=False,
        )
    return done.returncode


def _judged(answer: bytes) -> FirstRows:
    """What the process told, which may be anything once a file has taken it over."""
    try:
        told_of = storable(json.loads(answer))
        if "problem" in told_of:
            raise UnshownError(str(told_of["problem"])[:LONGEST_PROBLEM])
        columns = [str(name) for name in told_of["columns"]]
        rows = [[cell if isinstance(cell, (str, int, float)) else None for cell in row] for row in told_of["rows"]]
        total = told_of["total_rows"]
        shown = FirstRows(columns, rows, total if isinstance(total, int) else None, bool(told_of["truncated"]))
    except UnshownError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnshownError("the file is damaged: reading it ends in nonsense") from error
    if any(len(row) != len(columns) for row in rows):
        raise UnshownError("the file is damaged: reading it ends in nonsense")
    return shown
