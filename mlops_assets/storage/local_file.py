"""A stored file as one of this machine, for libraries that read nothing else.

Keep out files that stay here (`files`, `folders`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_assets.storage.files import Storage


@contextmanager
def local_file(folder: Storage, name: str) -> Iterator[Path]:
    """The file's own path; from an object store, that of a copy for as long as it is read.

    Raises MissingFileError and StorageError of an object store; a local file may not be there.
    """
    if folder.folder is not None:
        yield folder.folder / name
        return
    with tempfile.TemporaryDirectory(prefix="mlops-file-") as temporary:
        folder.read_file(name, Path(temporary) / name)
        yield Path(temporary) / name
