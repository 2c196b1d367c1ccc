"""`confidence.effect` of many simulated runs at once, kept up to date by sums instead of from all ratings.

A test holds it against `confidence.effect` on the raw ratings. Keep out everything that a real rollout needs: that
one reads its ratings and calls `confidence.effect`. Imports numpy at once: import it where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlops_assets.rollout.simulated_traffic import STARS, Interval


@dataclass(frozen=True)
class Effects:
    """(runs,) each: the difference, its standard error, the raters that count, production's mean, and whether
    there is enough to tell (`known`). `ratings`, `raters`, `rating_sums` (runs, 2) are since the beginning.
    """

    theta: np.ndarray
    se: np.ndarray
    units: np.ndarray
    production: np.ndarray
    known: np.ndarray
    ratings: np.ndarray
    raters: np.ndarray
    rating_sums: np.ndarray


class RunningEffect:
    """Sums of the present stratum, and what the closed ones add up to.

    A closed stratum never changes again, so of each run only its weighted difference, its residual squares and,
    with a pool of `users`, each user's weighted residuals are kept. `clustered=False` takes every rating for
    another user's, to show what that does.
    """

    def __init__(self, runs: int, bucket: np.ndarray | None = None, clustered: bool = True) -> None:
        self._bucket = bucket
        self._clustered = clustered and bucket is not None
        self._count, self._sum, self._square = np.zeros((3, runs, 2))
        self._weight, self._theta, self._production, self._residual, self._psi = np.zeros((5, runs))
        self._counted, self._groups = np.zeros((2, runs))
        self._ratings, self._rating_sums = np.zeros((2, runs, 2))
        if bucket is not None:
            self._user_sum, self._user_count, self._user_psi = np.zeros((3, *bucket.shape))
            self._seen = np.zeros((2, *bucket.shape), dtype=bool)
            self._counting = np.zeros(bucket.shape, dtype=bool)

    def add(self, interval: Interval, share: np.ndarray) -> None:
        """Count an interval's ratings, at the candidate's `share` (runs,)."""
        if interval.stars is not None:
            count, total, square = interval.stars.sum(2), interval.stars @ STARS, interval.stars @ STARS**2
        else:
            count, total, square = self._by_user(interval, share)
        self._count += count
        self._sum += total
        self._square += square
        self._ratings += count
        self._rating_sums += total

    def close(self, which: np.ndarray, share: np.ndarray) -> None:
        """End the present stratum of the runs `which` (runs,), whose share was `share`."""
        weight, _, mean = self._present()
        some = which & (weight > 0)
        squares = self._squares()
        self._weight += np.where(some, weight, 0)
        self._theta += np.where(some, weight * (mean[:, 1] - mean[:, 0]), 0)
        self._production += np.where(some, weight * mean[:, 0], 0)
        self._residual += np.where(some, squares.sum(1), 0)
        self._psi += np.where(some, weight**2 * (squares / np.maximum(self._count, 1) ** 2).sum(1), 0)
        self._counted += np.where(some, self._count.sum(1), 0)
        self._groups += 2 * some
        if self._bucket is not None:
            self._user_psi[some] += self._pull(share)[some]
            self._counting[some] |= self._user_count[some] > 0
            self._user_sum[which] = 0
            self._user_count[which] = 0
        for sums in (self._count, self._sum, self._square):
            sums[which] = 0

    def look(self, share: np.ndarray) -> Effects:
        """The effect of every run as of now, at the candidate's present `share` (runs,)."""
        weight, _, mean = self._present()
        some = weight > 0
        squares = self._squares()
        total = self._weight + weight
        total = np.where(total > 0, total, 1)
        theta = (self._theta + weight * (mean[:, 1] - mean[:, 0])) / total
        production = (self._production + weight * mean[:, 0]) / total
        freedom = self._counted + some * self._count.sum(1) - self._groups - 2 * some
        residual = self._residual + some * squares.sum(1)
        pooled = residual / np.maximum(freedom, 1) / total
        raters = self._raters()
        if self._clustered:
            units = (self._counting | (self._user_count > 0) & some[:, None]).sum(1)
            psi = ((self._user_psi + some[:, None] * self._pull(share)) ** 2).sum(1)
        else:
            units = self._counted + some * self._count.sum(1)
            psi = self._psi + weight**2 * (squares / np.maximum(self._count, 1) ** 2).sum(1)
        clustered = units / np.maximum(units - 1, 1) * psi / total**2
        known = (raters.min(1) >= 2) & (freedom >= 1) & (residual > 0)
        se = np.sqrt(np.maximum(clustered, pooled))
        return Effects(theta, se, units, production, known, self._ratings, raters, self._rating_sums)

    def _present(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weight (runs,), counts and means (runs, 2) of the present stratum."""
        both = self._count.min(1) > 0
        weight = np.where(both, self._count.prod(1) / np.maximum(self._count.sum(1), 1), 0)
        return weight, self._count, self._sum / np.maximum(self._count, 1)

    def _squares(self) -> np.ndarray:
        """Residual squares (runs, 2) of the present stratum."""
        return np.maximum(self._square - self._sum**2 / np.maximum(self._count, 1), 0)

    def _raters(self) -> np.ndarray:
        if self._bucket is None:
            return self._ratings
        return self._seen.sum(2).T

    def _by_user(self, interval: Interval, share: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        run, user, value = interval.rating_run, interval.rating_user, interval.rating_value
        assert self._bucket is not None
        assert run is not None
        assert user is not None
        assert value is not None
        np.add.at(self._user_sum, (run, user), value)
        np.add.at(self._user_count, (run, user), 1)
        arm = (self._bucket[run, user] < share[run]).astype(int)
        self._seen[arm, run, user] = True
        shape = self._count.shape
        cell = 2 * run + arm
        sums = [np.bincount(cell, weights, self._count.size) for weights in (np.ones_like(value), value, value**2)]
        return sums[0].reshape(shape), sums[1].reshape(shape), sums[2].reshape(shape)

    def _pull(self, share: np.ndarray) -> np.ndarray:
        """What each user adds to psi in the present stratum, times the total weight: (runs, users)."""
        assert self._bucket is not None
        weight, count, mean = self._present()
        factor = weight[:, None] / np.maximum(count, 1) * np.array([-1.0, 1.0])
        candidate = self._bucket < share[:, None]
        centre = np.where(candidate, mean[:, 1:], mean[:, :1])
        return np.where(candidate, factor[:, 1:], factor[:, :1]) * (self._user_sum - self._user_count * centre)
