"""Has the code changed since it was loaded: a cheap fingerprint of the project's files.

Add here what decides which files count. Keep out what is done about a change: the fork server does that.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = (".py", ".yaml", ".yml")


def fingerprint(roots: Iterable[Path]) -> str:
    """A digest of path, modification time and size of every *.py and *.yaml file under the roots (or the
    roots themselves, when they are files). About 1 ms for 100 files; contents are not read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(set(_files(roots))):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            continue  # removed while we looked: its absence from the digest is the change
        digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\0".encode())
    return digest.hexdigest()


def project_roots() -> frozenset[Path]:
    """Where the code lives that was imported so far and is nobody's installed package: each top-level
    package's folder, or the file of a top-level module.
    """
    installed = _installed_folders()
    roots = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name == "__main__":
            continue
        path = Path(file).resolve()
        if any(folder in path.parents for folder in installed):
            continue
        depth = name.count(".") + (1 if path.name == "__init__.py" else 0)
        roots.add(path.parents[depth - 1] if depth else path)
    return frozenset(roots)


def _installed_folders() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {Path(sysconfig.get_path(name)).resolve() for name in names}
    return [*folders, Path(sys.prefix).resolve(), Path(sys.base_prefix, "lib").resolve()]


def _files(roots: Iterable[Path]) -> Iterator[str]:
    for root in roots:
        if root.is_file():
            yield str(root)
            continue
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
            yield from (os.path.join(folder, name) for name in names if name.endswith(SUFFIXES))
