"""The settings of signing in with an OpenID Connect provider, and the address that it sends people back to.

Add here what a provider needs to be told or asked. Keep out the protocol (`api.oidc`) and what a role may do.
"""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

# Written out, since the settings know no other part.
ROLES = ("viewer", "editor", "operator")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ProviderSettings(BaseSettings):
    """Issuer, id and secret together, and `public_api_url`, or none of the `oidc_*`."""

    # How people reach the pages from where they read a notice or sign in; else this machine's own addresses.
    public_api_url: HttpUrl | None = None

    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    # Which group has which role, `ml-ops=operator ml=editor`; a blank in a group's name is written %20.
    oidc_roles: str = ""
    # The claim that names somebody's groups; `realm_access.roles` looks into nested ones.
    oidc_roles_claim: str = Field(default="groups", min_length=1, max_length=200)
    # The role of everybody else whom the provider knows; without it they are refused.
    oidc_default_role: Literal["viewer", "editor", "operator"] | None = None

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        # Whoever can read or change what is between here and the provider could be anybody.
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not safe or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("an https:// address without query or user (http:// only for this machine's loopback)")
        return url

    @field_validator("oidc_roles")
    @classmethod
    def _group_roles(cls, given: str) -> str:
        for entry in given.split():
            group, _, role = entry.rpartition("=")
            if not group or role not in ROLES or re.search(f"=({'|'.join(ROLES)})[,;]", group):
                raise ValueError(f"{entry!r} isn't <group>=<role>, with a role of {', '.join(ROLES)}, between blanks")
        return given

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        given = {
            name: getattr(self, name)
            for name in ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "oidc_roles", "oidc_default_role")
        }
        if not any(given.values()):
            return self
        for name in ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "public_api_url"):
            if not getattr(self, name):
                others = ", ".join(f"MLOPS_{other.upper()}" for other, value in given.items() if value)
                raise ValueError(f"MLOPS_{name.upper()}: it is missing, and {others} can't be used without it")
        if not self.oidc_roles and self.oidc_default_role is None:
            raise ValueError("MLOPS_OIDC_ROLES: without it or MLOPS_OIDC_DEFAULT_ROLE, nobody could sign in")
        return self
