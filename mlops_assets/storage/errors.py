"""What goes wrong with files, as one kind of error that names file and cause, and never a secret.

Add what a store's library raises here. Keep out what is done with files (`files`).
"""

from __future__ import annotations

import errno
import re
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of the stores' clients, and of what those ask with.
LIBRARIES = frozenset({"botocore", "aiobotocore", "aiohttp", "fsspec", "gcsfs", "google", "requests", "adlfs", "azure"})
# The query of a URL may be a signature, or a right to write.
QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")


class StorageError(RuntimeError):
    """A file could not be written or read; the message names it and the cause."""


class MissingFileError(StorageError):
    """There is no such file under the root."""


class ChangedError(StorageError):
    """A file was replaced while it was read."""


@contextmanager
def told(path: Path | str) -> Iterator[None]:
    """Turn errors of the operating system and the store into a StorageError that names path and cause."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: there is no such file") from error
    except OSError as error:
        raise StorageError(f"{path}: {_cause(error, path)}") from error
    except Exception as error:
        if not of_a_store(error):
            raise
        raise StorageError(f"{path}: the store did not answer as it should: {said(error)}") from error


def of_a_store(error: Exception) -> bool:
    """Whether a store's library raised this: an error of its own, or one of Python's."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    raised_in = str(frames[-1].f_globals.get("__name__", "")) if frames else ""
    return any(module.partition(".")[0] in LIBRARIES for module in (type(error).__module__, raised_in))


def said(error: Exception) -> str:
    """The first line of what an error says: what some clouds add is for their support, and holds signatures."""
    lines = str(error).strip().splitlines()
    return QUERY.sub(r"\1?***", lines[0]) if lines else type(error).__name__


def _cause(error: OSError, path: Path | str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk{_free_space(path)}"
    if error.errno == errno.EFBIG:
        return f"larger than the file size limit of this process{_free_space(path)}"
    return error.strerror or said(error)


def _free_space(path: Path | str) -> str:
    if "://" in str(path):
        return ""
    folder = Path(path).absolute()
    while not folder.is_dir():
        folder = folder.parent
    return f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB free)"
