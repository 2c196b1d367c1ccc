"""Simulated rollouts: wrong verdicts are as rare, right ones as quick, as the policy's defaults promise.

Seeded, with fewer runs than `tests.benchmarks.rollout_simulation`. A share is held against what the promised one
gives by chance in so many runs at most, so a rule that breaks its promise clearly fails.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from mlops_assets.rollout.confidence import effect
from mlops_assets.rollout.decide import Verdict
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.running_effect import RunningEffect
from mlops_assets.rollout.simulate import FORECAST_EFFECTS, Outcomes, expected_time, forecast, simulate
from mlops_assets.rollout.simulated_traffic import (
    RATING_MEAN,
    STAR_SHARES,
    STARS,
    Interval,
    Source,
    World,
    quantile,
    star_shares,
)

POLICY = RolloutPolicy()
MINUTE = 1 / 60
PROMISED = 0.025
RUNS = 100


def most(runs: int, share: float) -> int:
    """The largest number of `runs` that happens by chance, but for one time in a thousand, at a true `share`."""
    above = 1.0
    for number in range(runs + 1):
        above -= math.comb(runs, number) * share**number * (1 - share) ** (runs - number)
        if above < 0.001:
            return number
    return runs


def wrong(outcomes: Outcomes) -> tuple[int, int]:
    """Promotions and rollbacks."""
    return outcomes.verdicts.count(Verdict.PROMOTE), outcomes.verdicts.count(Verdict.ROLL_BACK)


WORLDS = {
    "200/h": World(requests_per_hour=200),
    "1,000/h": World(),
    "5,000/h": World(requests_per_hour=5000),
    "repeat raters and a weekend dip": World(requests_per_hour=200, ratings_per_rater=10, weekend_dip=-0.3),
}


@cache
def twins(world: str) -> Outcomes:
    """Rollouts of a candidate that is production's twin, 14 days each."""
    return simulate(POLICY, WORLDS[world], runs=RUNS, seed=7)


@pytest.mark.parametrize("world", WORLDS)
def test_twins_are_hardly_ever_promoted_or_rolled_back(world: str) -> None:
    promoted, rolled_back = wrong(twins(world))
    assert promoted <= most(RUNS, PROMISED)
    assert rolled_back <= most(RUNS, PROMISED)
    assert twins(world).share(Verdict.EXPIRE) >= 0.9


def test_all_worlds_together_keep_the_promise() -> None:
    promoted, rolled_back = (sum(counts) for counts in zip(*(wrong(twins(world)) for world in WORLDS), strict=True))
    assert promoted <= most(RUNS * len(WORLDS), PROMISED)
    assert rolled_back <= most(RUNS * len(WORLDS), PROMISED)


def test_the_reference_rule_promotes_twins_by_chance() -> None:
    rule = RolloutPolicy(policy="threshold")
    outcomes = simulate(rule, World(requests_per_hour=200), runs=60, seed=7, guarded=False)
    assert 0.2 <= outcomes.share(Verdict.PROMOTE) <= 0.5


def test_repeat_raters_taken_for_independent_would_break_the_promise() -> None:
    world = World(ratings_per_rater=40)
    naive, clustered = (
        simulate(POLICY, world, runs=40, seed=3, clustered=clustered, guarded=False) for clustered in (False, True)
    )
    assert sum(wrong(naive)) > most(40, 2 * PROMISED)
    assert sum(wrong(clustered)) <= most(40, 2 * PROMISED)


def test_pooling_over_a_ramp_while_ratings_fall_would_break_the_promise() -> None:
    ramp = RolloutPolicy(steps=(0.05, 0.2, 0.5), step_hours=72)
    world = World(drift_per_day=-0.08)
    pooled, stratified = (
        simulate(ramp, world, runs=30, seed=3, stratified=stratified, guarded=False) for stratified in (False, True)
    )
    assert pooled.share(Verdict.ROLL_BACK) > 0.5
    assert max(wrong(stratified)) <= most(30, PROMISED)


@pytest.mark.parametrize(
    ("stars", "verdict", "hours"),
    [(0.3, Verdict.PROMOTE, 26), (-0.3, Verdict.ROLL_BACK, 20), (-1.0, Verdict.ROLL_BACK, 4)],
)
def test_a_difference_is_found_in_time(stars: float, verdict: Verdict, hours: float) -> None:
    outcomes = expected_time(POLICY, 1000, 0.05, stars, runs=RUNS, seed=7)
    assert RUNS - outcomes.verdicts.count(verdict) <= most(RUNS, 0.01)
    median = outcomes.hours_to(verdict)
    assert median is not None
    assert median <= hours


@pytest.mark.parametrize(
    ("world", "minutes"),
    [
        (World(candidate_errors=0.05), 85),
        (World(candidate_errors=1.0), 3),
        (World(candidate_slow=1.0, candidate_ms=200.0), 5),
    ],
    ids=["5 % errors", "every request fails", "ten times slower"],
)
def test_a_broken_candidate_is_found_within_minutes(world: World, minutes: float) -> None:
    outcomes = simulate(POLICY, world, runs=40, seed=7, look_hours=MINUTE)
    assert outcomes.share(Verdict.ROLL_BACK) == 1
    median = outcomes.hours_to(Verdict.ROLL_BACK)
    assert median is not None
    assert median * 60 <= minutes


def test_an_outage_of_both_releases_ends_nothing() -> None:
    world = World(outage=(1.0, 1.5))
    outcomes = simulate(POLICY, world, runs=40, seed=7, look_hours=MINUTE, max_hours=1.75)
    assert outcomes.verdicts == (None,) * 40


def test_a_ramp_takes_its_steps_before_the_last_share_promotes() -> None:
    ramp = RolloutPolicy(steps=(0.05, 0.2, 0.5), step_hours=24)
    slow, quick = (simulate(policy, World(effect=0.3), runs=20, seed=1) for policy in (ramp, POLICY))
    assert slow.share(Verdict.PROMOTE) == 1
    later, sooner = slow.hours_to(Verdict.PROMOTE), quick.hours_to(Verdict.PROMOTE)
    assert later is not None
    assert sooner is not None
    assert later > sooner


def test_the_same_seed_gives_the_same_rollouts() -> None:
    one, again, other = (expected_time(POLICY, 300, 0.1, 0.3, runs=10, seed=seed) for seed in (4, 4, 5))
    assert one == again
    assert one != other


def test_the_made_ratings_have_the_stated_moments() -> None:
    assert STAR_SHARES.sum() == pytest.approx(1)
    assert float(STAR_SHARES @ STARS) == pytest.approx(RATING_MEAN)
    assert math.sqrt(STAR_SHARES @ (STARS - RATING_MEAN) ** 2) == pytest.approx(1.13, abs=1e-4)


@pytest.mark.parametrize("mean", [1.5, 2.93, 3.63, 4.43, 4.9])
def test_made_ratings_are_moved_to_a_mean(mean: float) -> None:
    assert star_shares(mean) @ STARS == pytest.approx(mean, abs=1e-9)
    places = np.random.default_rng(0).random(200_000)
    assert quantile(mean, places).mean() == pytest.approx(mean, abs=0.02)


def test_a_mean_that_no_stars_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="mean rating"):
        star_shares(5.23)


def test_two_ratings_of_a_user_correlate_by_half() -> None:
    source = Source(World(ratings_per_rater=2, rating_rate=1.0), 1, np.random.default_rng(2))
    drawn = source.draw(0.0, 100.0, np.array([0.2]))
    assert drawn.rating_user is not None
    assert drawn.rating_value is not None
    order = np.argsort(drawn.rating_user, kind="stable")
    user, value = drawn.rating_user[order], drawn.rating_value[order]
    first = np.flatnonzero(user[1:] == user[:-1])
    assert np.corrcoef(value[first], value[first + 1])[0, 1] == pytest.approx(0.5, abs=0.03)


class Raw:
    """Every rating of one simulated run, as a real rollout has them."""

    def __init__(self) -> None:
        self.rows: list[tuple[bool, int, int, float]] = []

    def add(self, interval: Interval, stratum: int, bucket: np.ndarray | None, share: float) -> None:
        if interval.stars is not None:
            for arm in (0, 1):
                for value, count in zip(STARS, interval.stars[0, arm], strict=True):
                    self.rows += [(arm == 1, stratum, len(self.rows) + n, value) for n in range(count)]
            return
        assert bucket is not None
        assert interval.rating_run is not None
        assert interval.rating_user is not None
        assert interval.rating_value is not None
        mine = interval.rating_run == 0
        for user, value in zip(interval.rating_user[mine], interval.rating_value[mine], strict=True):
            self.rows.append((bool(bucket[0, user] < share), stratum, int(user), float(value)))


@pytest.mark.parametrize("world", [World(150, 0.1), World(150, 0.1, ratings_per_rater=12)], ids=["new", "returning"])
def test_the_sums_give_what_the_raw_ratings_give(world: World) -> None:
    """Over five days at a share that rises: run 0 of three, at every sixth hour."""
    source = Source(world, 3, np.random.default_rng(6))
    running, raw = RunningEffect(3, source.bucket), Raw()
    compared = 0
    for hour in range(120):
        share = np.full(3, 0.2 if hour < 60 else 0.5)
        if hour in (24, 48, 60, 72, 96):
            running.close(np.ones(3, bool), np.full(3, 0.2 if hour <= 60 else 0.5))
        interval = source.draw(float(hour), 1.0, share)
        running.add(interval, share)
        raw.add(interval, 10 * (hour // 24) + (hour >= 60), source.bucket, float(share[0]))
        if hour % 6:
            continue
        seen = running.look(share)
        arm, stratum, user, value = (np.array(column) for column in zip(*raw.rows, strict=True))
        found = effect(arm, stratum, user, value, alpha=0.05, expected_raters=500)
        if found is None:
            continue
        compared += 1
        assert seen.known[0]
        assert seen.theta[0] == pytest.approx(found.theta, abs=1e-12)
        assert seen.se[0] == pytest.approx(found.se, rel=1e-9)
        assert seen.units[0] == found.raters
        assert seen.production[0] == pytest.approx(found.production_mean)
        assert seen.raters[0].tolist() == [len(set(user[~arm])), len(set(user[arm]))]
    assert compared > 15


def test_a_forecast_tells_every_truth_and_its_progress() -> None:
    told: list[tuple[int, int]] = []
    rows = forecast(POLICY, 2000, 0.1, runs=3, seed=1, progress=lambda done, total: told.append((done, total)))
    total = len(FORECAST_EFFECTS) + 1
    assert told == [(done, total) for done in range(1, total + 1)]
    by_truth = {row.truth: row for row in rows}
    assert len(by_truth) == total
    assert by_truth["0.5 stars better"].promoted == 1
    assert by_truth["0.5 stars worse"].rolled_back == 1
    failing = by_truth["fails always"]
    assert failing.rolled_back == 1
    assert failing.p90_hours is not None
    assert failing.median_hours is not None
    assert 0 < failing.median_hours <= failing.p90_hours < 0.2
    assert all(row.promoted + row.rolled_back + row.undecided == pytest.approx(1) for row in rows)


@pytest.mark.parametrize(("requests", "rate", "named"), [(0, 0.1, "requests_per_hour"), (10, 1.2, "rating_rate")])
def test_a_forecast_refuses_what_is_no_traffic(requests: float, rate: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        forecast(POLICY, requests, rate)
