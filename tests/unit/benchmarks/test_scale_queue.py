"""The simulated run queue: as theory has it where theory knows, and as the platform's rules say."""

from __future__ import annotations

import pytest

from tests.benchmarks.scale import queueing
from tests.benchmarks.scale.queueing import Queue, simulate

IDEAL = 0.0


def test_erlang_of_one_slot_is_how_busy_it_is() -> None:
    assert queueing.erlang_c(1, 0.6) == pytest.approx(0.6)


def test_erlang_of_two_slots_by_hand() -> None:
    # With a = 1 busy of 2: (a²/2!) / (1 - a/2) over that and 1 + a: 1 / 3.
    assert queueing.erlang_c(2, 1.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("busy", [0.0, 3.0, 4.0])
def test_a_queue_without_an_end_has_no_wait(busy: float) -> None:
    with pytest.raises(ValueError, match="of 3"):
        queueing.erlang_c(3, busy)


@pytest.mark.parametrize(("slots", "share"), [(1, 0.5), (5, 0.8), (20, 0.8)])
def test_the_simulation_agrees_with_theory(slots: int, share: float) -> None:
    work, rate = 10.0, share * slots / 10.0
    runs = list(queueing.poisson(rate, 60_000 / rate, work, queueing.seeded(3)))
    found = simulate(Queue(slots, look_seconds=IDEAL), runs)
    assert found.mean == pytest.approx(queueing.erlang_wait(slots, rate, work), rel=0.1)


def test_nobody_waits_while_a_slot_is_free() -> None:
    found = simulate(Queue(3, start_seconds=1), [(0.0, 50.0), (0.1, 50.0), (0.2, 50.0)])
    assert (found.longest, found.ended) == (0, pytest.approx(50.2))


def test_a_freed_slot_is_seen_at_the_next_look_and_runs_start_one_after_the_other() -> None:
    # Slots are free at 2.5; the daemon looks at 3 and takes half a second for each start.
    runs = [(0.0, 2.5), (0.0, 2.5), (0.1, 4.0), (0.1, 4.0)]
    found = simulate(Queue(2, look_seconds=1, start_seconds=0.5), runs)
    assert found.longest == pytest.approx(4.0 - 0.1)
    assert found.ended == pytest.approx(8.0)


def test_who_waits_is_not_overtaken() -> None:
    # The daemon starts the second at 3. The third came while the slot was free, waits behind it, and is seen at 6.
    found = simulate(Queue(1, look_seconds=3), [(0.0, 1.0), (0.5, 0.1), (2.0, 0.1)])
    assert (found.longest, found.ended) == (pytest.approx(4.0), pytest.approx(6.1))


def test_more_slots_never_make_a_day_longer() -> None:
    runs = queueing.day(2000, 300, 0.2, 60, seed=4)
    longest = [simulate(Queue(slots, start_seconds=0.1), runs).longest for slots in (2, 5, 20, 400)]
    assert longest == sorted(longest, reverse=True)


def test_the_same_seed_gives_the_same_day_and_another_another() -> None:
    assert queueing.day(100, 5, 1, 10, seed=1) == queueing.day(100, 5, 1, 10, seed=1)
    assert queueing.day(100, 5, 1, 10, seed=1) != queueing.day(100, 5, 1, 10, seed=2)


def test_runs_that_share_cores_take_longer_once_these_are_used_up() -> None:
    assert queueing.contended(3, 1, slots=4, cores=2) == 3
    assert queueing.contended(3, 2, slots=4, cores=2) == 4


def test_no_runs_are_nothing_to_simulate() -> None:
    with pytest.raises(ValueError, match="no runs"):
        simulate(Queue(1), [])
