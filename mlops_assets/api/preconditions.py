"""Optimistic concurrency over HTTP: a change names the version that it was made from (RFC 9110, If-Match).

Keep out versions themselves. The check answers early and clearly; the change must still name the version in its
UPDATE, since another one can come in between.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header
from starlette.exceptions import HTTPException

LONGEST_HEADER = 200
# Only strong tags: a weak one says that two versions are as good as equal, which isn't enough to overwrite one.
_TAGS = re.compile(r'(?:^|,)[ \t]*("[^"]*")[ \t]*(?=,|$)')

IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=LONGEST_HEADER, description="The ETag that was read, or *")
]


def etag(version: int) -> str:
    """The tag of a version."""
    return f'"{version}"'


def require_match(header: str | None, version: int) -> None:
    """Return if the change was made from this version.

    Raises:
        HTTPException: 428 without the header, 412 if the version is another one; its ETag is the present one.
    """
    if header is None or not header.strip():
        raise HTTPException(428, f"send If-Match with the ETag that you have read, such as {etag(version)}, or *")
    if header.strip() != "*" and etag(version) not in _TAGS.findall(header):
        raise HTTPException(
            412, f"it is version {version} now and was changed since you read it", {"ETag": etag(version)}
        )
