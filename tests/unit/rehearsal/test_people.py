"""Played users: what they ask, how they rate, and that the same seed plays the same game."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from mlops_assets.rehearsal.people import MEAN_RATING, Crowd, People

LISTINGS: list[tuple[dict[str, Any], float | str]] = [
    ({"total_sqft": 1200.0, "bhk": 2, "location": "Whitefield"}, 60.0),
    ({"total_sqft": 900, "bhk": 1, "location": "Hebbal"}, 45.0),
]
PRODUCTION, CANDIDATE = {"variant": "production"}, {"variant": "candidate"}


def ratings(crowd: Crowd, answer: dict[str, Any], count: int = 4000) -> list[int]:
    people = People(crowd, LISTINGS)
    return [people.rating(people.user(), answer) for _ in range(count)]


def test_the_same_seed_plays_the_same_game() -> None:
    one, other = (People(Crowd(seed=3), LISTINGS) for _ in range(2))
    for _ in range(50):
        assert (one.user(), one.question()) == (other.user(), other.question())


@pytest.mark.parametrize(("truth", "lift"), [("better", 0.6), ("worse", -0.6), ("equal", 0.0), ("failing", 0.0)])
def test_only_the_candidate_is_felt_to_be_better_or_worse(truth: Any, lift: float) -> None:
    crowd = Crowd(truth=truth, users=1000)
    production = statistics.mean(ratings(crowd, PRODUCTION))
    candidate = statistics.mean(ratings(crowd, CANDIDATE))
    assert production == pytest.approx(MEAN_RATING, abs=0.25)
    # Stars end at 5, so a lift is felt a little less than it is.
    assert candidate - production == pytest.approx(lift * 0.75, abs=0.2)
    assert set(ratings(crowd, CANDIDATE)) <= {1, 2, 3, 4, 5}


def test_repeat_raters_are_few_and_give_most_ratings() -> None:
    people = People(Crowd(repeat_raters=True, rated=0.1, users=100), LISTINGS)
    given: dict[bool, int] = {True: 0, False: 0}
    for _ in range(20_000):
        user = people.user()
        given[int(user.rpartition("-")[2]) % 10 == 0] += people.rates(user)
    assert given[True] > 2 * given[False]


def test_drift_moves_sizes_and_nothing_else() -> None:
    people = People(Crowd(drift=0.25), LISTINGS[:1])
    body, actual = people.question()
    assert (body, actual) == ({"total_sqft": 1500.0, "bhk": 2, "location": "Whitefield"}, 60.0)
    assert LISTINGS[0][0]["total_sqft"] == 1200.0


@pytest.mark.parametrize(("estimate", "said"), [(60, "accurate"), (65, "accurate"), (70, "too_high"), (50, "too_low")])
def test_an_opinion_compares_with_what_it_really_was(estimate: float, said: str) -> None:
    assert People(Crowd(), LISTINGS).opinion(estimate, 60.0) == said


def test_nothing_to_ask_about_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to ask"):
        People(Crowd(), [])
