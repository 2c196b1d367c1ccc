"""Who somebody is to us of whom an OpenID Connect provider told: name and role by the provider's claims.

Add here what else of the claims should count. Keep out how the claims come and why they can be trusted (`api.oidc`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from mlops_assets.access.roles import AccessError, Caller, Kind, Role
from mlops_assets.access.tokens import RESERVED_NAMES

# The specification's own limit.
LONGEST_SUBJECT = 255
# As much as the ledger takes for who gives an order.
LONGEST_NAME = 80
# What the provider vouches for comes first: a `name` is often what people write themselves.
NAME_CLAIMS = ("email", "preferred_username", "name", "sub")


class NoRoleError(AccessError):
    """Somebody whom the provider knows has no role here."""


@dataclass(frozen=True)
class RoleRules:
    """Which role whoever has, by the groups that `claim` names; `default` for everybody else, None to refuse them."""

    claim: str
    groups: Mapping[str, Role]
    default: Role | None = None

    @classmethod
    def parse(cls, claim: str, text: str, default: str | None = None) -> RoleRules:
        """The rules of `ml-ops=operator ml=editor`. Raises ValueError for another role than there are."""
        pairs = [entry.rpartition("=") for entry in text.split()]
        groups: dict[str, Role] = {}
        for group, _, role in pairs:
            name, given = unquote(group), Role(role)
            groups[name] = given if name not in groups or given.allows(groups[name]) else groups[name]
        return cls(claim, groups, Role(default) if default else None)

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The role that allows the most of all that somebody's groups have."""
        found = [self.groups[group] for group in groups_of(claims, self.claim) if group in self.groups]
        if self.default is not None:
            found.append(self.default)
        return max(found, key=list(Role).index, default=None)

    def mark(self, issuer: str, client_id: str) -> str:
        """Short text that differs for other rules or another provider: sessions end when these change."""
        rules = sorted(self.groups.items())
        return sha256(repr((issuer, client_id, self.claim, rules, self.default)).encode()).hexdigest()[:16]


def groups_of(claims: Mapping[str, Any], claim: str) -> Sequence[str]:
    """The groups that a claim names, as one text or a list; a dotted name looks into nested claims as well."""
    found: Any = claims.get(claim)
    if found is None and "." in claim:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [group for group in found if isinstance(group, str)] if isinstance(found, list) else []


def caller_of(claims: Mapping[str, Any], rules: RoleRules) -> Caller:
    """Who the claims of a validated id token are about; the id is their subject, which never changes its owner.

    Raises:
        NoRoleError: none of their groups has a role here.
        AccessError: the subject can't be kept.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise AccessError("sub: 1 to 255 printable characters")
    name = name_of(claims)
    role = rules.role(claims)
    if role is None:
        raise NoRoleError(f"{name!r} is in no group that has a role here")
    return Caller(f"oidc:{subject}", name, role, Kind.OIDC)


def name_of(claims: Mapping[str, Any]) -> str:
    """What to call somebody: the address if it isn't known to be unverified, else their user name, name or subject."""
    for claim in NAME_CLAIMS:
        given = claims.get(claim)
        if not isinstance(given, str) or (claim == "email" and claims.get("email_verified") is False):
            continue
        name = "".join(character for character in given if character.isprintable()).strip()[:LONGEST_NAME].strip()
        if name:
            # Nobody is to look like the installation's own token in the audit.
            return f"{name} (oidc)" if name.lower() in RESERVED_NAMES else name
    return "unnamed"
