"""Prediction identifiers: valid UUIDv7, unique, in order of time, and recognised by who made them alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.prediction_id import PredictionIds, seconds_of, uuid7

KEY = bytes(range(32))
IDS = PredictionIds(KEY, "homes")


@pytest.mark.parametrize("make", [uuid7, IDS.new])
def test_many_are_valid_and_distinct(make: Callable[[], str]) -> None:
    made = [make() for _ in range(5000)]
    assert len(set(made)) == len(made)
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 7, uuid.RFC_4122)


@pytest.mark.parametrize("moment", [0.0, 1.5, 1_700_000_000.123, 253_402_300_799.0])
@pytest.mark.parametrize("make", [uuid7, IDS.new])
def test_carries_its_millisecond(monkeypatch: pytest.MonkeyPatch, moment: float, make: Callable[[], str]) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: int(moment * 1000) * 1_000_000)
    text = make()
    assert uuid.UUID(text).int >> 80 == int(moment * 1000)
    assert seconds_of(text) == pytest.approx(moment, abs=1e-3)


def test_later_sorts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (5, 1_700_000_000_000, 1_700_000_000_001, 1_900_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda now=millisecond: now * 1_000_000)
        made.append(IDS.new())
    assert made == sorted(made)
    assert all(map(IDS.issued, made))


def test_random_part_uses_all_its_bits() -> None:
    seen_one = seen_zero = 0
    for _ in range(400):
        bits = uuid.UUID(IDS.new()).int
        seen_one |= bits
        seen_zero |= ~bits & (1 << 128) - 1
    free = (1 << 76) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    assert seen_one & seen_zero & free == free


def test_other_key_product_and_plain_uuids_are_not_ours() -> None:
    ours = IDS.new()
    assert IDS.issued(ours)
    assert PredictionIds(KEY, "homes").issued(ours), "another process with the key"
    assert not PredictionIds(KEY, "home").issued(ours)
    assert not PredictionIds(KEY[::-1], "homes").issued(ours)
    for other in (uuid7(), str(uuid.uuid4()), str(uuid.uuid1()), str(uuid.UUID(int=0)), ours.upper()):
        assert not IDS.issued(other)


def test_any_changed_digit_is_noticed() -> None:
    ours = IDS.new()
    for place, digit in enumerate(ours):
        if digit == "-":
            continue
        changed = f"{ours[:place]}{'0' if digit != '0' else '1'}{ours[place + 1 :]}"
        assert not IDS.issued(changed), place


@given(st.one_of(st.text(max_size=60), st.uuids().map(str), st.from_regex(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}")))
def test_garbage_is_refused_quietly(text: str) -> None:
    assert not IDS.issued(text)
