"""Ids as people write them, what of an answer may be shown to all, links, and the tree of a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mlops_assets.observability.trace.facts import (
    Answer,
    AnswerTrace,
    DataFacts,
    Decided,
    DriftOfDay,
    FeedbackGiven,
    KeptIn,
    ReleaseFacts,
    Role,
    Standing,
    numbers_of,
)
from mlops_assets.observability.trace.links import links_of
from mlops_assets.observability.trace.tracer import BadIdError, identifier_of
from mlops_assets.observability.trace.tree import tree_of
from mlops_assets.settings import Settings

ID = "0192d7c4-8d9a-7c3e-9a51-0d3a2d1f5c11"
AT = datetime(2026, 3, 9, 12, 30, 15, tzinfo=UTC)


def made(**answer: Any) -> AnswerTrace:
    found = Answer(
        ID, "house_prices", AT, "candidate", 4, "candidate", 3, 1, 0.42, "r-1", "ab" * 16, False, KeptIn.DATABASE,
        "cd" * 16, {"town": "Old Town [x]", "area": 1000}, {"price": 55.2, "notes": ["town?"]},
    )  # fmt: skip
    release = ReleaseFacts(
        4,
        ("CO3",),
        AT,
        "9",
        "ef" * 32,
        "house_prices:v4",
        "mlflow/run",
        "dagster-run",
        "c0de",
        None,
        {"mae": 1.25},
        None,
    )
    decided = Decided(7, "started", "ada", "go [now]", AT)
    standing = Standing("ramp", "a step", 3, 4, 0.2, 3, 1, False, None, decided, Role.CANDIDATE, decided, Role.NONE)
    drift = DriftOfDay(date(2026, 3, 9), "drifted", 2.5, ("area",), 3, 4, "ok", ("area rose",), True)
    data = DataFacts(2, "12" * 32, 13_320, "homes.csv", False, AT)
    feedback = (FeedbackGiven("rating", 4, None, AT), FeedbackGiven("comment", None, "too [red]dear", AT))
    return AnswerTrace(replace(found, **answer), release, data, standing, drift, feedback, ("nothing: at all",))


def told(trace: AnswerTrace) -> str:
    out = io.StringIO()
    Console(file=out, width=300, force_terminal=False).print(tree_of(trace, links_of(trace, Settings())))
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "1", "x" * 5000, "0" * 36, "../../etc/passwd", "%00", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadIdError, match="prediction_id"):
        identifier_of(text)


@given(st.text(max_size=150))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        found = identifier_of(text)
    except BadIdError:
        return
    assert found.version == 7


def test_texts_of_an_answer_are_not_numbers() -> None:
    kept = {"price": 1.5, "unit": "coins", "flag": True, "interval": {"low": 0}}
    dropped = {"label": "x", "reasons": ["x"], "notes": [], "none": None, "inner": {"text": "x"}, "list": [1, 2]}
    assert numbers_of(kept | dropped) == kept


def test_the_tree_tells_the_whole_chain_and_quotes_what_users_wrote() -> None:
    shown = told(made())
    for part in (
        ID, "ab" * 16, "r-1", "4 (CO3)", "9 http", "mlflow/run", "dagster-run", "c0de", "V2, 13,320 rows", "12" * 32,
        "homes.csv", "rollout 3", "ramp, step 1", "production 3, candidate 4 at 20%",
        "the candidate then, without a role", "started of 2026-03-09 12:30 UTC by ada: go [now]",
        "drift of 2026-03-09 drifted", "area rose", "feedback 2",
        "rating 4", "too [red]dear", "Old Town [x]", "nothing: at all", f"/trace/{ID}",
    ):  # fmt: skip
        assert part in shown, part


def test_the_tree_of_one_who_may_not_see_values_has_none() -> None:
    shown = told(made().without_values())
    assert not [word for word in ("Old Town", "town?", "dear", "cd" * 16) if word in shown]
    assert "--values" in shown
    assert "55.2" in shown


def test_the_tree_says_who_stood_in_and_where_an_old_answer_was_found() -> None:
    assert "assigned candidate, and production stood in" in told(made(variant="production"))
    assert "forced by an operator" in told(made(assigned="forced"))
    assert "not through the gateway" in told(made(assigned=None))
    assert "from the hourly file" in told(made(kept_in=KeptIn.HOURLY_FILE))


def test_a_trace_without_anything_behind_it_is_a_tree_too() -> None:
    bare = replace(made(), release=None, data=None, standing=None, drift=None, feedback=(), missing=("a", "b"))
    shown = told(bare)
    assert "not known" in shown
    assert "feedback none" in shown
    links = links_of(bare, Settings())
    assert (links.mlflow_run, links.mlflow_model, links.dagster_run, links.drift, links.drift_report) == (None,) * 5


def test_links_lead_where_people_reach_the_pages_and_no_id_makes_a_path() -> None:
    settings = Settings.model_validate(
        {"public_api_url": "https://ml.example.org/console/", "public_dagster_url": "https://ml.example.org/dagster"}
    )
    links = links_of(made(), settings)
    assert links.trace == f"https://ml.example.org/console/trace/{ID}"
    assert links.dagster_run == "https://ml.example.org/dagster/runs/dagster-run"
    assert links.mlflow_run is not None
    assert links.mlflow_run.endswith("/#/runs/mlflow%2Frun")
    assert links.drift_report == "https://ml.example.org/console/drift/house_prices/2026-03-09/report"
