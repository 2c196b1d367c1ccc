"""Made traffic for simulated rollouts: what each interval between two looks brings, for many runs at once.

Add a way in which real traffic misbehaves here, as a field of `World`. Keep out how it is judged (`simulate`).
Imports numpy at once: import this module where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STARS = np.arange(1.0, 6.0)
# Mean 3.93 and standard deviation 1.13: ratings as shops see them, most of them good.
STAR_SHARES = np.array([0.05, 0.06, 0.1959, 0.2982, 0.3959])
RATING_MEAN = 3.93
INTRA_CLASS = 0.5  # correlation of two ratings of one user
RATING_HOURS = 14 * 24.0  # what `ratings_per_rater` counts over
WEEKEND = (5, 6)
HOURS_PER_DAY = 24
MOST_TILT = 30.0


@dataclass(frozen=True)
class World:
    """What is true in a simulated rollout; rates are an hour's, shares those of requests, times hours.

    `effect` and `weekend_dip` are added to the mean rating, `drift_per_day` to both arms each day. With
    `ratings_per_rater` above 1 the same users come back: so many ratings of each in 14 days, correlated by 0.5.
    Every request of both arms fails during the `outage`, from an hour to another.
    """

    requests_per_hour: float = 1000.0
    rating_rate: float = 0.05
    effect: float = 0.0
    ratings_per_rater: float = 1.0
    weekend_dip: float = 0.0
    drift_per_day: float = 0.0
    production_errors: float = 0.002
    candidate_errors: float = 0.002
    production_slow: float = 0.05
    candidate_slow: float = 0.05
    production_ms: float = 20.0
    candidate_ms: float = 20.0
    outage: tuple[float, float] | None = None


@dataclass(frozen=True)
class Interval:
    """What came between two looks: counts (runs, 2), production first.

    `stars` (runs, 2, 5) counts ratings if every rating is another user's. Otherwise `rating_run`, `rating_user`
    and `rating_value` (ratings,) hold one entry each.
    """

    requests: np.ndarray
    errors: np.ndarray
    slow: np.ndarray
    stars: np.ndarray | None = None
    rating_run: np.ndarray | None = None
    rating_user: np.ndarray | None = None
    rating_value: np.ndarray | None = None


class Source:
    """Draws the intervals of `runs` rollouts of one world.

    `users` is the size of the pool that ratings come from, None if every rating is another user's. A user is of
    the candidate's arm while its number in `bucket` (runs, users) is below the share.
    """

    def __init__(self, world: World, runs: int, random: np.random.Generator) -> None:
        self.world = world
        self.runs = runs
        self._random = random
        self.users: int | None = None
        self.bucket: np.ndarray | None = None
        if world.ratings_per_rater > 1:
            ratings = world.requests_per_hour * world.rating_rate * RATING_HOURS
            self.users = max(2, round(ratings / world.ratings_per_rater))
            self.bucket = random.random((runs, self.users))
            self._taste = random.random((runs, self.users))

    def draw(self, begin: float, hours: float, share: np.ndarray) -> Interval:
        """The interval of `hours` from hour `begin` on, at the candidate's `share` (runs,)."""
        world, random = self.world, self._random
        split = np.stack([1 - share, share], axis=1)
        requests = random.poisson(world.requests_per_hour * hours * split)
        down = world.outage is not None and world.outage[0] <= begin < world.outage[1]
        failing = 1.0 if down else np.array([world.production_errors, world.candidate_errors])
        errors = random.binomial(requests, failing)
        slow = random.binomial(requests - errors, np.array([world.production_slow, world.candidate_slow]))
        means = self._means(int(begin // HOURS_PER_DAY))
        if self.users is None:
            rated = random.binomial(requests - errors, world.rating_rate)
            stars = np.stack([random.multinomial(rated[:, a], star_shares(means[a])) for a in (0, 1)], axis=1)
            return Interval(requests, errors, slow, stars)
        numbers = random.poisson(world.requests_per_hour * hours * world.rating_rate * (not down), self.runs)
        run = np.repeat(np.arange(self.runs), numbers)
        user = random.integers(0, self.users, len(run))
        own = random.random(len(run)) < np.sqrt(INTRA_CLASS)
        place = np.where(own, self._taste[run, user], random.random(len(run)))
        assert self.bucket is not None
        candidate = self.bucket[run, user] < share[run]
        value = np.where(candidate, quantile(means[1], place), quantile(means[0], place))
        return Interval(requests, errors, slow, rating_run=run, rating_user=user, rating_value=value)

    def edges(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where in an interval, from 0 to 1, the first and the last of so many events fall, none being as one."""
        power = 1 / np.maximum(numbers, 1)
        first = 1 - self._random.random(numbers.shape) ** power
        last = np.where(numbers > 1, self._random.random(numbers.shape) ** power, first)
        return first, np.maximum(first, last)

    def _means(self, day: int) -> tuple[float, float]:
        world = self.world
        mean = RATING_MEAN + world.drift_per_day * day + (world.weekend_dip if day % 7 in WEEKEND else 0.0)
        return mean, mean + world.effect


def star_shares(mean: float) -> np.ndarray:
    """The shares of 1 to 5 stars, tilted exponentially to a mean between 1 and 5."""
    if not STARS[0] < mean < STARS[-1]:
        raise ValueError(f"a mean rating of {mean:.2f} isn't between 1 and 5")
    if abs(mean - RATING_MEAN) < 1e-12:
        return STAR_SHARES
    low, high = -MOST_TILT, MOST_TILT
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tilted(middle) @ STARS < mean else (low, middle)
    return _tilted(low)


def quantile(mean: float, place: np.ndarray) -> np.ndarray:
    """The stars at these places (n,) in [0, 1) of the distribution with that mean."""
    return STARS[np.minimum(np.searchsorted(np.cumsum(star_shares(mean)), place, side="right"), len(STARS) - 1)]


def _tilted(tilt: float) -> np.ndarray:
    weights = STAR_SHARES * np.exp(tilt * (STARS - RATING_MEAN))
    return weights / weights.sum()
