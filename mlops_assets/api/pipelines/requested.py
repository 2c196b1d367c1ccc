"""What several routes take from a request: who changes something, a pipeline's name, the tags that have to fit.

Add here what two route files read in the same way. Keep out what one route alone takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Path, Query
from pydantic import StringConstraints

from mlops_assets.access.roles import Caller
from mlops_assets.api.auth import Editor

FIRST_PAGE, LONGEST_PAGE = 50, 500
LARGEST_OFFSET = 2**31 - 1

Editing = Annotated[Caller, Editor]
Known = Annotated[str, Path(description="A pipeline's id, or its name")]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE)]
Offset = Annotated[int, Query(ge=0, le=LARGEST_OFFSET)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00]*$")]
Tags = Annotated[list[Tag], Query(alias="tag", max_length=20, description="name or name=value; each has to fit")]


def wanted_tags(tags: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """Names of tags, each with the value that is wanted, if any."""
    wanted = [tag.partition("=") for tag in tags]
    return tuple((name, value if joint else None) for name, joint, value in wanted)
