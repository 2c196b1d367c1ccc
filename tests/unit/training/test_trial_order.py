"""The order of a search's trials: dear ones don't come last, endless ones hold up one worker at most."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from mlops_assets.training import trial_order
from mlops_assets.training.trial_order import TrialOrder
from mlops_assets.training.trials import Part, Task

FOLDS = 3
LIMIT = 1000.0


class Clock:
    """Time of a made world, for `trial_order`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(trial_order, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def tasks_of(trials: int) -> list[Task]:
    return [Task(trial, "ridge", {}, fold) for trial in range(trials) for fold in range(FOLDS)]


def part_of(task: Task, seconds: float) -> Part:
    return Part(task.trial, task.fold, np.empty(0), [], seconds)


def work(
    seconds: Sequence[float], clock: Clock, workers: int = 2, limit: float = LIMIT
) -> tuple[list[tuple[int, int]], float]:
    """Workers do trials of so many seconds a fold within the limit: what was finished, in order, and when they end."""
    order = TrialOrder(tasks_of(len(seconds)), workers, limit)
    busy: list[tuple[float, int, Task]] = []
    done: list[tuple[int, int]] = []
    while True:
        while len(busy) < workers and (task := next(order, None)) is not None:
            heapq.heappush(busy, (clock.now + seconds[task.trial], len(done) + len(busy), task))
        if not busy or busy[0][0] > limit:
            return done, clock.now
        clock.now, _, task = heapq.heappop(busy)
        done.append((task.trial, task.fold))
        order.heard(part_of(task, seconds[task.trial]))


def whole(done: list[tuple[int, int]]) -> list[int]:
    """Trials of which every fold is done."""
    return sorted({trial for trial, _ in done if sum(other == trial for other, _ in done) == FOLDS})


@pytest.mark.parametrize("workers", [1, 2, 3, 40])
def test_every_task_is_given_once(clock: Clock, workers: int) -> None:
    done, _ = work([1, 5, 2, 9], clock, workers)
    assert sorted(done) == [(task.trial, task.fold) for task in tasks_of(4)]


def test_the_dearest_trial_that_is_declared_last_does_not_come_last(clock: Clock) -> None:
    # In the declared order one worker would still do the third fold of the last trial for 6 s, alone.
    _, end = work([1, 1, 1, 2, 2, 6], clock)
    assert end == pytest.approx(math.ceil(FOLDS * 13 / 2), abs=1)


def test_one_worker_keeps_to_the_declared_order(clock: Clock) -> None:
    done, _ = work([1, 5, 2], clock, workers=1)
    assert done == [(task.trial, task.fold) for task in tasks_of(3)]


@pytest.mark.parametrize("endless", [0, 2, 5])
@pytest.mark.parametrize("workers", [2, 3])
def test_an_endless_trial_keeps_the_others_from_nothing(clock: Clock, endless: int, workers: int) -> None:
    seconds = [1.0] * 6
    seconds[endless] = math.inf
    done, _ = work(seconds, clock, workers)
    assert whole(done) == [trial for trial in range(6) if trial != endless]


def test_what_a_short_time_limit_cuts_off_is_the_end(clock: Clock) -> None:
    done, _ = work([2.0] * 20, clock, limit=40)
    finished = whole(done)
    assert finished == list(range(len(finished)))
    # Forty tasks are done in time; those that looked ahead at a trial which wasn't finished are few.
    assert len(finished) >= 9
