"""Who asks the control API, and what each role may do: viewers read, editors change pipelines, operators do all.

Add a role here, in its place by what it may do. Keep out how somebody proves who they are (`tokens`, `api.auth`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AccessError(ValueError):
    """A token can't be made, found or revoked as asked; the message says why and holds no secret."""


class Role(StrEnum):
    """From the least to the most; each may do what those before it may."""

    VIEWER = "viewer"  # reads
    EDITOR = "editor"  # creates, changes and triggers pipelines
    OPERATOR = "operator"  # rollouts, tokens and all else

    def allows(self, needed: Role) -> bool:
        """Whether it may do what needs `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Kind(StrEnum):
    """How a caller proved who it is."""

    FILE = "file"  # the installation's own token, in its folder of secrets
    TOKEN = "token"  # noqa: S105 (issued by `mlops token create`)
    SESSION = "session"  # a browser that signed in with one of these
    OIDC = "oidc"  # a browser that signed in with the OpenID Connect provider
    CLI = "cli"  # somebody at a terminal who may open the database


@dataclass(frozen=True)
class Caller:
    """Who asks. `id` stays theirs alone, `name` may be given again once a token is revoked."""

    id: str
    name: str
    role: Role
    kind: Kind
