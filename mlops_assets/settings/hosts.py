"""The settings of an installation on several hosts: which parts this one runs, and where the others are.

Add here what one host must know of another. Keep out ports (`ports`) and which programs a part has
(`installation.programs`). Everything defaults to one machine that runs all parts and is asked over its loopback.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, Self, get_args

from pydantic import field_validator, model_validator
from pydantic_settings import BaseSettings

Part = Literal["orchestrator", "serving", "gateway"]
PARTS: tuple[Part, ...] = get_args(Part)
NAMED_BY: dict[Part, str] = {
    "orchestrator": "orchestrator_host",
    "serving": "serving_hosts",
    "gateway": "gateway_host",
}
# A service is asked, and only tells of where operators find its reports.
ASKS: dict[str, tuple[Part, ...]] = {"orchestrator": PARTS, "serving": ("orchestrator",), "gateway": PARTS}
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 (compared with, not bound to)

_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")


class HostSettings(BaseSettings):
    """Lists are kept as people write them in a variable, between blanks; the properties take them apart."""

    # What of the installation runs on this host.
    parts: str = " ".join(PARTS)
    # Where this host's programs listen that ask nobody else's, and are asked by those of this host.
    host: str = LOOPBACK
    # Where servers listen that other hosts ask.
    listen: str = LOOPBACK
    # Where each part is found; without it, here.
    orchestrator_host: str | None = None
    # A name with several addresses stands for all of them.
    serving_hosts: str | None = None
    gateway_host: str | None = None

    @field_validator("parts")
    @classmethod
    def _known(cls, given: str) -> str:
        if not given.split() or not set(given.split()) <= set(PARTS):
            raise ValueError(f"give one or more of {', '.join(PARTS)}, between blanks; not {given!r}")
        return given

    @field_validator("listen")
    @classmethod
    def _address(cls, given: str) -> str:
        if not is_address(given):
            raise ValueError(f"an IPv4 address of this host, or {EVERYWHERE} for all of them; not {given!r}")
        return given

    @field_validator("orchestrator_host", "gateway_host")
    @classmethod
    def _one(cls, given: str | None) -> str | None:
        return None if given is None else checked_host(given)

    @field_validator("serving_hosts")
    @classmethod
    def _several(cls, given: str | None) -> str | None:
        return None if given is None else " ".join(dict.fromkeys(checked_host(word) for word in given.split()))

    @model_validator(mode="after")
    def _others_are_found(self) -> Self:
        asked = {part for own in self.parts.split() for part in ASKS[own]}
        for part, name in NAMED_BY.items():
            if part in asked and part not in self.parts.split() and not getattr(self, name):
                raise ValueError(f"MLOPS_{name.upper()}: say where it is, since MLOPS_PARTS leaves out {part}")
        return self

    def runs(self, part: Part) -> bool:
        """Whether this host runs that part."""
        return part in self.parts.split()

    @property
    def alone(self) -> bool:
        """Whether this host runs the whole installation."""
        return set(self.parts.split()) == set(PARTS)

    @property
    def here(self) -> str:
        """Where this host's own programs ask its servers that other hosts may ask too."""
        return self.host if self.listen in (EVERYWHERE, LOOPBACK) else self.listen

    def places(self, part: Part) -> tuple[str, ...]:
        """Names or addresses at which this host asks a part; several only of `serving`."""
        return tuple((getattr(self, NAMED_BY[part]) or self.here).split())


def checked_host(given: str) -> str:
    """The name or IPv4 address itself. Raises ValueError for anything else, such as an address with a port."""
    numbers = given.replace(".", "").isdigit()
    if not _NAME.fullmatch(given) or (numbers and not is_address(given)):
        raise ValueError(f"a host's name or IPv4 address, without scheme and port; not {given!r}")
    return given


def is_address(host: str) -> bool:
    """Whether it is an IPv4 address rather than a name that has to be looked up."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
