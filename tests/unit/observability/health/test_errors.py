"""Errors of stages as people see them: no secrets, no floods, no Markdown; equal ones in one group."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_assets.observability.health.errors import UNREADABLE, cell, first_line, groups, line_of_event
from mlops_assets.observability.health.facts import FailurePatterns, JobRuns, RunMetrics
from mlops_assets.observability.health.shown import issues_table, jobs_table, stages_table
from tests.unit.observability.health.healthy import AT, report, stage

HOSTILE = "![x](https://evil.example/a.png) | <script>alert(1)</script> `[click](javascript:1)` **bold** ~~gone~~"


@pytest.mark.parametrize(
    "text",
    [
        "could not connect to postgresql://kim:s3cr3t-word@db:5432/x",
        "https://s3cr3t-word@api.example/v1 refused",
        "password=s3cr3t-word is wrong",
        'config {"api_key": "s3cr3t-word", "region": "eu"}',
        "Authorization: Bearer s3cr3t-word.abc",
        "AWS_SECRET_ACCESS_KEY: s3cr3t-word",
        "url ?token=s3cr3t-word&x=1",
        "mlops_0123456789abcdef_s3cr3t-word",
        "eyJhbGciOi.eyJzdWIiOiJzM2NyM3Qtd29yZCJ9.s3cr3t-word",
    ],
)
def test_no_secret_is_left_in_a_line(text: str) -> None:
    found = first_line(f"ValueError: {text}")
    assert "s3cr3t-word" not in found
    assert found.startswith("ValueError: ")


def test_what_is_around_a_secret_stays() -> None:
    assert first_line("can't read https://u:p@host/data.csv: 403") == "can't read https://***@host/data.csv: 403"
    assert first_line("password=abc, host=db") == "password=***, host=db"
    assert first_line("KeyError: 'tokens_per_row'") == "KeyError: 'tokens_per_row'"


def test_only_the_first_line_that_says_something_cut_and_without_control_characters() -> None:
    assert first_line("\n\n  boom \x1b[31m\nmore") == "boom [31m"
    assert first_line("") == ""
    long = first_line("x" * 10_000)
    assert len(long) == 200
    assert long.endswith("…")


def test_ten_thousand_characters_do_not_take_long_to_clean() -> None:
    awkward = ["password" * 1250, "a" * 10_000 + "@", "://" * 3000, "token=" * 1600, "1." * 5000, "eyJ" + "a." * 5000]
    assert all(len(first_line(text)) <= 200 for text in awkward)


def event(*messages: str | None) -> str:
    """A failure event whose error has these messages, the outermost first."""
    error: dict[str, Any] | None = None
    for message in reversed(messages):
        error = {"message": message, "cause": error}
    return json.dumps({"dagster_event": {"event_specific_data": {"error": error}, "message": "the step failed"}})


def test_the_cause_of_causes_is_what_counts() -> None:
    assert line_of_event(event("Dagster's wrapper", "ValueError: no", "KeyError: 'x'\nmore")) == "KeyError: 'x'"
    assert line_of_event(event("ValueError: no", "", None)) == "ValueError: no"
    assert line_of_event(event()) == "the step failed"


@pytest.mark.parametrize("damaged", ["", "{", "null", "[]", '"text"', "{}", '{"dagster_event": 3}', "[" * 100_000])
def test_an_event_that_cannot_be_read_is_told_as_that(damaged: str) -> None:
    assert line_of_event(damaged) == UNREADABLE


def test_an_endless_chain_of_causes_ends() -> None:
    assert line_of_event(event(*(f"cause {number}" for number in range(500)))).startswith("cause ")


def test_errors_that_differ_in_numbers_and_ids_are_the_same() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    lines = [
        "row 17 of 1,204 has no price",
        "row 18 of 99 has no price",
        "run 0c4cf1d2-7f0b-4c7f-9a3f-1f2f3a4b5c6d at 0x7f1c2d3e is gone",
        "row 3 of 5 has no price",
    ]
    found = groups((line, f"run{place}", now + timedelta(minutes=place)) for place, line in enumerate(lines))
    assert [(group.count, group.line, group.run_id) for group in found] == [
        (3, "row 3 of 5 has no price", "run3"),
        (1, lines[2], "run2"),
    ]


def test_only_the_commonest_groups_are_kept() -> None:
    letters = "abcdefgh"
    errors = [(letter * 3, "run", AT) for place, letter in enumerate(letters) for _ in range(place + 1)]
    assert [group.line for group in groups(errors)] == ["hhh", "ggg", "fff"]


def rendered(markdown: str) -> str:
    """The HTML of Markdown by a renderer that lets HTML through, as the strictest case."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def test_a_hostile_error_is_plain_text_in_a_table() -> None:
    failures = FailurePatterns(hours=24, failures=9, stages=(stage(9, HOSTILE, owner=HOSTILE, name=HOSTILE),))
    jobs = RunMetrics(hours=24, until=AT, jobs=(JobRuns(job=HOSTILE, failed=9),))
    for table in (stages_table(failures), issues_table(report(failures=failures)), jobs_table(jobs)):
        html = rendered(table)
        assert "alert(1)" in html
        assert not [tag for tag in ("<script", "<img", "<a ", "<strong", "<code", "<s>") if tag in html]
        heads, cells = html.count("<th"), html.count("<td")
        assert heads
        assert cells == heads - 1  # <thead> begins like a head


def test_a_plain_name_is_written_as_it_is() -> None:
    assert cell("house_prices_train: 3 of 5 (60%)") == "house_prices_train: 3 of 5 (60%)"
