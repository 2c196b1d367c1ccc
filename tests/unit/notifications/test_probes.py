"""A service is unhealthy after three failures in a row and well again after two answers."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.notifications.notice import Kind, Notice, Severity
from mlops_assets.notifications.probes import Health, Probe, observe
from tests.unit.notifications.made_notice import AT

MLFLOW = Probe("mlflow", "MLflow", "http://127.0.0.1:5000/health")


def play(answers: list[bool]) -> list[Notice]:
    health, told = Health("mlflow", AT), []
    for number, well in enumerate(answers):
        seen = None if well else "HTTP 503"
        health, notice = observe(health, MLFLOW, seen, AT + timedelta(seconds=10 * number))
        told += [notice] if notice else []
    return told


def test_two_failures_are_nothing_and_three_are_told_once() -> None:
    assert play([True, False, False, True, False, False]) == []
    told = play([True, False, False, False, False, False])
    assert [(n.kind, n.severity) for n in told] == [(Kind.UNHEALTHY, Severity.CRITICAL)]
    assert told[0].title == "[platform] MLflow is unhealthy"
    assert "http://127.0.0.1:5000/health: HTTP 503." in told[0].body
    assert "mlops logs mlflow" in told[0].body


def test_two_answers_in_a_row_are_a_recovery() -> None:
    told = play([False] * 9 + [True, False, True, True, True])
    assert [n.kind for n in told] == [Kind.UNHEALTHY, Kind.RECOVERED]
    assert told[1].title == "[platform] MLflow is well again"
    assert "after 2 min" in told[1].body


def test_each_outage_has_its_own_key() -> None:
    told = play(([False] * 3 + [True] * 2) * 3)
    assert len({n.key for n in told}) == len(told) == 6


@given(st.lists(st.booleans(), max_size=60))
def test_down_and_up_alternate_whatever_is_seen(answers: list[bool]) -> None:
    kinds = [n.kind for n in play(answers)]
    assert kinds == [Kind.UNHEALTHY if n % 2 == 0 else Kind.RECOVERED for n in range(len(kinds))]
