"""What an installation generates once and keeps to itself: the key of prediction ids, the operators' token.

Keep out passwords that a person chooses: those come from the settings.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from mlops_assets.settings import INNER_TOKEN_FILE

KEY_FILE = "key"
TOKEN_FILE = "operator_token"  # noqa: S105 (a file's name)


class MissingSecretError(RuntimeError):
    """A host was not given what all hosts of an installation share; the message names the file."""


def prepare(folder: Path, *, generate: bool = True) -> None:
    """Generate what isn't there yet; only the owner may read it. What is there never changes.

    Without `generate` everything has to be there: hosts with secrets of their own would not know each other.

    Raises:
        MissingSecretError: a file isn't there and may not be generated.
    """
    wanted = {
        KEY_FILE: secrets.token_hex(32),
        TOKEN_FILE: secrets.token_urlsafe(32),
        INNER_TOKEN_FILE: secrets.token_urlsafe(32),
    }
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing and not generate:
        raise MissingSecretError(f"{folder / missing[0]} is missing: copy it from the orchestrator's host")
    folder.mkdir(parents=True, exist_ok=True)
    # A folder that was mounted to be read only is as whoever mounted it wanted it.
    if os.access(folder, os.W_OK):
        folder.chmod(0o700)
    for name in missing:
        _write_once(folder / name, wanted[name])


def operator_token(folder: Path) -> str:
    """The bearer token of operators."""
    return (folder / TOKEN_FILE).read_text().strip()


def inner_token(folder: Path) -> str:
    """The bearer token of the installation's own programs, for Dagster's webserver and MLflow."""
    return (folder / INNER_TOKEN_FILE).read_text().strip()


def _write_once(path: Path, value: str) -> None:
    # Only its owner may read what mkstemp makes.
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(value + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what another start has just made.
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        os.unlink(fresh)
