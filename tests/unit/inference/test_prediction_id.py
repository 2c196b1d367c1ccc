"""Prediction identifiers: valid UUIDv7, unique, in order of time."""

from __future__ import annotations

import time
import uuid

import pytest

from inference.prediction_id import new_prediction_id


def test_many_are_valid_and_distinct() -> None:
    made = [new_prediction_id() for _ in range(5000)]
    assert len(set(made)) == len(made)
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)


@pytest.mark.parametrize("moment", [0.0, 1.5, 1_700_000_000.123, 253_402_300_799.0])
def test_carries_its_millisecond(monkeypatch: pytest.MonkeyPatch, moment: float) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: int(moment * 1000) * 1_000_000)
    assert uuid.UUID(new_prediction_id()).int >> 80 == int(moment * 1000)


def test_later_sorts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (5, 1_700_000_000_000, 1_700_000_000_001, 1_900_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda now=millisecond: now * 1_000_000)
        made.append(new_prediction_id())
    assert made == sorted(made)
