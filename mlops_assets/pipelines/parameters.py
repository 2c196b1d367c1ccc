"""The parameters of a run: whether their declaration makes sense, and what a run gets for what it was given.

Add a type of parameter here (and in `spec.Parameter`). Keep out where values come from: a form and a command line
send text, JSON and YAML send values, and both mean the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_assets.pipelines.problem import Problem, ProblemError, did_you_mean
from mlops_assets.pipelines.spec import Parameter, PipelineSpec
from mlops_assets.pipelines.structure import INTEGERS, structure_problems

MAX_GIVEN_BYTES = 1024 * 1024
WORDS = {"true": True, "false": False}


def bind(spec: PipelineSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run of the pipeline gets: every declared parameter, given or by default, None if it has neither.

    Text is converted to the declared type. None counts as not given. ProblemError: names every parameter at fault.
    """
    return bound(spec.parameters, given)


def bound(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """As `bind`, for any declared parameters."""
    _, problems = structure_problems({"parameters": dict(given)}, MAX_GIVEN_BYTES)
    if problems:
        raise ProblemError(problems)
    problems = [
        Problem(None, f"parameters.{name}", f"there is no such parameter{did_you_mean(name, declared)}")
        for name in given
        if name not in declared
    ]
    result: dict[str, Any] = {}
    for name, parameter in declared.items():
        value = given.get(name)
        try:
            result[name] = _default(parameter) if value is None else _accepted(parameter, value)
        except ValueError as error:
            problems.append(Problem(None, f"parameters.{name}", str(error)))
    if problems:
        raise ProblemError(problems)
    return result


def declaration_faults(parameter: Parameter) -> Iterator[tuple[str, str]]:
    """What is wrong with a declaration: the field, and why."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type not in ("integer", "number"):
        for field, limit in (("minimum", low), ("maximum", high)):
            if limit is not None:
                yield field, f"a {parameter.type} has no {field}"
    elif low is not None and high is not None and low > high:
        yield "minimum", f"{low} is over the maximum {high}"
    for choice in parameter.choices or ():
        try:
            _limited(parameter, _typed(parameter.type, choice))
        except ValueError as error:
            yield "choices", f"{choice!r:.80}: {error}"
    if parameter.default is not None:
        if parameter.required:
            yield "default", "a required parameter has no default"
        try:
            _chosen(parameter, _limited(parameter, _typed(parameter.type, parameter.default)))
        except ValueError as error:
            yield "default", str(error)


def _default(parameter: Parameter) -> Any:
    if parameter.required:
        raise ValueError("is required")
    return None if parameter.default is None else _typed(parameter.type, parameter.default)


def _accepted(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and parameter.type not in ("string", "json"):
        value = _from_text(parameter.type, value.strip())
    return _chosen(parameter, _limited(parameter, _typed(parameter.type, value)))


def _from_text(kind: str, text: str) -> Any:
    if kind == "boolean":
        if text.lower() in WORDS:
            return WORDS[text.lower()]
    elif kind == "integer":
        if re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            return int(text)
    elif re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", text):
        return float(text)
    raise ValueError(f"{text[:80]!r} is no {kind}")


def _typed(kind: str, value: Any) -> Any:
    """The value as the type's own Python type. ValueError: it is of another type."""
    if (
        kind == "json"
        or (kind == "string" and isinstance(value, str))
        or (kind == "boolean" and isinstance(value, bool))
    ):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        if kind == "number":
            return float(value)
        if kind == "integer" and int(value) == value and int(value) in INTEGERS:
            return int(value)
    raise ValueError(f"{value!r:.80} is no {kind}")


def _limited(parameter: Parameter, value: Any) -> Any:
    if parameter.type in ("integer", "number"):
        if parameter.minimum is not None and value < parameter.minimum:
            raise ValueError(f"{value} is under the minimum {parameter.minimum}")
        if parameter.maximum is not None and value > parameter.maximum:
            raise ValueError(f"{value} is over the maximum {parameter.maximum}")
    return value


def _chosen(parameter: Parameter, value: Any) -> Any:
    if parameter.choices is not None and value not in parameter.choices:
        raise ValueError(f"{value!r:.80} is none of {', '.join(repr(choice) for choice in parameter.choices)}")
    return value
