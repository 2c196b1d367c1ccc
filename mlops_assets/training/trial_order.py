"""In which order the trials of a search are done by several workers.

In the declared order the dearest trial often comes last, and all but one worker wait for it. So one worker at a time
looks ahead, at the first fold of the next trial, which tells what a trial costs; the others do the longest of what is
known. Keep out where trials are done (`trial_places`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from mlops_assets.training.trials import Part, Task


class TrialOrder(Iterator[Task]):
    """Gives the task to do next, each once; is told by `heard` what has been done.

    When half of the time limit has passed it is the declared order, so that what the limit cuts off is the end. One
    worker has nothing to win, and never looks ahead.
    """

    def __init__(self, tasks: Sequence[Task], workers: int, deadline: float) -> None:
        """`tasks` in the declared order; `deadline` by the monotonic clock."""
        self._left: dict[int, list[Task]] = {}
        for task in tasks:
            self._left.setdefault(task.trial, []).append(task)
        self._seconds: dict[int, float] = {}
        self._begun: set[int] = set()
        now = time.monotonic()
        self._ahead_until = now + (deadline - now) / 2 if workers > 1 else now

    def heard(self, part: Part) -> None:
        """A task was done."""
        self._seconds[part.trial] = max(part.seconds, self._seconds.get(part.trial, 0.0))

    def __next__(self) -> Task:
        if not self._left:
            raise StopIteration
        trial = self._next_trial()
        self._begun.add(trial)
        tasks = self._left[trial]
        task = tasks.pop(0)
        if not tasks:
            del self._left[trial]
        return task

    def _next_trial(self) -> int:
        declared = next(iter(self._left))
        if time.monotonic() >= self._ahead_until:
            return declared
        looking = self._begun - self._seconds.keys()
        new = next((trial for trial in self._left if trial not in self._begun), None)
        if new is not None and not looking:
            return new
        known = [trial for trial in self._left if trial in self._seconds]
        return max(known, key=self._seconds.__getitem__, default=declared if new is None else new)
