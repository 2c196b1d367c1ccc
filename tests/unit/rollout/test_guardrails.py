"""Guardrails: an innocent candidate is ended as rarely as promised, at whatever look, and a broken one soon."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.rollout import guardrails, policy
from mlops_assets.rollout.guardrails import (
    ERROR_SHARE,
    ERRORS,
    SLOW,
    Traffic,
    absolute_e_value,
    e_value,
    judge,
    null_share,
)

LIMITS = policy.Guardrails()
SHARES = st.floats(0.01, 0.99)
RATIOS = st.floats(1.01, 10)


@pytest.mark.parametrize(("share", "limit"), [(0.05, 0.075), (0.2, 0.3), (0.5, 0.75), (0.6, 0.8), (0.9, 0.95)])
def test_the_innocent_share_is_one_and_a_half_times_the_traffic_while_that_has_room(share: float, limit: float) -> None:
    assert null_share(share, 1.5) == pytest.approx(limit)


@given(SHARES, SHARES, RATIOS)
def test_the_innocent_share_exceeds_the_traffic_and_rises_with_it(one: float, other: float, ratio: float) -> None:
    assert one < null_share(one, ratio) < 1
    if one < other:
        assert null_share(one, ratio) <= null_share(other, ratio)


@given(st.floats(0.01, 0.5), RATIOS)
def test_a_candidate_as_bad_as_the_ratio_allows_is_innocent(share: float, ratio: float) -> None:
    true_share = ratio * share / (ratio * share + 1 - share)
    assert null_share(share, ratio) >= true_share - 1e-12


@pytest.mark.parametrize("steps", [(0.2,), (0.5,), (0.05, 0.2), (0.2, 0.7)])
@pytest.mark.parametrize("innocence", [1.0, 0.7, 0.0])
def test_the_mean_e_value_of_an_innocent_candidate_is_at_most_one(steps: tuple[float, ...], innocence: float) -> None:
    """Exactly, over every outcome of eight bad requests in each step."""
    bad = 8

    def mean(left: tuple[float, ...], counts: list[tuple[float, int, int]]) -> float:
        if not left:
            return e_value(counts, 1.5)
        p = innocence * null_share(left[0], 1.5)
        return sum(
            math.comb(bad, k) * p**k * (1 - p) ** (bad - k) * mean(left[1:], [*counts, (left[0], bad - k, k)])
            for k in range(bad + 1)
        )

    expected = mean(steps, [])
    assert expected <= 1 + 1e-9
    if innocence == 1.0:
        assert expected == pytest.approx(1)


def test_looking_after_every_bad_request_ends_an_innocent_candidate_as_rarely_as_promised() -> None:
    random = np.random.default_rng(11)
    alpha, tripped = 0.1, 0
    for _ in range(300):
        candidate = (random.random(250) < null_share(0.2, 1.5)).cumsum()
        looks = ((0.2, i + 1 - int(c), int(c)) for i, c in enumerate(candidate))
        tripped += any(e_value([look], 1.5) >= 1 / alpha for look in looks)
    assert 0 < tripped <= 300 * alpha + 2 * math.sqrt(300 * alpha * (1 - alpha))


@given(SHARES, st.integers(0, 500), st.integers(0, 500), RATIOS)
def test_one_more_bad_request_of_an_arm_speaks_against_that_arm(s: float, p: int, c: int, ratio: float) -> None:
    here = e_value([(s, p, c)], ratio)
    assert e_value([(s, p, c + 1)], ratio) >= here
    assert e_value([(s, p + 1, c)], ratio) <= here
    assert e_value([(min(0.995, s * 1.1), p, c)], ratio) <= here * (1 + 1e-9)


def test_seven_failures_of_the_candidate_and_none_of_production_are_enough() -> None:
    assert e_value([(0.2, 0, 6)], 1.5) < 1000 <= e_value([(0.2, 0, 7)], 1.5)


def test_failures_at_each_step_add_up() -> None:
    assert e_value([(0.05, 0, 2), (0.2, 0, 3)], 1.5) > 10 * e_value([(0.05, 0, 2)], 1.5)
    assert e_value([], 1.5) == 1


def test_an_e_value_stays_a_number_in_json() -> None:
    value = e_value([(0.05, 0, 10**7)], 1.5)
    assert value == 1e300
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert e_value([(0.05, 10**7, 0)], 1.5) >= 0


def test_errors_above_the_absolute_limit_trip_while_production_keeps_it() -> None:
    fine = Traffic(0, 0.2, 8000, 2000, production_errors=40, candidate_errors=60)
    assert absolute_e_value([fine], 0.01) >= 1000
    both = Traffic(0, 0.2, 8000, 2000, production_errors=240, candidate_errors=60)
    assert absolute_e_value([both], 0.01) == 1
    assert absolute_e_value([both, fine], 0.01) == absolute_e_value([fine], 0.01)
    assert absolute_e_value([Traffic(0, 0.2, 0, 200, candidate_errors=200)], 0.01) == 1


def test_errors_within_the_absolute_limit_do_not_trip_it() -> None:
    assert absolute_e_value([Traffic(0, 0.2, 80_000, 20_000, 0, candidate_errors=200)], 0.01) < 1


def test_an_outage_of_both_arms_trips_nothing() -> None:
    down = Traffic(0, 0.2, 800, 200, production_errors=800, candidate_errors=200)
    assert not any(g.tripped for g in judge([down], LIMITS, {ERRORS: 1800.0}))


def test_a_candidate_slower_than_production_trips_the_slow_requests_only() -> None:
    slower = Traffic(0, 0.2, 800, 200, production_slow=40, candidate_slow=200)
    tripped = [g for g in judge([slower], LIMITS, {SLOW: 90.0}) if g.tripped]
    assert [(g.name, g.production_bad, g.candidate_bad, g.span_seconds) for g in tripped] == [(SLOW, 40, 200, 90.0)]


def test_slowness_is_not_judged_before_production_told_its_limit() -> None:
    names = {g.name for g in judge([Traffic(0, 0.2, 10, 10)], LIMITS, {}, slow_known=False)}
    assert names == {ERRORS, ERROR_SHARE}


def test_counts_of_one_step_add_up_over_days_and_steps_keep_their_share() -> None:
    days = [Traffic(0, 0.2, 100, 25, 1, 2), Traffic(0, 0.2, 100, 25, 0, 3), Traffic(1, 0.5, 100, 100, 2, 4)]
    errors = next(g for g in judge(days, LIMITS, {}) if g.name == ERRORS)
    assert errors.e_value == e_value([(0.2, 1, 5), (0.5, 2, 4)], LIMITS.rate_ratio)
    assert (errors.production_bad, errors.candidate_bad) == (3, 9)


def test_a_busy_user_of_the_candidate_brings_its_requests_and_no_verdict() -> None:
    """20 % of the users, but half of the requests: half of the errors are what to expect."""
    busy = Traffic(0, 0.2, 50_000, 50_000, production_errors=100, candidate_errors=100)
    assert not any(g.tripped for g in judge([busy], LIMITS, {ERRORS: 3600.0}))
    assert e_value([(0.2, 100, 100)], LIMITS.rate_ratio) > 1000


def test_every_bucket_holds_its_upper_edge_and_nothing_above() -> None:
    for bucket in range(guardrails.LAST_BUCKET):
        edge = guardrails.upper_edge_ms(bucket)
        assert guardrails.latency_bucket(edge) == bucket
        assert guardrails.latency_bucket(edge * 1.001) == bucket + 1
    assert guardrails.latency_bucket(0.0) == 0
    assert guardrails.latency_bucket(1e12) == guardrails.LAST_BUCKET


def test_productions_p95_is_the_bucket_that_holds_it() -> None:
    random = np.random.default_rng(4)
    latencies = random.lognormal(3.0, 0.4, 5000)
    histogram: dict[int, int] = {}
    for ms in latencies:
        bucket = guardrails.latency_bucket(float(ms))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    found = guardrails.production_p95_bucket(histogram)
    assert found is not None
    p95 = float(np.quantile(latencies, 0.95))
    assert guardrails.upper_edge_ms(found - 1) <= p95 <= guardrails.upper_edge_ms(found)
    assert guardrails.slow_requests(histogram, found) == int((latencies > guardrails.upper_edge_ms(found)).sum())


@pytest.mark.parametrize(("requests", "known"), [(0, False), (29, False), (30, True)])
def test_too_few_requests_tell_no_p95(requests: int, known: bool) -> None:
    assert (guardrails.production_p95_bucket({7: requests}) is not None) is known
