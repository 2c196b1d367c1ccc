"""Which code made a model: a short hash of everything that decides what a model becomes.

Add a module here when it starts to. Keep out git: an installed package has none. Nothing is imported to find what a
product's module uses: its imports are read.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

# What fits a model, and what a release of a detector explains its scores with.
FOLDERS = ("training", "explanations")


def code_version(module: str) -> str:
    """12 hexadecimal digits that change with the product's module, what it imports, or any file of `FOLDERS`.

    Imports count that lead to modules of the same top-level package, through any number of them; other libraries don't.

    Args:
        module: dotted name of the product's functions.
    """
    package = Path(__file__).parents[1]
    platform = {f"{folder}/{path.name}": path for folder in FOLDERS for path in (package / folder).glob("*.py")}
    digest = hashlib.sha256()
    for name, path in sorted((_own_modules(module) | platform).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _own_modules(module: str) -> dict[str, Path]:
    """The file of a module and of every module of its package that it imports, by dotted name."""
    package = module.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None:
            # What is imported from a module is a name in it more often than a module.
            continue
        found[name] = path
        waiting |= {other for other in _imports(name, path) if other.partition(".")[0] == package} - found.keys()
    return found


def _file(module: str) -> Path | None:
    """Where a module's code lies; None if there is no such module, or none in Python."""
    package, *parts = module.split(".")
    spec = importlib.util.find_spec(package)
    for part in parts:
        # Asked for a dotted name, `find_spec` would import the packages that it lies in.
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _imports(module: str, path: Path) -> Iterator[str]:
    """Dotted names of all that a file may import, at any depth of its code: modules, and names in them."""
    parts = module.split(".")
    package = parts if path.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)
