"""Takes over what a stage left in its folder. All of it comes from a stranger: names, links, sizes, claims.

Files are opened without following links and must be plain files of the stage's own user; size and hash are of what is
really there. Keep out how values are read: here they are bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_assets.sandbox.context import METADATA_LENGTH, NAME_LENGTH
from mlops_assets.sandbox.order import ARTIFACT_TYPES, FORMATS, StoredValue, WrittenArtifact

FOLDERS = ("result", "artifacts", "work", "tmp")
SHOWN_PREVIEW = 64_000
_FILE = re.compile(r"(?:value|\d{6,9})\.[a-z]{3,7}")


class ForgedError(ValueError):
    """What the stage said it stored isn't what it left."""


def prepare_folder(folder: Path, user: int | None) -> None:
    """Give an empty, private folder to the stage's user. Raises ValueError for another folder, OSError."""
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o077 or facts.st_uid != os.geteuid():
        raise ValueError(f"{folder}: must be a folder that only its owner can reach (0700)")
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: must be empty")
    for path in (*(folder / name for name in FOLDERS), folder):
        if path != folder:
            path.mkdir(mode=0o700)
        if user is not None:
            os.chown(path, user, user)


def take_back(folder: Path) -> None:
    """Make the folder, and those directly in it, the caller's again, out of reach of whoever is that user next."""
    for path in (folder, *(folder / name for name in FOLDERS)):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # removed or replaced by the stage: nothing is taken from there
        try:
            os.fchown(handle, os.geteuid(), os.getegid())
            os.fchmod(handle, 0o700)
        finally:
            os.close(handle)


def remove_folder(folder: Path) -> None:
    """Delete a working folder, however deep and odd its content. Raises OSError."""
    done = subprocess.run(
        ["/bin/rm", "-rf", "--one-file-system", "--", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{folder} can't be removed: {done.stderr.strip()[:500]}")


def stored_value(folder: Path, within: str, told: Any, user: int) -> StoredValue:
    """The value that a stage told of, below `folder`/`within`. Raises ForgedError, OSError."""
    form = told.get("format") if isinstance(told, dict) else None
    if form not in FORMATS:
        raise ForgedError("no value was told of in a known format")
    type_name, shown = str(told.get("type_name"))[:200], _small_object(told.get("preview"))
    if form == "none":
        return StoredValue(format="none", path=None, size=0, sha256=hashlib.sha256().hexdigest(), type_name=type_name)
    name = told.get("file")
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        raise ForgedError("the name of the value's file isn't one that was given")
    size, digest = _sealed(folder, within, name, user)
    return StoredValue(form, folder / within / name, size, digest, type_name, shown)


def written_artifact(folder: Path, told: Mapping[str, Any], user: int) -> WrittenArtifact:
    """An artifact that a stage told of. Raises ForgedError, OSError."""
    name, kind = told.get("name"), told.get("type")
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH or kind not in ARTIFACT_TYPES:
        raise ForgedError("an artifact without a name, or of an unknown type")
    metadata = told.get("metadata")
    if not isinstance(metadata, dict) or len(json.dumps(metadata)) > METADATA_LENGTH:
        raise ForgedError("an artifact whose metadata isn't a small object")
    value = stored_value(folder, "artifacts", told.get("value"), user)
    return WrittenArtifact(name=name, type=kind, metadata=metadata, value=value)


def _small_object(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) and len(json.dumps(told)) <= SHOWN_PREVIEW else {}


def _sealed(folder: Path, within: str, name: str, user: int) -> tuple[int, str]:
    """Size and hash of a file, which is the caller's own from here on."""
    place = os.open(folder / within, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # Not waiting keeps a pipe in the file's place from holding us up.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    with open(file, "rb") as content:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != user:
            raise ForgedError(f"{within}/{name} isn't a plain file of the stage's")
        os.fchown(file, os.geteuid(), os.getegid())
        os.fchmod(file, 0o600)
        return facts.st_size, hashlib.file_digest(content, "sha256").hexdigest()
