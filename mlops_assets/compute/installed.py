"""What a process runs: the versions and the code that decide what numbers come out of it.

Add a package here when another version of it may give another result. Runs on workers of a cluster: keep out all that
isn't in the standard library.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("distributed", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


@functools.cache
def installed() -> dict[str, str]:
    """Versions by name; `this project` is a hash of its code as it was when this process first told it."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in PACKAGES},
        "this project": _code(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _code() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
