"""Identifiers of predictions: a UUID version 7 (RFC 9562) that carries proof of being ours.

A log sorted by it is sorted by time. Of the 74 bits that version 7 leaves free, 42 are random and the last 32
are a keyed hash of the product and the rest, so that an identifier nobody was given is refused without asking
a database. Keep out who may use one and for how long (`feedback`).
"""

from __future__ import annotations

import hmac
import os
import re
import time

from inference.keys import identifier_hash

_48_BITS = (1 << 48) - 1
# The second 48 bits: version, 12 free bits, variant, 30 free bits.
_VERSION_AND_VARIANT = 0x7000_8000_0000
_FREE = 0x0FFF_3FFF_FFFF
_VERSION_7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def uuid7() -> str:
    """48 bits of Unix milliseconds, version and variant bits, 74 random bits."""
    value = (time.time_ns() // 1_000_000 & _48_BITS) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def seconds_of(identifier: str) -> float:
    """The Unix time in seconds that a UUIDv7 was made at, to a millisecond."""
    return int(identifier[:8] + identifier[9:13], 16) / 1000


class PredictionIds:
    """Makes and recognises the identifiers of one product under one key."""

    def __init__(self, key: bytes, product: str) -> None:
        self._started = identifier_hash(key, product)

    def new(self) -> str:
        """One more, distinct and in order of time by the millisecond."""
        drawn = int.from_bytes(os.urandom(6), "big") & _FREE
        head = (time.time_ns() // 1_000_000 & _48_BITS) << 48 | _VERSION_AND_VARIANT | drawn
        text = f"{head:024x}{self._mac(head.to_bytes(12, 'big'))}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def issued(self, text: str) -> bool:
        """Whether `new` gave this identifier, in lower case, for this product and key."""
        if not _VERSION_7.fullmatch(text):
            return False
        plain = text.replace("-", "")
        return hmac.compare_digest(self._mac(bytes.fromhex(plain[:24])), plain[24:])

    def _mac(self, head: bytes) -> str:
        keyed = self._started.copy()
        keyed.update(head)
        return keyed.hexdigest()
