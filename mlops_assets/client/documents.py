"""A pipeline as a script has it, a mapping, YAML text or a file, and what is sent of it.

Add here another form that a pipeline may come in. Keep out what a pipeline may say: the API judges that, and its words
are better than any from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.client.connection import as_json
from mlops_assets.client.errors import ClientError

Spec = Mapping[str, Any] | str | Path

JSON, YAML = "application/json", "application/yaml"
SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """What is sent. `name` is the pipeline's, None if none can be found in it."""

    content: bytes
    media_type: str
    name: str | None


def document(spec: Spec) -> Document:
    """What is sent of a mapping, of YAML text (a str) or of a YAML or JSON file (a Path). ClientError: not sendable."""
    if isinstance(spec, Path):
        content = _file(spec)
        return _json(content) if spec.suffix == ".json" else Document(content, YAML, _name_in_yaml(content))
    if isinstance(spec, str):
        if "\n" not in spec and spec.endswith(SUFFIXES):
            raise ClientError(f"a str is YAML text; for a file give Path({spec[:200]!r})")
        try:
            content = spec.encode()
        except UnicodeEncodeError:
            raise ClientError("the YAML text is no text that can be sent") from None
        return Document(content, YAML, _name_in_yaml(content))
    name = spec.get("name")
    return Document(as_json(dict(spec), "the pipeline"), JSON, name if isinstance(name, str) else None)


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise ClientError(f"{path}: larger than {MAX_BYTES // 2**20} MB")
    return content


def _json(content: bytes) -> Document:
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):
        given = None
    name = given.get("name") if isinstance(given, dict) else None
    return Document(content, JSON, name if isinstance(name, str) else None)


def _name_in_yaml(content: bytes) -> str | None:
    """The value of `name` in the outermost mapping, found without building anything from the text."""
    import yaml

    depth, key, value_next = 0, "", False
    try:
        for event in yaml.parse(content, Loader=yaml.CSafeLoader):
            if depth == 0 and isinstance(event, (yaml.ScalarEvent, yaml.SequenceStartEvent)):
                return None
            if depth == 1 and isinstance(event, yaml.NodeEvent):
                words = event.value if isinstance(event, yaml.ScalarEvent) else ""
                if value_next and key == "name":
                    return words or None
                key, value_next = ("", False) if value_next else (words, True)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
    except yaml.YAMLError:
        return None
    return None
