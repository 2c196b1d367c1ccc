"""Which code made a model: a short hash of everything that decides what a model becomes.

Add a module here when it starts to. Keep out git: an installed package has none.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=64)
def code_version(module: str) -> str:
    """12 hexadecimal digits that change with the product's module or any file of `training`.

    Args:
        module: dotted name of the product's functions.
    """
    found = importlib.util.find_spec(module)
    own = [Path(found.origin)] if found is not None and found.origin else []
    files = sorted(Path(__file__).parent.glob("*.py"), key=lambda path: path.name)
    digest = hashlib.sha256()
    for path in [*own, *files]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
