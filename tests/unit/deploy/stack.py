"""`deploy/compose.yaml` as Docker Compose reads it: merged, and with its variables filled in.

Keep out what is expected of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for

from mlops_assets.settings import PROJECT

COMPOSE = PROJECT / "deploy" / "compose.yaml"
EXAMPLE = PROJECT / "deploy" / "compose.env.example"
DOCKERFILE = PROJECT / "deploy" / "images" / "Dockerfile"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")
Service = dict[str, Any]


class UnsetError(ValueError):
    """A required variable has no value; the message is the file's own."""


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?message}` replaced, as the Compose specification has it."""

    def value(found: re.Match[str]) -> str:
        given = variables.get(found["name"], "")
        if not given and found["kind"] == ":?":
            raise UnsetError(f"{found['name']}: {found['rest']}")
        return given or (found["rest"] if found["kind"] == ":-" else "")

    return VARIABLE.sub(value, text)


def required() -> set[str]:
    """Names of the variables without which the stack doesn't start."""
    return {found["name"] for found in VARIABLE.finditer(COMPOSE.read_text()) if found["kind"] == ":?"}


def optional() -> set[str]:
    """Names of the variables that have a default."""
    return {found["name"] for found in VARIABLE.finditer(COMPOSE.read_text())} - required()


@cache
def stack(**variables: str) -> dict[str, Any]:
    """The whole file, not to be changed; a required variable that isn't given is its own name in small letters."""
    values = {name: name.lower() for name in required()} | variables
    found: dict[str, Any] = yaml.safe_load(interpolated(COMPOSE.read_text(), values))
    return found


def services(**variables: str) -> dict[str, Service]:
    """Every service by name."""
    found: dict[str, Service] = stack(**variables)["services"]
    return found


def ours(services: Mapping[str, Service]) -> dict[str, Service]:
    """The services that run one of our images."""
    return {name: service for name, service in services.items() if "build" in service}


def schema_errors(schema: str, document: Any) -> list[str]:
    """What a document breaks of a schema that `check-jsonschema` carries; empty if nothing."""
    rules = get_builtin_schema(f"vendor.{schema}")
    return [f"{error.json_path}: {error.message}" for error in validator_for(rules)(rules).iter_errors(document)]


@cache
def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0].upper(), line.partition(" ")[2].strip()) for line in joined.splitlines() if line.strip()]


def version() -> str:
    """The project's version, where it is written."""
    found: str = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    return found
