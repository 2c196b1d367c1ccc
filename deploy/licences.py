"""The licences of every locked package: `python deploy/licences.py` writes deploy/LICENCES.md anew.

Read from the metadata of installed packages: `pip install -e '.[test,release]'` before. What a package's metadata
doesn't say is written down here, from the licence that it ships. Tests hold the list against `constraints.txt` and
against what is allowed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "deploy" / "images"))

import packages  # noqa: E402

CONSTRAINTS, RESULT = PROJECT / "deploy" / "constraints.txt", PROJECT / "deploy" / "LICENCES.md"
# May go into an image: they ask for notices, or that changes of their own files are given on; nothing of ours follows.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSD-derived", "CC0-1.0"),
    *("CNRI-Python", "ISC", "LGPL", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "TCL", "Zlib"),
}
# Programs that only tests and workflows run; no image holds them.
ALLOWED_FOR_TOOLS = ALLOWED | {"GPL-3.0"}
# Other spellings in metadata, by what they mean.
SPELLED = {
    "MIT License": "MIT",
    "Apache": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD-derived (http://www.repoze.org/LICENSE.txt)": "BSD-derived",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Their metadata names none; read from the file LICENSE that each ships.
READ = {"axe-playwright-python": "MIT", "huey": "MIT", "skops": "MIT"}
# Classifiers that name no licence.
NO_LICENCE = {"OSI Approved", "DFSG approved"}


def locked(text: str) -> dict[str, tuple[str, str]]:
    """Of each line `Name==version`, by its name as indexes compare them: the name as written, and the version."""
    lines = (line.partition("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {packages.name_of(name): (name, version) for name, _, version in lines}


def licence(name: str) -> str:
    """What an installed package's metadata says, as an expression of licences; `unknown` if it says nothing."""
    if name in READ:
        return READ[name]
    said = metadata.metadata(name)
    if expression := said.get("License-Expression"):
        return str(expression)
    classifiers = [line.split(" :: ")[-1] for line in said.get_all("Classifier") or () if line.startswith("License")]
    found = sorted({SPELLED.get(one, one) for one in classifiers if one not in NO_LICENCE})
    if found:
        return " AND ".join(found)
    # Some put the whole text there.
    first = (said.get("License") or "").strip().partition("\n")[0].strip()
    return SPELLED.get(first, first) or "unknown"


def names_in(expression: str) -> set[str]:
    """The licences that an expression names: `Apache-2.0 OR (MIT AND 0BSD)` names three."""
    return set(re.split(r"\s+(?:AND|OR|WITH)\s+|[()\s]+", expression)) - {""}


def needed(roots: Iterable[str]) -> set[str]:
    """Every installed package that these requirements bring, themselves included, by name."""
    found: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        name = packages.name_of(one.name)
        if str(one) in seen:
            continue
        seen.add(str(one))
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            # Not for this system: no marker of it led here otherwise.
            found.discard(name)
            continue
        for requirement in map(Requirement, lines):
            extras = one.extras or {""}
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(requirement)
    return found


def used_by() -> dict[str, str]:
    """Which image or images hold a package; the others are tools."""
    held: dict[str, list[str]] = {}
    for image in packages.IMAGES:
        for name in needed(packages.requirements(image)):
            held.setdefault(name, []).append(image)
    return {name: ", ".join(images) for name, images in held.items()}


def page() -> str:
    """deploy/LICENCES.md."""
    used = used_by()
    rows = []
    counted: Counter[str] = Counter()
    for name, (written, version) in sorted(locked(CONSTRAINTS.read_text(encoding="utf-8")).items()):
        words = licence(name)
        counted[words] += 1
        rows.append(f"| {written} | {version} | {words} | {used.get(name, 'tools')} |")
    summary = ", ".join(f"{words} {count}" for words, count in counted.most_common())
    return "\n".join(
        [
            "# Licences of dependencies",
            "",
            "Made by `python deploy/licences.py` from the metadata of the locked packages. *tools* are packages that",
            "only tests and workflows use; no image holds them. Which licences are allowed is written in the script.",
            "",
            f"{len(rows)} packages: {summary}.",
            "",
            "| package | version | licence | in |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    RESULT.write_text(page(), encoding="utf-8")
