"""How long runs wait for a slot: a simulation of the run queue, and Erlang's formula that it is held against.

Add here what decides when a queued run starts. Keep out how many runs there are (`scenario`) and what a run costs.
The queue is what `mlops_assets.runs.coordinator` makes of Dagster's: a run starts at once while a slot is free and
nobody waits; else the daemon starts it, which looks every second and starts one run after the other.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DAY, POPULAR = 86_400.0, 7_200.0
SHARES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Queue:
    """`look_seconds` between two looks of the daemon, `start_seconds` for each run that it starts; 0 and 0: ideal."""

    slots: int
    look_seconds: float = 1.0
    start_seconds: float = 0.0


@dataclass(frozen=True)
class Waits:
    """Seconds that runs waited: median, 95 and 99 %, the longest, the mean; and when the last one ended."""

    median: float
    p95: float
    p99: float
    longest: float
    mean: float
    ended: float
    runs: int


def simulate(queue: Queue, runs: Sequence[tuple[float, float]]) -> Waits:
    """What runs of (arrival, seconds of work) wait for, in the order of their arrivals. Raises ValueError for none."""
    if not runs:
        raise ValueError("no runs to simulate")
    free, daemon, last = [0.0] * queue.slots, 0.0, 0.0
    heapq.heapify(free)
    waits, ended = [], 0.0
    for arrival, work in sorted(runs):
        slot = heapq.heappop(free)
        begin = arrival
        # Nobody overtakes who waits.
        if slot > arrival or last > arrival:
            begin = max(_next_look(max(slot, arrival), queue.look_seconds), daemon, last) + queue.start_seconds
            daemon = begin
        last = begin
        waits.append(begin - arrival)
        heapq.heappush(free, begin + work)
        ended = max(ended, begin + work)
    return _spread(waits, ended)


def _next_look(moment: float, every: float) -> float:
    return math.ceil(moment / every) * every if every else moment


def _spread(waits: list[float], ended: float) -> Waits:
    ordered = sorted(waits)
    at = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in SHARES]
    return Waits(*at, ordered[-1], sum(ordered) / len(ordered), ended, len(ordered))


def seeded(seed: int) -> random.Random:
    """A source of chance that gives the same again."""
    return random.Random(seed)


def poisson(rate: float, seconds: float, work: float, chance: random.Random) -> Iterator[tuple[float, float]]:
    """Runs that come by chance, `rate` a second, each with exponential work of this mean."""
    moment = chance.expovariate(rate)
    while moment < seconds:
        yield moment, chance.expovariate(1 / work)
        moment += chance.expovariate(rate)


def day(runs_per_day: float, due_at_once: int, every: float, work: float, seed: int) -> list[tuple[float, float]]:
    """A day's runs: those due at 2 o'clock, ordered one `every` so many seconds, the others by chance."""
    chance = seeded(seed)
    others = max(0.0, runs_per_day - due_at_once)
    found = list(poisson(others / DAY, DAY, work, chance)) if others else []
    return found + [(POPULAR + number * every, chance.expovariate(1 / work)) for number in range(due_at_once)]


def burst(count: int, every: float, work: float) -> list[tuple[float, float]]:
    """`count` runs of the same length, ordered one after the other."""
    return [(number * every, work) for number in range(count)]


def contended(seconds: float, cpu_seconds: float, slots: int, cores: float) -> float:
    """Seconds of one of `slots` runs at once, which share the cores."""
    return max(seconds, slots * cpu_seconds / cores)


def erlang_c(slots: int, busy: float) -> float:
    """Share of arrivals that wait in M/M/c with `busy` slots busy on average. Raises ValueError at or above 1."""
    if not 0 < busy < slots:
        raise ValueError(f"{busy} busy slots of {slots}: the queue has no end")
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = busy * blocked / (number + busy * blocked)
    share = busy / slots
    return blocked / (1 - share + share * blocked)


def erlang_wait(slots: int, rate: float, work: float) -> float:
    """Mean wait in M/M/c."""
    busy = rate * work
    return erlang_c(slots, busy) * work / (slots - busy)
