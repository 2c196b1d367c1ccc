"""What the fork server and its clients say to each other: bounded JSON frames over a private Unix socket.

A launch is a two-step handshake, so that a run never starts twice and never gets lost: the forked child
answers with its identity, the client records it and answers `go`; a child that sees no `go` ends without
running anything. Add a message here when both sides need it. Keep out what is done with a message.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_SOCKET_PATH_BYTES = 107
GO = b"\x01"
_HEADER = struct.Struct("!I")


class ProtocolError(Exception):
    """The other side sent something that is not a frame of this protocol."""


class Message(BaseModel):
    """Base of every message: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Launch(Message):
    """Fork a process for this run. `instance_ref` is Dagster's serialised InstanceRef."""

    type: Literal["launch"] = "launch"
    run_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    instance_ref: str
    executable: str | None = None


class Ping(Message):
    """Ask for the server's status."""

    type: Literal["ping"] = "ping"


class Started(Message):
    """The child's answer to a launch: who it is. It waits for `GO` before it runs anything."""

    type: Literal["started"] = "started"
    process: str


class Status(Message):
    """The server's answer to a ping."""

    type: Literal["status"] = "status"
    pid: int
    preloaded: tuple[str, ...]
    failed: dict[str, str]
    warm: tuple[str, ...]
    running: dict[str, str]
    ended: dict[str, int]
    threads: tuple[str, ...]
    resident_megabytes: float
    generation: int


class Refused(Message):
    """The server can't do what was asked; `reason` is for people."""

    type: Literal["refused"] = "refused"
    reason: str


REQUESTS: TypeAdapter[Launch | Ping] = TypeAdapter(Annotated[Launch | Ping, Field(discriminator="type")])
ANSWERS: TypeAdapter[Started | Status | Refused] = TypeAdapter(
    Annotated[Started | Status | Refused, Field(discriminator="type")]
)


def encode(message: Message) -> bytes:
    """One frame: four bytes of length, then JSON. Raises ProtocolError when it is over the limit."""
    body = message.model_dump_json().encode()
    if len(body) > MAX_FRAME_BYTES:
        raise ProtocolError(f"message of {len(body)} bytes; the limit is {MAX_FRAME_BYTES}")
    return _HEADER.pack(len(body)) + body


def decode(buffer: bytes | bytearray) -> Any | None:
    """The JSON of the frame in the buffer, or None while bytes are missing.

    Raises ProtocolError for an announced length over the limit, bytes after the frame, or a body that isn't
    JSON.
    """
    if len(buffer) < _HEADER.size:
        return None
    (length,) = _HEADER.unpack_from(buffer)
    if length > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {length} bytes was announced; the limit is {MAX_FRAME_BYTES}")
    end = _HEADER.size + length
    if len(buffer) < end:
        return None
    if len(buffer) > end:
        raise ProtocolError(f"{len(buffer) - end} bytes after the frame")
    try:
        return json.loads(bytes(buffer[_HEADER.size : end]))
    except ValueError as error:
        raise ProtocolError(f"the frame is not JSON: {error}") from error


def receive(connection: socket.socket) -> Any | None:
    """Read one frame from a blocking socket (its timeout applies); None when the other side closed before
    one.
    """
    buffer = bytearray()
    while True:
        body = decode(buffer)
        if body is not None:
            return body
        chunk = connection.recv(65536)
        if not chunk:
            if buffer:
                raise ProtocolError(f"the connection ended inside a frame, after {len(buffer)} bytes")
            return None
        buffer += chunk


def checked_socket_path(path: str | Path) -> str:
    """The absolute path, when a Unix socket can live there. Raises ValueError that says what to change."""
    absolute = os.path.abspath(path)
    size = len(os.fsencode(absolute))
    if size > MAX_SOCKET_PATH_BYTES:
        raise ValueError(
            f"the fork server's socket path is {size} bytes long; a Unix socket allows "
            f"{MAX_SOCKET_PATH_BYTES}: choose a shorter one than {absolute}"
        )
    return absolute


def private_directory(path: str | Path) -> Path:
    """Create the directory (mode 0700) or check that nobody else may enter it. Raises PermissionError
    naming it.
    """
    directory = Path(path)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(
            f"{directory} must belong to this user and be closed to others (chmod 700): whoever reaches the "
            f"fork server's socket may run code; it has mode {stat.S_IMODE(status.st_mode):04o}"
        )
    return directory
