"""Who may read the log: whoever sends the operators' token, which is in a file of this machine.

Add here another thing that the token opens. Keep out what it opens. The file is read at each use, so that a
new token counts at once; nothing of it is ever part of a message.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from starlette.exceptions import HTTPException

MAX_TOKEN_BYTES = 1024


def require_token(token_file: Path | None, authorization: str | None) -> None:
    """Return if the header `Authorization: Bearer <token>` holds the file's token.

    Raises HTTPException 401 when it doesn't, 403 when there is no token that could open anything.
    """
    expected = _token(token_file)
    if not expected:
        raise HTTPException(403, "this service was given no operators' token, so its log is closed")
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), expected)
    if scheme.lower() != "bearer" or not right:
        raise HTTPException(401, "send the operators' token as Authorization: Bearer", {"WWW-Authenticate": "Bearer"})


def _token(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN_BYTES).strip()
    except OSError:
        return b""
