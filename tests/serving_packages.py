"""An environment in which Python finds the serving image's packages alone, on a machine that has them all.

Add here how what isn't in the image is hidden. Keep out which packages it holds (`deploy/images/packages.py`).
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "deploy"))

import licences  # noqa: E402
import packages  # noqa: E402

# Every Python process imports this by itself, before anything of ours.
SITECUSTOMIZE = """
import json, os, sys

class NotInTheImage:
    hidden = frozenset(json.load(open(os.environ["TEST_HIDDEN_MODULES"])))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(f"No module named {name!r}: the serving image doesn't hold it", name=name)

sys.meta_path.insert(0, NotInTheImage())
"""


@cache
def used() -> dict[str, str]:
    """Which images hold a package, by its name; those that others bring along among them."""
    return licences.used_by()


def held(image: str) -> set[str]:
    """Names of the packages in an image."""
    return {name for name, images in used().items() if image in images}


def hidden_modules() -> list[str]:
    """Top-level modules of installed packages that the image doesn't hold."""
    image = held("serving") | {"mlops-assets"}
    return sorted(
        module
        for module, owners in metadata.packages_distributions().items()
        if not {packages.name_of(owner) for owner in owners} & image
    )


def serving_environment(folder: Path) -> dict[str, str]:
    """Variables for a process, and all that it starts, which shall find the image's packages only."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
    hidden = folder / "hidden.json"
    hidden.write_text(json.dumps(hidden_modules()))
    others = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), *([others] if others else [])]),
        "TEST_HIDDEN_MODULES": str(hidden),
    }
