"""What this process serves now, shared by the requests (readers) and the follower (the only writer).

Add a fact here when health or an answer must tell it. Keep out decisions. Every field is replaced whole, so a
reader that takes `model` once sees one release from start to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.model import Model


@dataclass
class Served:
    """`failure` is why the release that should serve does not; `database` is what the last poll found."""

    model: Model | None = None
    database: Literal["ok", "unreachable", "not used"] = "not used"
    database_failure: str | None = None
    failure: str | None = None

    def problems(self) -> list[str]:
        """Why this service is degraded; empty when it is not."""
        found = [reason for reason in (self.failure, self.database_failure) if reason]
        if self.model is None and not self.failure:
            found.append("no model is loaded")
        return found
