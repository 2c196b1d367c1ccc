"""Where people are told: apprise addresses from the settings and from a file that only its owner may read.

Add here what a channel can be told apart by. Keep out the sending (`sender`). An address is a secret as a whole:
nothing here puts any part of it but the scheme into a message.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from mlops_assets.notifications.notice import Kind, Notice, Severity
from mlops_assets.settings import Settings

FILE = "channels.yaml"
VARIABLE = "MLOPS_NOTIFY_URLS"
SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]{0,31})://\S+$")
SHORTEST_PIECE = 4
HIDDEN = "***"


class ChannelError(ValueError):
    """A channel isn't declared in a way that can be used; names the entry, never its address."""


@dataclass(frozen=True)
class Channel:
    """One place where people are told, by its name. `least` is the mildest severity that is told there."""

    name: str
    url: str = field(repr=False)
    kinds: frozenset[Kind] = frozenset(Kind)
    least: Severity = Severity.INFO

    @property
    def scheme(self) -> str:
        """What kind of service it is: slack, mailto, json, …"""
        return self.url.partition("://")[0].lower()

    def wants(self, notice: Notice) -> bool:
        """Whether a notice is told there. Who is told that a service is down is told that it is well again."""
        severity = Severity.CRITICAL if notice.kind is Kind.RECOVERED else notice.severity
        return notice.kind in self.kinds and severity.rank >= self.least.rank

    def hide(self, text: str) -> str:
        """`text` without anything that stands in the address."""
        for piece in sorted(_pieces(self.url), key=len, reverse=True):
            text = text.replace(piece, HIDDEN)
        return text


class _Entry(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,62}$")
    url: SecretStr
    kinds: Literal["all"] | list[Kind] = "all"
    least: Severity = Severity.INFO


def channels_file(settings: Settings) -> Path:
    """Where the file is, if there is one."""
    return settings.secrets / FILE


def load(settings: Settings) -> list[Channel]:
    """Every declared channel, those of the settings first.

    Raises:
        ChannelError: an entry can't be used; the message names it, never its address.
    """
    found = [*_from_settings(settings), *_from_file(channels_file(settings))]
    names = [channel.name for channel in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ChannelError(f"two channels are called {', '.join(twice)}: give each a name of its own")
    return found


def _from_settings(settings: Settings) -> list[Channel]:
    """`json-1`, `mailto-2`: named by scheme and place."""
    declared = settings.notify_urls.get_secret_value().split() if settings.notify_urls else []
    found = []
    for number, url in enumerate(declared, 1):
        scheme = _scheme(url, f"{VARIABLE}, entry {number}")
        found.append(Channel(f"{scheme}-{number}", url))
    return found


def _from_file(path: Path) -> list[Channel]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ChannelError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise ChannelError(f"{path}: others may read it (mode {mode:04o}); chmod 600 it")
    return [_declared(path, number, entry) for number, entry in enumerate(_entries(path, content), 1)]


def _entries(path: Path, content: bytes) -> list[Any]:
    # What the parser says of a fault quotes the line, and with it the address.
    try:
        entries = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ChannelError(f"{path}{line}: not YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ChannelError(f"{path}: not YAML") from None
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise ChannelError(f"{path}: must be a list of channels, each with name and url")
    return entries


def _declared(path: Path, number: int, entry: Any) -> Channel:
    where = f"{path}, entry {number}"
    try:
        read = TypeAdapter(_Entry).validate_python(entry)
    except ValidationError as error:
        raise ChannelError(f"{where}: {_faults(error)}") from None
    url = read.url.get_secret_value().strip()
    _scheme(url, f"{where} ({read.name})")
    kinds = frozenset(Kind) if read.kinds == "all" else frozenset(read.kinds)
    return Channel(read.name, url, kinds, read.least)


def _faults(error: ValidationError) -> str:
    """Which field, and what is wrong with it. A field that we don't know may be anything, even an address."""
    said = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        if fault["type"] == "extra_forbidden":
            known = ", ".join(_Entry.model_fields)
            name = str(fault["loc"][0])
            shown = f"{name!r}" if re.fullmatch(r"[a-z_]{1,20}", name) else "one"
            said.append(f"a field that isn't known: {shown}; there are {known}")
        elif fault["loc"] and fault["loc"][0] == "kinds":
            said.append(f"kinds: all, or a list of {', '.join(Kind)}")
        elif fault["loc"]:
            said.append(f"{fault['loc'][0]}: {fault['msg']}")
        else:
            said.append("must have name and url")
    return "; ".join(dict.fromkeys(said))


def _scheme(url: str, where: str) -> str:
    found = SCHEME.match(url)
    if found is None:
        raise ChannelError(f"{where}: not an address like slack://… or mailtos://…")
    return found[1].lower()


def _pieces(url: str) -> set[str]:
    """Every part of an address that could give it away: as it stands there and decoded; a password at any length."""
    rest = url.partition("://")[2]
    place, _, query = rest.partition("?")
    login = place.rpartition("@")[0]
    whole = {rest, place, query, login, login.partition(":")[2]}
    values = [pair.partition("=")[2] for pair in query.split("&")]
    parts = {part for text in (place, *values) for part in re.split(r"[/:@,\s]+", text)}
    short = {login.partition(":")[2]}
    found = {text for text in whole | parts | set(values) if len(text) >= SHORTEST_PIECE} | short
    return {form for text in found for form in (text, unquote(text)) if form}
