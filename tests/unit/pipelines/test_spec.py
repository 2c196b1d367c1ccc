"""What a spec keeps and refuses by itself, and the text and digest that stand for it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from mlops_assets.pipelines.spec import PipelineSpec, canonical, digest
from mlops_assets.pipelines.validate import checked, problems
from tests.unit.pipelines.made_pipelines import pipeline, stage


def test_a_spec_can_not_be_changed() -> None:
    spec = checked(pipeline(stage("a")))
    with pytest.raises(ValidationError):
        spec.stages[0].retry_count = 3  # type: ignore[misc]


def test_json_brings_back_the_same_spec() -> None:
    raw = pipeline(
        stage("load", parameters={"rows": 3}, environment={"MODE": "fäst"}, retry_count=2),
        stage("train", ["load"], source="def run(load, context):\n    return '\\n\"'\n"),
        schedule="0 3 * * 1",
        parameters={"n": {"type": "integer", "default": 1, "maximum": 3}},
        config={"deep": [{"x": None}]},
    )
    spec = checked(raw)
    assert PipelineSpec.model_validate_json(spec.model_dump_json()) == spec
    assert checked(json.loads(canonical(spec))) == spec


def test_equal_specs_have_one_digest_however_they_are_written() -> None:
    plain = checked(pipeline(stage("a"), config={"x": 1, "y": 2}))
    spelled_out = checked(pipeline(stage("a", retry_count=0), config={"y": 2, "x": 1}, active=True))
    assert digest(plain) == digest(spelled_out)
    assert digest(plain) != digest(checked(pipeline(stage("a"), config={"x": 1, "y": 3})))


@pytest.mark.parametrize(
    "function",
    [
        {"path": "package.module:name"},
        {"file": "steps/clean.py", "name": "run"},
        {"repository": "https://git.example/team/steps.git", "commit": "0" * 40, "file": "a.py", "name": "run"},
        {"repository": "git@git.example:team/steps.git", "commit": "a" * 40, "file": "a.py", "name": "run"},
    ],
)
def test_a_function_is_named_by_path_file_or_commit(function: dict[str, str]) -> None:
    spec = checked(pipeline(stage("a", function=function)))
    assert checked(json.loads(canonical(spec))) == spec


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ({"path": "no_name"}, "function.path"),
        ({"file": "/etc/passwd.py", "name": "run"}, "function.file"),
        ({"file": "a/../../b.py", "name": "run"}, "function.file"),
        ({"repository": "ext::sh -c x", "commit": "0" * 40, "file": "a.py", "name": "run"}, "function.repository"),
        ({"repository": "https://u:p@h/r", "commit": "0" * 40, "file": "a.py", "name": "run"}, "function.repository"),
        ({"repository": "--upload-pack=x", "commit": "0" * 40, "file": "a.py", "name": "run"}, "function.repository"),
        ({"repository": "https://h/r", "commit": "HEAD", "file": "a.py", "name": "run"}, "function.commit"),
        (
            {"repository": "https://h/r", "branch": "-x", "commit": "0" * 40, "file": "a.py", "name": "run"},
            "function.branch",
        ),
        ({}, "function.file"),
    ],
)
def test_a_function_that_could_be_anything_else_is_refused(function: dict[str, str], field: str) -> None:
    found = problems(pipeline(stage("a", function=function)))
    assert ("a", field) in {(problem.stage, problem.field) for problem in found}
