"""Refusals: all at once, each naming its stage and field, and none of them expensive."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.pipelines.problem import Problem, ProblemError
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.validate import checked, order_of, problems
from tests.unit.pipelines.made_pipelines import pipeline, stage


def places(raw: Any) -> set[tuple[str | None, str]]:
    return {(problem.stage, problem.field) for problem in problems(raw)}


def only(raw: Any) -> Problem:
    (problem,) = problems(raw)
    return problem


def test_the_smallest_pipeline_is_accepted() -> None:
    raw = {
        "name": "two_stage",
        "stages": [
            {
                "name": "prepare",
                "stage_type": "DATA_PREPROCESSING",
                "source": "import pandas as pd\ndef run():\n    return pd.DataFrame({'x': [1, 2], 'y': [2, 4]})",
            },
            {
                "name": "train",
                "stage_type": "MODEL_TRAINING",
                "dependencies": ["prepare"],
                "source": "def run(prepare, context):\n    return len(prepare)",
            },
        ],
    }
    assert problems(raw) == ()
    assert problems(checked(raw)) == ()


def test_all_problems_come_at_once() -> None:
    raw = pipeline(
        stage("load", retry_count=11),
        stage("load", ["lod"]),
        stage("clean", stage_type="CUSTOM", order=2),
        stage("train", ["clean"], order=1, source="def run(clean:\n    pass"),
        stage("a", ["b"]),
        stage("b", ["a"], order=2),
        {"stage_type": "NO_SUCH"},
        schedule="every day",
        timezone="Europe/Berln",
        parameters={"n": {"type": "integer", "default": "many"}},
        colour="red",
    )
    assert places(raw) == {
        ("load", "retry_count"),
        ("load", "name"),
        ("load", "dependencies"),
        ("clean", "custom_name"),
        ("train", "dependencies"),
        ("train", "source"),
        ("a", "dependencies"),
        ("b", "order"),
        ("stages[6]", "name"),
        ("stages[6]", "stage_type"),
        ("stages[6]", "source"),
        (None, "schedule"),
        (None, "timezone"),
        (None, "parameters.n.default"),
        (None, "colour"),
    }


def test_close_names_are_suggested() -> None:
    assert "prepare" in only(pipeline(stage("prepare"), stage("train", ["prepar"]))).message
    assert "Europe/Berlin" in only(pipeline(stage("a"), timezone="Europe/Berln")).message
    assert "retry_count" in only(pipeline(stage("a", retry_cuont=1))).message


def test_a_cycle_is_named_from_its_first_stage_on() -> None:
    problem = only(pipeline(stage("c", ["b"]), stage("a", ["c"]), stage("b", ["a"])))
    assert (problem.stage, problem.field) == ("c", "dependencies")
    assert "c → a → b → c" in problem.message


def test_a_stage_that_depends_on_itself_is_a_cycle() -> None:
    assert only(pipeline(stage("a", ["a"]))).stage == "a"


def test_two_cycles_are_two_problems() -> None:
    raw = pipeline(stage("a", ["b"]), stage("b", ["a"]), stage("c", ["d"]), stage("d", ["c"]))
    assert [problem.stage for problem in problems(raw)] == ["a", "c"]


@pytest.mark.parametrize("count", [201, 10_000])
def test_too_many_stages_are_refused_as_such(count: int) -> None:
    chain = [stage("s0"), *(stage(f"s{i}", [f"s{i - 1}"]) for i in range(1, count))]
    problem = only(pipeline(*chain))
    assert problem.field == "stages"
    assert str(count) in problem.message


def test_a_chain_of_any_length_has_an_order() -> None:
    count = 10_000
    stages = [stage(f"s{i}", [f"s{i + 1}"]) for i in range(count - 1)] + [stage(f"s{count - 1}")]
    spec = PipelineSpec.model_validate(pipeline(*stages))
    assert [s.name for s in order_of(spec)] == [f"s{i}" for i in reversed(range(count))]
    closed = PipelineSpec.model_validate(pipeline(*stages[:-1], stage(f"s{count - 1}", ["s0"])))
    with pytest.raises(ProblemError, match="10000 stages"):
        order_of(closed)


def test_order_decides_where_dependencies_leave_it_open() -> None:
    spec = checked(
        pipeline(stage("late"), stage("second", order=2), stage("end", ["first"]), stage("first", order=1), stage("x"))
    )
    assert [s.name for s in order_of(spec)] == ["first", "second", "late", "end", "x"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def run(a)\n    pass", "line 1"),
        ("x = 1\nreturn x\ndef run(a): pass", "line 2"),
        ("x = 1", "run"),
        ("class run:\n    def run(a): pass", "run"),
        ("def outer():\n    def run(a): pass", "run"),
        ("def run(): pass", "'a'"),
        ("def run(a, b): pass", "'b'"),
        ("def run(a, contxt): pass", "did you mean context"),
        ("def run(a, n=3): pass", "'n'"),
        ("def run(*args, a): pass", "*args"),
        ("def run(a, /): pass", "position"),
        ("async def run(a): pass", "async"),
        ("def run(a):\n    yield 1", "yields"),
        ("def run(a): pass\ndef run(b): pass", "'b'"),
        ("def run(a):\n    return '\x00'", "NUL"),
        ("-" * 100_000 + "1", "deep"),
        ("a+" * 100_000 + "a", "deep"),
        ("x = " + "9" * 5000, "digits"),
        ("#" * 262_145, "256 KB"),
    ],
)
def test_source_that_can_not_run_is_refused(source: str, words: str) -> None:
    found = [p for p in problems(pipeline(stage("a"), stage("b", ["a"], source=source))) if p.stage == "b"]
    assert found
    assert {p.field for p in found} == {"source"}
    assert any(words in p.message for p in found)


@pytest.mark.parametrize(
    "source",
    [
        "def run(a): pass",
        "def run(a, context): pass",
        "def run(*, context, a): pass",
        "def run(**results): pass",
        "def run(context, **results): pass",
        "import functools\n@functools.cache\ndef run(a):\n    return [(yield_) for yield_ in a]",
        "try:\n    import json\nfinally:\n    def run(a): pass",
        "def run(a): pass\nasync def other(): yield 1",
        "def run(a):\r\n    return '\\d ü 🚀'",
    ],
)
def test_source_that_can_run_is_accepted(source: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert problems(pipeline(stage("a"), stage("b", ["a"], source=source))) == ()


def test_source_is_never_executed(tmp_path: Any) -> None:
    mark = tmp_path / "executed"
    write = f"open({str(mark)!r}, 'w')"
    text = f"{write}\n@{write}.write\ndef run(context={write}) -> {write}: pass\nclass A:\n    {write}\n"
    assert problems(pipeline(stage("a", source=text))) == ()
    assert not mark.exists()


def test_a_stage_has_either_source_or_a_function() -> None:
    both = pipeline(stage("a", source="def run(): pass", function={"path": "m:f"}))
    neither = pipeline({"name": "a", "stage_type": "CLEANUP"})
    assert places(both) == places(neither) == {("a", "source")}


@pytest.mark.parametrize(
    "cron",
    [
        *("", "bad", "* * * *", "* * * * * *", "@reboot", "61 * * * *", "*/0 * * * *", "0-99999999999 * * * *"),
        # What Dagster takes and would not run as meant: days that never come, random or normalised fields.
        *("0 0 31 4 *", "0 0 30,31 2 *", "R * * * *", "H * * * *", "*/90 * * * *", "٣ * * * *", "0 0\n* * *"),
    ],
)
def test_a_schedule_that_would_not_run_is_refused(cron: str) -> None:
    assert places(pipeline(stage("a"), schedule=cron)) == {(None, "schedule")}


@pytest.mark.parametrize(
    "cron", ["0 3 * * 1", "*/15 * * * mon-fri", "0 0 29 2 *", "@daily", "0 0 L * *", "5,35 1-4 * * *"]
)
def test_a_schedule_that_runs_is_accepted(cron: str) -> None:
    assert problems(pipeline(stage("a"), schedule=cron, timezone="Asia/Kolkata")) == ()


@pytest.mark.parametrize("timezone", ["", "../../etc/passwd", "utc+1", "Europe", "\x00"])
def test_what_is_no_time_zone_is_refused(timezone: str) -> None:
    assert places(pipeline(stage("a"), timezone=timezone)) == {(None, "timezone")}


@pytest.mark.parametrize(
    ("name", "words"),
    [("class", "keyword"), ("context", "argument"), ("A", "match"), ("a b", "match"), ("ü", "match"), ("a\n", "match")],
)
def test_a_stage_name_is_an_argument_name(name: str, words: str) -> None:
    problem = only(pipeline(stage(name)))
    assert problem.field == "name"
    assert words in problem.message


@pytest.mark.parametrize("name", ["x" * 10_000, "a'\"/\\;--", "😀", "\ud800" * 500, "\x00", "a\u202eb\r\n"])
def test_odd_names_are_refused_in_words_that_can_be_sent(name: str) -> None:
    found = problems(pipeline(stage("a"), stage(name, source="def run(): pass"), name=name))
    assert (None, "name") in {(p.stage, p.field) for p in found}
    for problem in found:
        text = str(problem)
        assert len(text) < 800
        assert text.isprintable()
        json.dumps(text, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"retry_count": True}, "retry_count"),
        ({"retry_count": "3"}, "retry_count"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"limits": {"memory_mb": 1}}, "limits.memory_mb"),
        ({"environment": {"LD_PRELOAD": "x"}}, "environment.LD_PRELOAD"),
        ({"environment": {"A=B": "x"}}, "environment.A=B"),
        ({"dependencies": "load"}, "dependencies"),
        ({"order": 1.5}, "order"),
        ({"config": {"x": float("nan")}}, "config.x"),
        ({"config": {"x": 2**64}}, "config.x"),
        ({"config": {"x": b"bytes"}}, "config.x"),
        ({"config": {1: "x"}}, "config"),
        ({"image": "a b"}, "image"),
    ],
)
def test_a_field_that_is_not_as_declared_is_refused(fields: dict[str, Any], field: str) -> None:
    assert ("a", field) in places(pipeline(stage("a", **fields)))


def test_the_platforms_tags_are_its_own() -> None:
    assert places(pipeline(stage("a"), tags={"dagster/priority": "9"})) == {(None, "tags.dagster/priority")}
    assert places(pipeline(stage("a"), tags={".dagster/repository": "x"})) == {(None, "tags..dagster/repository")}


@pytest.mark.parametrize("raw", [None, [], "x", 3, {}, {"stages": None}, {"stages": {}}, {"stages": [None, 3, []]}])
def test_what_is_no_pipeline_at_all_is_refused(raw: Any) -> None:
    assert problems(raw)
    with pytest.raises(ProblemError):
        checked(raw)


def test_a_pipeline_without_stages_is_refused() -> None:
    assert only(pipeline()).field == "stages"


def test_depth_and_size_are_bounded() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested" in only(pipeline(stage("a", config={"x": deep}))).message
    assert "larger" in only(pipeline(stage("a"), description="x" * 5_000_000)).message
    shared: list[Any] = ["x"]
    for _ in range(40):
        shared = [shared] * 10
    assert "more than" in only(pipeline(stage("a"), config={"x": shared})).message
    itself: dict[str, Any] = {}
    itself["x"] = itself
    assert "nested" in only(pipeline(stage("a"), config=itself)).message


def test_all_sources_together_are_bounded() -> None:
    source = "def run():\n" + "    pass\n" * 25_000
    assert problems(pipeline(stage("a", source=source))) == ()
    assert "of source" in only(pipeline(*(stage(f"s{i}", source=source) for i in range(6)))).message


def test_a_flood_of_problems_is_cut() -> None:
    found = problems({**pipeline(stage("a")), **{f"field_{i}": i for i in range(50_000)}})
    assert len(found) < 2000


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    """Acyclic: a stage depends on earlier ones of a hidden order, and is declared anywhere."""
    names = [f"s{i}" for i in range(draw(st.integers(1, 25)))]
    edges = {
        name: draw(st.sets(st.sampled_from(names[:i]), max_size=4)) if i else set[str]() for i, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_acyclic_graphs_pass_and_are_ordered(graph: dict[str, set[str]]) -> None:
    spec = checked(pipeline(*(stage(name, sorted(before)) for name, before in graph.items())))
    done: set[str] = set()
    for ordered in order_of(spec):
        assert set(ordered.dependencies) <= done
        done.add(ordered.name)
    assert done == graph.keys()


@given(graphs(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_back_edge_is_refused_with_its_cycle(graph: dict[str, set[str]], data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(sorted(graph)))
    start = end
    for back in data.draw(st.lists(st.integers(0, 3), max_size=6)):
        before = sorted(graph[start])
        start = before[back % len(before)] if before else start
    graph[start].add(end)
    raw = pipeline(*(stage(name, sorted(before)) for name, before in graph.items()))
    cycles = [problem for problem in problems(raw) if problem.message.startswith("cycle")]
    assert cycles
    for problem in cycles:
        path = problem.message.removeprefix("cycle: ").split(" → ")
        if path == ["the stage depends on itself"]:
            assert problem.stage in graph[str(problem.stage)]
            continue
        assert path[0] == path[-1] == problem.stage
        assert all(before in graph[after] for before, after in pairwise(path))
    with pytest.raises(ProblemError):
        order_of(PipelineSpec.model_validate(raw))


JSON_LIKE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["CUSTOM", "a", "def run(): 1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from([*PipelineSpec.model_fields])
STAGES = st.lists(
    st.dictionaries(st.sampled_from([*StageSpec.model_fields]), JSON_LIKE) | JSON_LIKE,
    max_size=4,
)


@given(st.dictionaries(FIELDS, JSON_LIKE), STAGES)
@settings(max_examples=200, deadline=None)
def test_anything_gets_an_answer(fields: dict[str, Any], stages: list[Any]) -> None:
    for raw in (fields, {**fields, "stages": stages}):
        for problem in problems(raw):
            assert problem.message


def test_a_schedule_needs_a_default_for_every_parameter() -> None:
    declared = {"n": {"type": "integer", "required": True}, "k": {"type": "integer"}}
    problem = only(pipeline(stage("load"), schedule="0 1 * * *", parameters=declared))
    assert (problem.stage, problem.field) == (None, "parameters.n.required")
    assert places(pipeline(stage("load"), parameters=declared)) == set()
    declared["n"] = {"type": "integer", "default": 1}
    assert places(pipeline(stage("load"), schedule="0 1 * * *", parameters=declared)) == set()
