"""The installation's secret key and its keyed hashes: users without their names, identifiers that can't be made up.

Add here another purpose of the key, under a person string of its own, so that no hash can stand in for another.
Keep out where a hash is used. Neither the key nor what was hashed is ever part of a message.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

KEY_TEXT = re.compile(rb"[0-9a-fA-F]{64}")
MAX_USER_BYTES = 256

_PREDICTION = b"prediction id"
_USER = b"user"


class KeyFileError(RuntimeError):
    """The key file can't be used; the message names it and the cause, and nothing of its content."""


def read_key(path: Path) -> bytes:
    """The 32 bytes that the file's 64 hexadecimal digits stand for. Raises KeyFileError."""
    try:
        text = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(f"key file {path}: {error.strerror or error}") from error
    if not KEY_TEXT.fullmatch(text):
        raise KeyFileError(f"key file {path}: it must hold 64 hexadecimal digits and nothing else")
    return bytes.fromhex(text.decode())


def identifier_hash(key: bytes, product: str) -> hashlib.blake2b:
    """A hash of 4 bytes that has begun with the product; copy it, feed it the identifier's other 12 bytes."""
    return hashlib.blake2b(product.encode() + b"\0", digest_size=4, key=key, person=_PREDICTION)


class UserHashes:
    """Turns what a client calls itself into 32 hexadecimal digits that only this key can give."""

    def __init__(self, key: bytes) -> None:
        self._started = hashlib.blake2b(digest_size=16, key=key, person=_USER)

    def of(self, user: bytes | None) -> str | None:
        """The hash, the same on every service of the key; None for no user, a blank one or over 256 bytes."""
        if user is None or len(user) > MAX_USER_BYTES:
            return None
        name = user.strip()
        if not name:
            return None
        salted = self._started.copy()
        salted.update(name)
        return salted.hexdigest()
