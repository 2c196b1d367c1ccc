"""Pipelines to start from, each a YAML file beside this one, with parameters of its own.

Add a template as a file in `templates/`: `title`, `description`, `parameters` and the `pipeline`, where a value that
is `${name}` and nothing else stands for that parameter's value. Values are put in as data: nothing is ever replaced
inside a text, and nothing at all in a stage's source. Keep out what a pipeline may say (`validate`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import JsonValue

from mlops_assets.pipelines.parameters import bound
from mlops_assets.pipelines.spec import Name, Parameter, PipelineSpec, Prose, Spec, Title
from mlops_assets.pipelines.validate import checked
from mlops_assets.pipelines.yaml_file import read

_VALUE = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


class Template(Spec):
    """A pipeline with parameters that are filled in when it is made, not when it runs."""

    name: Name
    title: Title
    description: Prose
    parameters: dict[Name, Parameter]
    pipeline: dict[str, JsonValue]


@cache
def templates() -> tuple[Template, ...]:
    """The built-in templates by name."""
    found = sorted(files(__package__).joinpath("templates").iterdir(), key=lambda file: file.name)
    return tuple(
        Template.model_validate({"name": file.name.removesuffix(".yaml"), **read(file.read_bytes())})
        for file in found
        if file.name.endswith(".yaml")
    )


def template_of(name: str) -> Template:
    """The template of this name. LookupError: there is none."""
    for template in templates():
        if template.name == name:
            return template
    raise LookupError(f"there is no template {name[:80]!r}")


def render(template: Template, name: str, given: Mapping[str, Any]) -> PipelineSpec:
    """A pipeline of this name from the template. ProblemError: a value or the name is refused."""
    values = bound(template.parameters, given)
    stages = template.pipeline.get("stages")
    filled = _filled({key: part for key, part in template.pipeline.items() if key != "stages"}, values)
    return checked({"name": name, **filled, "stages": [_filled_stage(stage, values) for stage in _list(stages)]})


def _filled_stage(stage: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part if key == "source" else _filled(part, values) for key, part in stage.items()}


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(inner, values) for key, inner in part.items()}
    if isinstance(part, list):
        return [_filled(inner, values) for inner in part]
    found = _VALUE.fullmatch(part) if isinstance(part, str) else None
    return values[found[1]] if found else part


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
