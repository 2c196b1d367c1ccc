"""YAML both ways: an export reads well and comes back exactly; what isn't plain data is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_assets.pipelines.problem import ProblemError
from mlops_assets.pipelines.spec import digest
from mlops_assets.pipelines.validate import checked
from mlops_assets.pipelines.yaml_file import YamlError, dump, load, read
from tests.unit.pipelines.made_pipelines import pipeline, stage

SOURCE = 'import json\n\n\ndef run():\n    return json.dumps("""ü: \'x\' # 🚀\n\n""")\n'


def test_source_is_exported_as_it_was_typed() -> None:
    text = dump(checked(pipeline(stage("a", source=SOURCE))))
    assert "  source: |\n    import json\n" in text
    assert "ü: 'x' # 🚀" in text


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n  \n", "\t\n", "\r\n", "   "])
def test_the_end_of_a_source_is_kept(end: str) -> None:
    spec = checked(pipeline(stage("a", source=f"def run():\n    return 1{end}")))
    assert load(dump(spec)) == spec
    assert digest(load(dump(spec).encode())) == digest(spec)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
LINES = st.lists(TEXTS | st.sampled_from(["", " ", "  x", "# y", "- z", "\t", "\x85", "\u2028"]), max_size=6).map(
    "\n".join
)
WORDS = (
    TEXTS | LINES | st.sampled_from(["no", "null", "~", "12:30", "2024-01-31", "1_0", "0x1F", "1e5", "<<", "=", "*a"])
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=10,
)


@given(WORDS, st.dictionaries(WORDS, VALUES, max_size=4), LINES)
@example(" \n x", {"<<": [], "=": "", "\ufeff": "\ufeffx"}, "\n\n  x\n")
@settings(max_examples=300, deadline=None)
def test_whatever_is_exported_comes_back(description: str, config: dict[str, Any], comment: str) -> None:
    source = f'x = {comment!r}\n"""{comment.encode("unicode_escape").decode().replace(chr(34), "")}"""\ndef run(): pass'
    spec = checked(pipeline(stage("a", source=source), description=description, config=config))
    assert load(dump(spec)) == spec


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("name: x\nstages: [1, 2", 3, 1),
        ("name: x\n title: y\n", 2, 7),
        ("name: x\nname: y\n", 2, 1),
        ("name: x\nconfig:\n  a: 1\n  b: 2\n  a: 3\n", 5, 3),
        ("name: x\n'name': y\n", 2, 1),
        ("on: x\n", 1, 1),
        ("1: x\n", 1, 1),
        ("? [a, b]\n: x\n", 1, 3),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, 3),
        ("a: !!python/object/apply:os.system ['true']\n", 1, 4),
        ("a: !!binary aGk=\n", 1, 4),
        ("a: *nothing\n", 1, 4),
        ("a: 1\n---\nb: 2\n", 2, 1),
        ("a: 0x_\n", 1, 4),
        ("ü: 1\nb: \x07\n", 2, 4),
        ("a: " + "9" * 5000, 1, 4),
        ("a: \t\tb\n\tc: d\n", 2, 1),
    ],
)
def test_a_refusal_says_where(text: str, line: int, column: int) -> None:
    with pytest.raises(YamlError) as refused:
        read(text)
    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00",
        "a: \ud800",
        "x" * 5_000_000,
        "[" * 100_000,
        "{a: " * 5_000,
        "- " * 5_000,
        "- a\n" * 900_000,
        "a: &a [" + ",".join(["*a"] * 200) + "]",
        "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10) if i else 'x'}]" for i in range(30)),
    ],
)
def test_what_would_be_expensive_is_refused(text: str | bytes) -> None:
    with pytest.raises(YamlError):
        read(text)


@pytest.mark.parametrize("text", ["", "   ", "- a", "text", "null", "{}", "name: x"])
def test_what_is_no_pipeline_is_refused(text: str) -> None:
    with pytest.raises(ProblemError):
        load(text)


def test_few_aliases_that_unfold_to_much_are_refused() -> None:
    rows = "\n".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]" for i in range(11))
    with pytest.raises(ProblemError, match=r"values|larger"):
        load(f"name: x\nconfig:\n{rows}\nstages: []\n")
    with pytest.raises(ProblemError, match="nested"):
        load("name: x\nconfig: &a\n  b: *a\nstages: []\n")


def test_dates_and_times_of_day_stay_text() -> None:
    assert read("a: 2024-01-31\nb: 12:30\nc: 1:2.5\nd: 12\ne: 2024-01-31T10:00:00Z") == {
        "a": "2024-01-31",
        "b": "12:30",
        "c": "1:2.5",
        "d": 12,
        "e": "2024-01-31T10:00:00Z",
    }


def test_a_file_from_another_editor_is_read() -> None:
    text = "name: made\nstages:\n- name: a\n  stage_type: CLEANUP\n  source: |\n    def run():\n      pass\n"
    assert load(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()).stages[0].source == "def run():\n  pass\n"
