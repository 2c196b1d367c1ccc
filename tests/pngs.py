"""Proof that bytes are a whole PNG: its size, and its pixels unpacked."""

from __future__ import annotations

import struct
import zlib


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def pixels(png: bytes) -> int:
    """Bytes of image data once unpacked; also proves that the file isn't cut off."""
    data, place = b"", 8
    while place < len(png):
        length = struct.unpack(">I", png[place : place + 4])[0]
        if png[place + 4 : place + 8] == b"IDAT":
            data += png[place + 8 : place + 8 + length]
        place += length + 12
    return len(zlib.decompress(data))
