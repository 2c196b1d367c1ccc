"""Server-sent events as they come over the wire: bytes in, messages out.

Keep out what the messages say (`following`). Lines end with LF, CR or CRLF only: whatever else Python takes for a line
end may stand inside a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mlops_assets.client.errors import ApiError

# A run may be given parameters of 1 MB.
MAX_MESSAGE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Message:
    """One event. `id` is the newest that was told, None before the first; `retry` the seconds before a new start."""

    event: str
    data: str
    id: str | None
    retry: float | None


@dataclass
class _Pending:
    """The event that is being read."""

    event: str = ""
    data: list[str] = field(default_factory=list)
    size: int = 0


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """Every whole message. What an end cuts off is not one. ApiError: a message is larger than 4 MB."""
    pending, newest, retry = _Pending(), None, None
    for line in _lines(chunks):
        if not line:
            if pending.data:
                yield Message(pending.event or "message", "\n".join(pending.data), newest, retry)
            pending = _Pending()
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        pending.size += len(line)
        if pending.size > MAX_MESSAGE:
            raise _too_large()
        if name == "data":
            pending.data.append(value)
        elif name == "event":
            pending.event = value
        elif name == "id" and "\0" not in value:
            newest = value
        elif name == "retry" and value.isdecimal() and len(value) < 10:
            retry = int(value) / 1000


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        # A CR at the end may be the first half of a CRLF: it waits for the next bytes.
        text = rest + chunk
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, rest = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += held
        if len(rest) > MAX_MESSAGE:
            raise _too_large()
        yield from (line.decode("utf-8", "replace").removeprefix("\ufeff") for line in lines)


def _too_large() -> ApiError:
    return ApiError(200, "Unexpected answer", f"an event is larger than {MAX_MESSAGE // 2**20} MB")
