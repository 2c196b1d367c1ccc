"""What this process serves now, shared by the requests (readers) and the follower (the only writer).

Add a fact here when health or an answer must tell it. Keep out decisions. Every field is replaced whole, so a
reader that takes `current` once sees one release under one label from start to end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from inference.model import Model
from inference.roles import Label
from inference.settings import Variant


@dataclass(frozen=True)
class Serving:
    """A model and what its answers are labelled: production, candidate, or standby for any other release."""

    model: Model
    label: Label
    headers: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        version = str(self.model.version).encode()
        told = ((b"x-served-by", self.label.encode()), (b"x-model-version", version))
        object.__setattr__(self, "headers", told)


@dataclass
class Served:
    """`failure` is why the release that should serve does not; `database` is what the last poll found."""

    variant: Variant = "production"
    current: Serving | None = None
    database: Literal["ok", "unreachable", "not used"] = "not used"
    database_failure: str | None = None
    failure: str | None = None

    @property
    def label(self) -> Label:
        """The label of what serves; with nothing to serve, of what this service would be."""
        if self.current is not None:
            return self.current.label
        return "production" if self.variant == "production" else "standby"

    def problems(self) -> list[str]:
        """Why this service is degraded; empty when it is not."""
        found = [reason for reason in (self.failure, self.database_failure) if reason]
        if self.current is None and not self.failure:
            found.append("no model is loaded")
        return found
