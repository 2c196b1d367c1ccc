"""Parameters: what a run is given is checked and converted, and what a declaration may say of one."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.pipelines.parameters import bind
from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.validate import checked, problems
from tests.unit.pipelines.made_pipelines import pipeline, stage

DECLARED = {
    "rows": {"type": "integer", "default": 10, "minimum": 1, "maximum": 100},
    "share": {"type": "number", "default": 0.5},
    "mode": {"type": "string", "choices": ["fast", "exact"], "default": "fast"},
    "dry": {"type": "boolean", "default": False},
    "extra": {"type": "json"},
    "who": {"type": "string", "required": True},
}


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return checked(pipeline(stage("a"), parameters=DECLARED))


def test_a_run_gets_defaults_and_converted_values(spec: PipelineSpec) -> None:
    defaults = {"rows": 10, "share": 0.5, "mode": "fast", "dry": False, "extra": None, "who": "me"}
    assert bind(spec, {"who": "me"}) == defaults
    given = {"who": "me", "rows": "7", "share": " 1e-3 ", "dry": "TRUE", "extra": {"x": [1]}, "mode": None}
    assert bind(spec, given) == {**defaults, "rows": 7, "share": 0.001, "dry": True, "extra": {"x": [1]}}
    whole = bind(spec, {"who": "me", "rows": 3.0, "share": 2})
    assert (type(whole["rows"]), type(whole["share"])) == (int, float)


REFUSED: dict[str, list[Any]] = {
    "rows": [0, 101, True, 1.5, "1.5", "", [], "9" * 40, float("inf"), 2**70],
    "share": ["nan", "inf", "1_0", float("nan"), False, {}, "1e999"],
    "mode": ["slow", 1, "", "\x00", "\ud800"],
    "dry": [1, 0, "yes", "2"],
    "who": [5, None, b"x"],
    "rwos": [3],
    "extra": [object()],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_run_is_refused_naming_the_parameter(spec: PipelineSpec, name: str, value: Any) -> None:
    with pytest.raises(ProblemError) as refused:
        bind(spec, {"who": "me", name: value})
    assert [problem.field for problem in refused.value.problems] == [f"parameters.{name}"]


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ({"type": "integer", "default": 1.5}, "default"),
        ({"type": "integer", "default": True}, "default"),
        ({"type": "string", "default": 1}, "default"),
        ({"type": "boolean", "default": "true"}, "default"),
        ({"type": "number", "default": 9, "maximum": 8}, "default"),
        ({"type": "string", "default": "c", "choices": ["a", "b"]}, "default"),
        ({"type": "string", "default": "c", "required": True}, "default"),
        ({"type": "integer", "choices": [1, "2"]}, "choices"),
        ({"type": "integer", "choices": [1, 9], "maximum": 5}, "choices"),
        ({"type": "string", "minimum": 1}, "minimum"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "minimum"),
        ({"type": "date"}, "type"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declared: dict[str, Any], field: str) -> None:
    found = problems(pipeline(stage("a"), parameters={"n": declared}))
    assert {(problem.stage, problem.field) for problem in found} == {(None, f"parameters.n.{field}")}
