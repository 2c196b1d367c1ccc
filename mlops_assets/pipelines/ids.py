"""What ids and names look like, for whoever is given one from outside.

Keep out what they belong to.
"""

from __future__ import annotations

import re
from uuid import UUID

# Of a pipeline or a stage. It has no hyphen, so that none can be taken for an id.
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def uuid_of(text: str) -> UUID | None:
    """The id that a text is in its usual form, 36 characters; None for anything else."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
