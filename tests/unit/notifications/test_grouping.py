"""Repeats become one message and a summary: whatever the order and the distances in time."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.notifications.grouping import Group, arrive, close, cooldown_of, over
from mlops_assets.notifications.notice import Kind, Severity
from tests.unit.notifications.made_notice import AT

HOUR = timedelta(hours=1)
GAPS = st.lists(st.integers(0, 9000), max_size=80)
SEVERITIES = st.sampled_from(list(Severity))


class Played:
    """A group through time: each notice at its moment, each cooldown closed when it is over."""

    def __init__(self, cooldown: timedelta) -> None:
        self.cooldown = cooldown
        self.group: Group | None = None
        self.told: list[tuple[timedelta, Severity]] = []
        self.summaries: list[tuple[timedelta, int]] = []
        self.past = timedelta()

    def until(self, past: timedelta) -> None:
        while self.group is not None and over(self.group, AT + past):
            end = self.group.until - AT
            counted = self.group.counted
            self.group = close(self.group, self.group.until, self.cooldown)
            assert (self.group is None) == (counted == 0)
            if counted:
                self.summaries.append((end, counted))
        self.past = past

    def notice(self, number: int, severity: Severity = Severity.WARNING) -> None:
        now = AT + self.past
        self.group, told = arrive(self.group, "g", number, severity, now, now, self.cooldown)
        if told:
            self.told.append((self.past, severity))


def play(gaps: list[int], severities: list[Severity] | None = None) -> Played:
    played, past = Played(HOUR), timedelta()
    for number, gap in enumerate(gaps):
        past += timedelta(seconds=gap)
        played.until(past)
        played.notice(number, severities[number] if severities else Severity.WARNING)
    played.until(past + 3 * HOUR)
    return played


@given(GAPS)
def test_every_notice_is_told_or_in_exactly_one_summary(gaps: list[int]) -> None:
    played = play(gaps)
    assert len(played.told) + sum(count for _, count in played.summaries) == len(gaps)
    assert played.group is None, "a quiet group is forgotten"


@given(GAPS)
def test_two_messages_of_a_group_are_a_cooldown_apart(gaps: list[int]) -> None:
    played = play(gaps)
    moments = sorted([moment for moment, _ in played.told] + [moment for moment, _ in played.summaries])
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(moments))


@given(GAPS)
def test_the_first_after_a_quiet_hour_is_told_at_once(gaps: list[int]) -> None:
    played, past = play(gaps), timedelta()
    told = {moment for moment, _ in played.told}
    for number, gap in enumerate(gaps):
        past += timedelta(seconds=gap)
        if number == 0 or gap >= 2 * 3600:
            assert past in told


@given(st.lists(st.tuples(st.integers(0, 600), SEVERITIES), min_size=1, max_size=40))
def test_what_is_more_severe_than_was_told_is_told_at_once(notices: list[tuple[int, Severity]]) -> None:
    played, past, worst = Played(timedelta(days=9)), timedelta(), -1
    for number, (gap, severity) in enumerate(notices):
        past += timedelta(seconds=gap)
        played.until(past)
        played.notice(number, severity)
        if severity.rank > worst:
            worst = severity.rank
            assert played.told[-1] == (past, severity)
    assert len(played.told) <= len(Severity)


def test_a_hundred_in_an_hour_are_one_message_and_one_summary() -> None:
    played = play([36] * 100)
    assert [moment for moment, _ in played.told] == [timedelta(seconds=36)]
    assert [count for _, count in played.summaries] == [99]


def test_a_summary_knows_the_newest() -> None:
    group, _ = arrive(None, "g", 1, Severity.INFO, AT, AT, HOUR)
    group, _ = arrive(group, "g", 2, Severity.INFO, AT + HOUR / 2, AT + HOUR / 2, HOUR)
    assert (group.last_id, group.last_at, group.counted, group.since) == (2, AT + HOUR / 2, 1, AT)


def test_services_have_a_short_cooldown_unless_all_have_a_shorter_one() -> None:
    assert cooldown_of(Kind.DRIFT, 3600) == timedelta(hours=1)
    assert cooldown_of(Kind.UNHEALTHY, 3600) == timedelta(minutes=10)
    assert cooldown_of(Kind.RECOVERED, 60) == timedelta(minutes=1)
