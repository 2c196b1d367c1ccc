"""A pipeline as it comes in a request: JSON, YAML or an uploaded file, as raw data that nobody has judged yet.

Add a format here. Keep out what a pipeline may say (`accepting`). Reading the bytes is all that happens on the event
loop; `Body.raw` belongs in a thread. A text that can't be read is refused with its line and column.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from mlops_assets.pipelines import yaml_file
from mlops_assets.pipelines.problem import Problem, ProblemError
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.structure import MAX_BYTES, MAX_DEPTH, MAX_VALUES

JSON = "application/json"
YAML = ("application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml")
FORM = "multipart/form-data"
FILE = "file"
# A text in JSON; one that isn't closed goes on to the end, so that no place is looked at twice.
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


@dataclass(frozen=True)
class Body:
    """A body and how it is to be read."""

    content: bytes
    is_yaml: bool

    def raw(self) -> Any:
        """The data in it. ProblemError: it can't be read."""
        return yaml_file.read(self.content) if self.is_yaml else _json(self.content)


async def json_or_yaml(request: Request) -> Body:
    """The body by its Content-Type. HTTPException: 413 too large, 415 another type."""
    kind = _kind(request)
    if kind != JSON and kind not in YAML:
        raise HTTPException(415, f"send {JSON} or {YAML[0]}")
    return Body(await request.body(), kind in YAML)


async def yaml_or_form(request: Request) -> Body:
    """The YAML in the body, or in the form's field `file`.

    HTTPException: 400 no such form, 413 too large, 415 another type. ProblemError: a form without the one file.
    """
    kind = _kind(request)
    if kind in YAML:
        return Body(await request.body(), True)
    if kind != FORM:
        raise HTTPException(415, f"send {YAML[0]}, or {FORM} with the field {FILE}")
    async with request.form(max_files=1, max_fields=1, max_part_size=MAX_BYTES) as form:
        given = form.getlist(FILE)
        if len(given) != 1 or len(form.multi_items()) != 1:
            raise ProblemError([Problem(None, FILE, f"send one field {FILE} and no other")])
        content = given[0]
        return Body(await content.read() if isinstance(content, UploadFile) else content.encode(), True)


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _json(content: bytes) -> Any:
    """The data in a JSON text. ProblemError: it is no JSON in UTF-8, or has more in it than is ever accepted."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("the text is not UTF-8")
    _require_few(content)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_int=_integer)
    except json.JSONDecodeError as error:
        _refuse(f"line {error.lineno}, column {error.colno}: {error.msg}")
    except RecursionError:
        _refuse(f"nested deeper than {MAX_DEPTH}")


def _require_few(content: bytes) -> None:
    """Refuse, before it is unfolded, a text with more values than are accepted: each is many bytes in memory."""
    if _marks(content) > MAX_VALUES and _marks(_TEXTS.sub(b"", content)) > 2 * MAX_VALUES:
        _refuse(f"more than {MAX_VALUES} values")


def _marks(content: bytes) -> int:
    """How many commas and opening brackets there are: at least as many as values, at most twice as many, less one."""
    return sum(content.count(mark) for mark in (b",", b"[", b"{"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        _refuse(f"the key {twice[:80]!r} is given twice")
    return found


def _no_number(word: str) -> NoReturn:
    _refuse(f"{word} is no JSON number")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        _refuse(f"the number {digits[:20]}… needs more than 64 bits")
    return int(digits)


def _refuse(message: str) -> NoReturn:
    raise ProblemError([Problem(None, "", message)])


def described(*kinds: str) -> dict[str, Any]:
    """What the OpenAPI document says of a route's body."""
    spec = _inlined(PipelineSpec.model_json_schema())
    schemas: dict[str, Callable[[], dict[str, Any]]] = {
        JSON: lambda: spec,
        YAML[0]: lambda: {"type": "string", "description": "The same as YAML"},
        FORM: lambda: {
            "type": "object",
            "properties": {FILE: {"type": "string", "format": "binary", "description": "A YAML file"}},
            "required": [FILE],
        },
    }
    content = {kind: {"schema": schemas[kind]()} for kind in kinds}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that points at nothing outside itself, as what stands in a route has to."""
    definitions = schema.get("$defs", {})

    def without_references(part: Any) -> Any:
        if isinstance(part, list):
            return [without_references(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        target = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else {}
        return {
            key: without_references(inner) for key, inner in (target | part).items() if key not in ("$ref", "$defs")
        }

    found: dict[str, Any] = without_references(schema)
    return found
